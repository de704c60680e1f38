//! The expressions of an aggregate table, bound to the few columns of the stream that they read, and the group ids that tables with
//! the same GROUP BY list share.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use crate::rule::exec::expression_chain::evaluate;
use crate::rule::plan::stream_scan::{AggregateColumn, AggregateSource, Binding};
use crate::window::ingest::group_id::GroupId;
use crate::window::ingest::key_space::KeySpace;

/// An aggregate's arguments and FILTER.
pub(crate) type BoundInput = (Vec<Arc<dyn PhysicalExpr>>, Option<Arc<dyn PhysicalExpr>>);

/// The bound expressions.
pub(crate) struct BoundAggregates {
    pub(crate) binding: Binding,
    pub(crate) predicate: Option<Arc<dyn PhysicalExpr>>,
    group: Vec<Arc<dyn PhysicalExpr>>,
    /// One for each aggregate.
    pub(crate) inputs: Vec<BoundInput>,
}

impl BoundAggregates {
    pub(crate) fn new(source: &AggregateSource, columns: &[AggregateColumn]) -> Result<Self> {
        let arguments: Vec<_> = columns.iter().map(AggregateColumn::arguments).collect();
        let filters = columns.iter().flat_map(|column| &column.filter);
        let all = source.group.iter().chain(&source.stream.predicate).chain(arguments.iter().flatten()).chain(filters);
        let binding = Binding::of(&source.stream.table, all)?;
        let bind_all = |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(|expr| binding.bind(expr)).collect::<Result<Vec<_>>>();
        let bind_one = |expr: &Option<Arc<dyn PhysicalExpr>>| expr.as_ref().map(|expr| binding.bind(expr)).transpose();
        let inputs =
            columns.iter().zip(&arguments).map(|(column, arguments)| Ok((bind_all(arguments)?, bind_one(&column.filter)?)));
        Ok(Self {
            predicate: bind_one(&source.stream.predicate)?,
            group: bind_all(&source.group)?,
            inputs: inputs.collect::<Result<_>>()?,
            binding,
        })
    }

    /// Appends the group of each row to `ids`. Returns how many rows found no room in the space.
    pub(crate) fn intern(&self, space: &mut KeySpace, batch: &RecordBatch, ids: &mut Vec<GroupId>) -> Result<usize> {
        let keys = evaluate(&self.group, batch)?;
        Ok(space.intern(&keys, batch.num_rows(), ids)?)
    }
}

/// The group ids of the rows of one slice, for the next table that groups the slice alike and filters nothing.
#[derive(Default)]
pub struct GroupIdCache {
    /// The key space of the ids; `None` where there are none.
    space: Option<usize>,
    ids: Vec<GroupId>,
    overflow: usize,
}

impl GroupIdCache {
    /// To be called before another slice.
    pub fn clear(&mut self) {
        self.space = None;
    }

    /// The ids in key space `space`, and how many rows found no room. `intern` is called where they are not cached.
    pub(crate) fn get_or_intern(
        &mut self,
        space: usize,
        intern: impl FnOnce(&mut Vec<GroupId>) -> Result<usize>,
    ) -> Result<(&[GroupId], usize)> {
        if self.space != Some(space) {
            self.ids.clear();
            self.space = None;
            self.overflow = intern(&mut self.ids)?;
            self.space = Some(space);
        }
        Ok((&self.ids, self.overflow))
    }
}
