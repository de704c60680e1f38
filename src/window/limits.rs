//! What one rule may hold in its windows.

use crate::model::limits::{GROUPS_PER_TABLE_MAX, ROWS_RETAINED_MAX};

/// Limits of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Groups of one aggregate.
    pub groups: usize,
    /// Raw rows.
    pub retained_rows: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { groups: GROUPS_PER_TABLE_MAX, retained_rows: ROWS_RETAINED_MAX }
    }
}
