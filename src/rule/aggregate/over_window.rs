//! Accumulators that know more of their pane than DataFusion tells its own: that it takes no more rows, and which window is evaluated.

use std::ops::Range;

use arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::GroupsAccumulator;

use crate::model::time::TimestampMs;

/// An accumulator of panes and windows.
pub trait OverWindow: GroupsAccumulator {
    /// The state of a pane that takes no more rows. It can be smaller than one to which rows may still be added.
    ///
    /// # Errors
    ///
    /// As [`GroupsAccumulator::state`].
    fn sealed_state(&mut self) -> Result<Vec<ArrayRef>>;

    /// The answers over a window, one for each group.
    ///
    /// # Errors
    ///
    /// As [`GroupsAccumulator::evaluate`].
    fn evaluate_over(&mut self, window: &Range<TimestampMs>) -> Result<ArrayRef>;
}
