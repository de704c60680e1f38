//! The accumulator of one aggregate in a pane: DataFusion's interface, and what is asked only of panes and windows.

use std::ops::Range;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use std::sync::Arc;

use crate::model::time::TimestampMs;
use crate::rule::aggregate::grouped;
use crate::rule::aggregate::over_window::OverWindow;
use crate::rule::aggregate::series::udaf;

/// The accumulator of an aggregate for all groups of a pane.
pub enum PaneAccumulator {
    /// Its state and its answers do not depend on pane and window.
    Plain(Box<dyn GroupsAccumulator>),
    /// They do.
    OverWindow(Box<dyn OverWindow>),
}

impl PaneAccumulator {
    /// No groups yet.
    ///
    /// # Errors
    ///
    /// DataFusion refuses the arguments.
    pub fn new(function: &Arc<AggregateFunctionExpr>) -> Result<Self> {
        Ok(match udaf::over_window(function)? {
            Some(own) => Self::OverWindow(own),
            None => Self::Plain(grouped(function)?),
        })
    }

    fn grouped(&self) -> &dyn GroupsAccumulator {
        match self {
            Self::Plain(accumulator) => accumulator.as_ref(),
            Self::OverWindow(accumulator) => accumulator.as_ref(),
        }
    }

    fn grouped_mut(&mut self) -> &mut dyn GroupsAccumulator {
        match self {
            Self::Plain(accumulator) => accumulator.as_mut(),
            Self::OverWindow(accumulator) => accumulator.as_mut(),
        }
    }

    /// As [`GroupsAccumulator::update_batch`].
    pub fn update(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.grouped_mut().update_batch(values, groups, filter, total)
    }

    /// As [`GroupsAccumulator::merge_batch`].
    pub fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grouped_mut().merge_batch(states, groups, total)
    }

    /// The state, to which rows may still be added.
    pub fn state(&mut self) -> Result<Vec<ArrayRef>> {
        self.grouped_mut().state(EmitTo::All)
    }

    /// The state of a pane that takes no more rows.
    pub fn sealed_state(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Plain(accumulator) => accumulator.state(EmitTo::All),
            Self::OverWindow(accumulator) => accumulator.sealed_state(),
        }
    }

    /// The answers over a window, one for each group.
    pub fn evaluate(&mut self, window: &Range<TimestampMs>) -> Result<ArrayRef> {
        match self {
            Self::Plain(accumulator) => accumulator.evaluate(EmitTo::All),
            Self::OverWindow(accumulator) => accumulator.evaluate_over(window),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.grouped().size()
    }
}
