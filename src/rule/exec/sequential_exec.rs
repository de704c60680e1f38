//! Runs the partitions of a plan one after the other.
//!
//! DataFusion's own merge of partitions (above a UNION, say) spawns tasks: it needs a runtime, and rows come in the order in
//! which tasks happen to run. A rule is evaluated on the engine's thread, and equal input must give equal output.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

/// The partitions of its input, the first to the last, as one.
#[derive(Debug)]
pub struct SequentialExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SequentialExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let equivalence = EquivalenceProperties::new(input.schema());
        let one = Partitioning::UnknownPartitioning(1);
        let properties = Arc::new(PlanProperties::new(equivalence, one, EmissionType::Incremental, Boundedness::Bounded));
        Self { input, properties }
    }

    /// Replaces every merge of partitions in a plan, and merges its output.
    pub fn everywhere(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan
            .transform_up(|node| {
                let merge = node.downcast_ref::<CoalescePartitionsExec>().filter(|merge| merge.fetch().is_none());
                match merge {
                    Some(merge) => Ok(Transformed::yes(Arc::new(Self::new(Arc::clone(merge.input()))) as Arc<dyn ExecutionPlan>)),
                    None => Ok(Transformed::no(node)),
                }
            })
            .data()?;
        Ok(if plan.output_partitioning().partition_count() > 1 { Arc::new(Self::new(plan)) } else { plan })
    }
}

impl DisplayAs for SequentialExec {
    fn fmt_as(&self, _form: DisplayFormatType, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("SequentialExec")
    }
}

impl ExecutionPlan for SequentialExec {
    fn name(&self) -> &str {
        "SequentialExec"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(input))),
            _ => internal_err!("SequentialExec has one input"),
        }
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = Arc::clone(&self.input);
        let partitions = futures::stream::iter(0..input.output_partitioning().partition_count());
        let rows = partitions.map(move |partition| input.execute(partition, Arc::clone(&context))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
