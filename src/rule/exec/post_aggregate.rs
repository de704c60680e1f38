//! The part of a rule above its aggregates: runs once a tick on the few rows that they yield.
//!
//! A chain of filters and projections is evaluated directly. Anything else (joins and unions of aggregates, window functions,
//! ORDER BY, LIMIT) is a DataFusion plan made once, whose leaves read from slots that each tick fills.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::TryStreamExt;

use crate::model::limits::RESULT_ROWS_MAX;
use crate::rule::exec::expression_chain::ExpressionChain;
use crate::rule::exec::row_budget::{Budget, meter, refused};
use crate::rule::exec::sequential_exec::SequentialExec;

/// How the part of a rule above its aggregates runs.
pub enum PostAggregate {
    /// A chain of filters and projections over the only aggregate.
    Chain(ExpressionChain),
    /// A whole plan over the aggregates' slots.
    Plan {
        /// The plan as it was made; each run works on a copy with fresh state.
        template: Arc<dyn ExecutionPlan>,
        /// One slot an aggregate, in order.
        slots: Vec<Arc<Slot>>,
        /// What the plan may use while it runs.
        task: Arc<TaskContext>,
        /// What an evaluation may cost.
        budget: Arc<Budget>,
        /// Held while it runs: engines that share a rule share its slots.
        running: Mutex<()>,
    },
}

impl fmt::Debug for PostAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, PostAggregate::Chain(_)) { "Chain" } else { "Plan" })
    }
}

/// Where a tick puts an aggregate's rows for the plan above it.
#[derive(Debug)]
pub struct Slot {
    schema: SchemaRef,
    rows: Mutex<Option<RecordBatch>>,
}

impl Slot {
    /// An empty slot for rows of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, rows: Mutex::new(None) }
    }

    /// The slot as a table. Its statistics are unknown on purpose: over an empty in-memory table the planner would fold
    /// `count(*)` to a literal.
    pub fn table(self: &Arc<Self>) -> Result<StreamingTable> {
        StreamingTable::try_new(Arc::clone(&self.schema), vec![Arc::clone(self) as Arc<dyn PartitionStream>])
    }
}

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = futures::stream::iter(rows.map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

async fn result_of(plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
    let mut stream = execute_stream(plan, task)?;
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(batch) = stream.try_next().await? {
        rows += batch.num_rows();
        if rows > RESULT_ROWS_MAX {
            return Err(refused(format!("its result has more than {RESULT_ROWS_MAX} rows")));
        }
        batches.push(batch);
    }
    Ok(batches)
}

impl PostAggregate {
    /// Makes that part of a rule from a plan whose leaves are `slots`.
    pub fn new(plan: &LogicalPlan, slots: Vec<Arc<Slot>>, state: &SessionState) -> Result<Self> {
        if slots.len() == 1 && ExpressionChain::covers(plan) {
            return Ok(PostAggregate::Chain(ExpressionChain::new(plan)?));
        }
        let template = futures::executor::block_on(DefaultPhysicalPlanner::default().create_physical_plan(plan, state))?;
        let budget = Arc::new(Budget::default());
        let template = meter(SequentialExec::everywhere(template)?, &budget)?;
        Ok(PostAggregate::Plan { template, slots, task: state.task_ctx(), budget, running: Mutex::default() })
    }

    /// Runs on one batch an aggregate, in their order.
    pub fn run(&self, leaves: Vec<RecordBatch>) -> Result<RecordBatch> {
        match self {
            PostAggregate::Chain(pipeline) => {
                let mut rows = leaves.into_iter();
                pipeline.run(&rows.next().unwrap_or_else(|| RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()))))
            }
            PostAggregate::Plan { template, slots, task, budget, running } => {
                let _alone = running.lock().unwrap_or_else(PoisonError::into_inner);
                for (slot, leaf) in slots.iter().zip(leaves) {
                    let count = RecordBatchOptions::new().with_row_count(Some(leaf.num_rows()));
                    let rows = RecordBatch::try_new_with_options(Arc::clone(&slot.schema), leaf.columns().to_vec(), &count)?;
                    *slot.rows.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
                }
                // A plan's joins and metrics remember their last run: each tick gets a copy without memory.
                let plan = reset_plan_states(Arc::clone(template))?;
                let schema = plan.schema();
                budget.refill();
                let batches = futures::executor::block_on(result_of(plan, Arc::clone(task)));
                // What the slots hold is the rule's no longer.
                slots.iter().for_each(|slot| *slot.rows.lock().unwrap_or_else(PoisonError::into_inner) = None);
                Ok(concat_batches(&schema, &batches?)?)
            }
        }
    }
}
