//! Floor 1: windows. Aggregates kept as mergeable state per group and pane ([`table`], [`pane`], [`key_space`]), rows led to the
//! rules that want them ([`router`]), time measured by what arrives ([`watermark`]), what
//! decides between rows and breaches ([`judge`]), and all rules together ([`evaluator`]).
//!
//! Memory is groups times panes, never events: a row updates one pane of each table that wants it and is forgotten. Idea and
//! traps: panes after Li et al., "No pane, no gain" (SIGMOD Record 2005); watermarks after Akidau et al., "The Dataflow Model"
//! (VLDB 2015).

pub mod evaluator;
pub mod judge;
pub mod key_space;
pub mod pane;
pub mod router;
pub mod table;
pub mod watermark;
