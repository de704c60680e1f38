//! What one evaluation of a rule may cost above its aggregates: rows that its joins make, pairs that they look at. Counted, not
//! timed: the same rows give the same answer on every machine.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use crate::model::limits::{PAIRS_PER_EVALUATION_MAX, ROWS_PER_EVALUATION_MAX};

/// An evaluation costs more than a rule may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OverBudget(pub String);

/// Why an evaluation that failed cost too much, if that is why.
pub fn over_budget(error: &DataFusionError) -> Option<String> {
    match error.find_root() {
        DataFusionError::External(error) => error.downcast_ref::<OverBudget>().map(|over| over.0.clone()),
        DataFusionError::ResourcesExhausted(why) => {
            Some(format!("its joins and sorts need too much memory: {}", why.lines().next().unwrap_or_default()))
        }
        _ => None,
    }
}

/// The error that [`over_budget`] knows.
pub fn refused(why: String) -> DataFusionError {
    DataFusionError::External(Box::new(OverBudget(why)))
}

/// What is left for the current evaluation.
#[derive(Debug, Default)]
pub struct Budget {
    rows: AtomicUsize,
    pairs: AtomicUsize,
}

impl Budget {
    /// Begins an evaluation.
    pub fn refill(&self) {
        self.rows.store(0, Ordering::Relaxed);
        self.pairs.store(0, Ordering::Relaxed);
    }

    fn spend_rows(&self, number: usize) -> Result<()> {
        let spent = self.rows.fetch_add(number, Ordering::Relaxed).saturating_add(number);
        if spent <= ROWS_PER_EVALUATION_MAX {
            return Ok(());
        }
        Err(refused(format!("its joins make more than {ROWS_PER_EVALUATION_MAX} rows in one evaluation")))
    }

    fn spend_pairs(&self, number: usize) -> Result<()> {
        let spent = self.pairs.load(Ordering::Relaxed).saturating_add(number);
        self.pairs.store(spent, Ordering::Relaxed);
        if spent <= PAIRS_PER_EVALUATION_MAX {
            return Ok(());
        }
        Err(refused(format!("its joins compare more than {PAIRS_PER_EVALUATION_MAX} pairs of rows in one evaluation")))
    }
}

/// Meters every operator of a plan that may make more rows than it takes.
pub fn meter(plan: Arc<dyn ExecutionPlan>, budget: &Arc<Budget>) -> Result<Arc<dyn ExecutionPlan>> {
    let metered = |input, counts| Arc::new(Meter { input, counts, budget: Arc::clone(budget) }) as Arc<dyn ExecutionPlan>;
    plan.transform_up(|node| {
        if node.children().len() < 2 {
            return Ok(Transformed::no(node));
        }
        let node = if node.is::<CrossJoinExec>() || node.is::<NestedLoopJoinExec>() {
            // Everything on the left is read before anything on the right.
            let left = Arc::new(AtomicUsize::new(0));
            let counts = [Counts::Left(Arc::clone(&left)), Counts::Right(left)];
            let sides: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
            let sides = sides.into_iter().zip(counts).map(|(side, counts)| metered(side, counts)).collect();
            node.replace_children(sides, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?
        } else if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            let expression: Arc<dyn PhysicalExpr> =
                Arc::new(MeteredFilter { inner: Arc::clone(filter.expression()), budget: Arc::clone(budget) });
            let filter = JoinFilter::new(expression, filter.column_indices().to_vec(), Arc::clone(filter.schema()));
            Arc::new(join.builder().with_filter(Some(filter)).build()?) as Arc<dyn ExecutionPlan>
        } else {
            node
        };
        Ok(Transformed::yes(metered(node, Counts::Rows)))
    })
    .data()
}

/// What a [`Meter`] counts.
#[derive(Clone, Debug)]
enum Counts {
    /// The rows that an operator makes.
    Rows,
    /// The rows on the left of a join that compares all with all.
    Left(Arc<AtomicUsize>),
    /// Its pairs: each row on the right with all on the left.
    Right(Arc<AtomicUsize>),
}

/// Passes rows on, and counts them.
#[derive(Debug)]
struct Meter {
    input: Arc<dyn ExecutionPlan>,
    counts: Counts,
    budget: Arc<Budget>,
}

impl Meter {
    fn count(counts: &Counts, budget: &Budget, rows: usize) -> Result<()> {
        match counts {
            Counts::Rows => budget.spend_rows(rows),
            Counts::Left(left) => {
                left.fetch_add(rows, Ordering::Relaxed);
                Ok(())
            }
            Counts::Right(left) => budget.spend_pairs(left.load(Ordering::Relaxed).saturating_mul(rows)),
        }
    }
}

impl DisplayAs for Meter {
    fn fmt_as(&self, _form: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl ExecutionPlan for Meter {
    fn name(&self) -> &str {
        "Meter"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => {
                Ok(Arc::new(Self { input, counts: self.counts.clone(), budget: Arc::clone(&self.budget) }))
            }
            _ => internal_err!("a meter has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let Counts::Left(left) = &self.counts {
            left.store(0, Ordering::Relaxed);
        }
        let (counts, budget) = (self.counts.clone(), Arc::clone(&self.budget));
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            Self::count(&counts, &budget, batch.num_rows())?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// The filter of a join by keys, which looks at every pair whose keys agree.
#[derive(Debug)]
struct MeteredFilter {
    inner: Arc<dyn PhysicalExpr>,
    budget: Arc<Budget>,
}

impl PartialEq for MeteredFilter {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for MeteredFilter {}

impl Hash for MeteredFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for MeteredFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for MeteredFilter {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn evaluate(&self, pairs: &RecordBatch) -> Result<ColumnarValue> {
        self.budget.spend_pairs(pairs.num_rows())?;
        self.inner.evaluate(pairs)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) if children.is_empty() => Ok(Arc::new(Self { inner, budget: Arc::clone(&self.budget) })),
            _ => internal_err!("a metered filter has one child"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
