//! Chains of filters and projections over record batches, evaluated by DataFusion's physical expressions with no plan
//! started: what most rules have above their aggregates, at every tick. Starting a plan costs tens of microseconds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, Result, cast::as_boolean_array, plan_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

/// A chain of stages, first to last.
#[derive(Clone, Debug, Default)]
pub struct ExpressionChain {
    stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
enum Stage {
    Columns(Vec<usize>),
    Filter(Arc<dyn PhysicalExpr>),
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

/// Compiles a logical expression against the schema of its input.
pub fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    create_physical_expr(expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
}

impl ExpressionChain {
    /// Whether `plan` is a chain of filters and projections over one scan, free of subqueries.
    pub fn covers(plan: &LogicalPlan) -> bool {
        let plain = plan.expressions().iter().all(|expr| !has_subquery(expr));
        match plan {
            LogicalPlan::TableScan(scan) => scan.filters.is_empty() && scan.fetch.is_none(),
            LogicalPlan::Filter(node) => plain && Self::covers(&node.input),
            LogicalPlan::Projection(node) => plain && Self::covers(&node.input),
            LogicalPlan::SubqueryAlias(node) => Self::covers(&node.input),
            _ => false,
        }
    }

    /// Compiles a plan that [`Self::covers`].
    pub fn new(plan: &LogicalPlan) -> Result<Self> {
        let mut stages = match plan {
            LogicalPlan::TableScan(scan) => {
                let columns = scan.projection.clone();
                return Ok(Self { stages: columns.map(Stage::Columns).into_iter().collect() });
            }
            LogicalPlan::Filter(node) => {
                let mut below = Self::new(&node.input)?.stages;
                below.push(Stage::Filter(physical(&node.predicate, node.input.schema())?));
                below
            }
            LogicalPlan::Projection(node) => {
                let mut below = Self::new(&node.input)?.stages;
                let exprs = node.expr.iter().map(|expr| physical(expr, node.input.schema())).collect::<Result<Vec<_>>>()?;
                below.push(Stage::Project(exprs, Arc::clone(node.schema.inner())));
                below
            }
            LogicalPlan::SubqueryAlias(node) => Self::new(&node.input)?.stages,
            other => return plan_err!("no chain of filters and projections: {}", other.display()),
        };
        stages.shrink_to_fit();
        Ok(Self { stages })
    }

    /// Runs the chain.
    pub fn run(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut batch = batch.clone();
        for stage in &self.stages {
            match stage {
                Stage::Columns(columns) => batch = batch.project(columns)?,
                Stage::Filter(predicate) => {
                    let mask = mask_of(predicate, &batch)?;
                    if mask.true_count() < batch.num_rows() {
                        batch = filter_record_batch(&batch, &mask)?;
                    }
                }
                Stage::Project(exprs, schema) => {
                    let columns = evaluate(exprs, &batch)?;
                    batch = batch_of(schema, columns, batch.num_rows())?;
                }
            }
        }
        Ok(batch)
    }
}

/// Which rows fulfil a predicate.
pub fn mask_of(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let mask = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(true_only(as_boolean_array(&mask)?))
}

/// Evaluates expressions to full columns.
pub fn evaluate(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}

/// A batch of these columns; types are the schema's by construction of the plan, nullability is not insisted on.
pub fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| field.as_ref().clone().with_nullable(true).with_data_type(column.data_type().clone()))
        .collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))?)
}

/// SQL's third truth value keeps a row out.
pub fn true_only(mask: &BooleanArray) -> BooleanArray {
    if mask.null_count() == 0 { mask.clone() } else { prep_null_mask_filter(mask) }
}

fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))))
        .unwrap_or(true)
}
