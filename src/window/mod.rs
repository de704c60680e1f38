//! Floor 1: windows. Aggregates kept as mergeable state per group and pane, rows led to the rules that want them, time measured
//! by what arrives, and all rules together ([`evaluator`]).
//!
//! - In: [`router`] sorts a micro-batch by metric name, [`micro_batch`] shows each table its stretch, [`key_space`] interns keys.
//! - Held: [`table`] and [`pane`] are the state, [`pane_store`] rolls panes up, [`session`] stitches them to sessions,
//!   [`row_table`] keeps rows where a plan needs them, [`tables`] says who shares what.
//! - Out: [`schedule`] says when, [`merge`] merges panes, [`detector`] decides which rows are breaches.
//! - A rule that breaks a limit goes to [`quarantine`].
//! - Where the work is shared by several processes, [`partial`] is what one says to another.
//!
//! Memory is groups times panes, never events: a row updates one pane of each table that wants it and is forgotten. Idea and
//! traps: panes after Li et al., "No pane, no gain" (SIGMOD Record 2005); watermarks after Akidau et al., "The Dataflow Model"
//! (VLDB 2015).

pub mod detector;
pub mod evaluator;
pub mod ingest;
pub mod partial;
pub mod quarantine;
pub mod snapshot;
pub mod state;
pub mod time;

use crate::model::limits::{GROUPS_PER_TABLE_MAX, ROWS_RETAINED_MAX};

/// What one rule may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Groups of one aggregate.
    pub groups: usize,
    /// Rows kept as they came.
    pub retained_rows: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { groups: GROUPS_PER_TABLE_MAX, retained_rows: ROWS_RETAINED_MAX }
    }
}
