//! Floor 1: windows. Aggregates as mergeable state per group and pane, rows routed to the rules that read them, event time measured
//! by the events that arrive, and the evaluation of all rules over it ([`evaluator`]).
//!
//! - [`ingest`]: rows come in. A router sorts a micro-batch by metric name, tables read slices of it, key spaces intern group keys.
//! - [`state`]: what windows hold. Open and sealed panes, rollups, sessions, raw rows where a plan needs them; which rules share what.
//! - [`time`]: how far event time has come, and which rule is due when.
//! - [`detector`]: which rows of a result are breaches, where a rule compares with the past.
//! - [`evaluator`]: all rules at each tick; their snapshots, reloads and quarantines ([`quarantine`]).
//! - [`partial`]: what one process has aggregated for another.
//!
//! Memory is groups times panes, never events: a row updates one pane of each table that reads it and is dropped. Idea and traps:
//! panes after Li et al., "No pane, no gain" (SIGMOD Record 2005); watermarks after Akidau et al., "The Dataflow Model" (VLDB 2015).

pub mod detector;
pub mod evaluator;
pub mod ingest;
pub mod limits;
pub mod partial;
pub mod quarantine;
pub mod rule_stats;
pub mod state;
pub mod time;
