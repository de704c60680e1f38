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
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use crate::rule::in_order::InOrderExec;
use crate::rule::pipeline::Pipeline;

/// How the rest of a rule runs.
pub enum Rest {
    /// A chain of filters and projections over the only aggregate.
    Chain(Pipeline),
    /// A whole plan over the aggregates' slots.
    Plan {
        /// The plan as it was made; each run works on a copy with fresh state.
        template: Arc<dyn ExecutionPlan>,
        /// One slot an aggregate, in order.
        slots: Vec<Arc<Slot>>,
        /// What the plan may use while it runs.
        task: Arc<TaskContext>,
    },
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Rest::Chain(_)) { "Chain" } else { "Plan" })
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

impl Rest {
    /// Makes the rest of a rule from a plan whose leaves are `slots`.
    pub fn new(plan: &LogicalPlan, slots: Vec<Arc<Slot>>, state: &SessionState) -> Result<Self> {
        if slots.len() == 1 && Pipeline::covers(plan) {
            return Ok(Rest::Chain(Pipeline::new(plan)?));
        }
        let template = futures::executor::block_on(DefaultPhysicalPlanner::default().create_physical_plan(plan, state))?;
        Ok(Rest::Plan { template: InOrderExec::everywhere(template)?, slots, task: state.task_ctx() })
    }

    /// Runs on one batch an aggregate, in their order.
    pub fn run(&self, leaves: Vec<RecordBatch>) -> Result<RecordBatch> {
        match self {
            Rest::Chain(pipeline) => {
                let mut rows = leaves.into_iter();
                pipeline.run(&rows.next().unwrap_or_else(|| RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()))))
            }
            Rest::Plan { template, slots, task } => {
                for (slot, leaf) in slots.iter().zip(leaves) {
                    let count = RecordBatchOptions::new().with_row_count(Some(leaf.num_rows()));
                    let rows = RecordBatch::try_new_with_options(Arc::clone(&slot.schema), leaf.columns().to_vec(), &count)?;
                    *slot.rows.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
                }
                // A plan's joins and metrics remember their last run: each tick gets a copy without memory.
                let plan = reset_plan_states(Arc::clone(template))?;
                let schema = plan.schema();
                let batches = futures::executor::block_on(collect(plan, Arc::clone(task)))?;
                Ok(concat_batches(&schema, &batches)?)
            }
        }
    }
}
