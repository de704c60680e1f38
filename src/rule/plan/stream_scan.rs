//! What a rule reads of a stream: a chain of filters and projections over one scan, rewritten to expressions over the stream's
//! own columns.
//!
//! Written that way, two rules that mean the same input have the same text, whatever aliases and subqueries they spell it with:
//! they share groups, panes and accumulators. And a filter always runs before anything is computed of the rows that pass it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, Operator, TableScan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};

use crate::model::event::Kind;
use crate::rule::exec::expression_chain::{ExpressionChain, physical};
use crate::rule::plan::null_on_error::as_written;
use crate::rule::sql::catalog::StreamTable;

/// The rows of a stream that a rule looks at, and the columns that it needs of them.
#[derive(Clone)]
pub struct StreamSource {
    /// The stream.
    pub kind: Kind,
    /// The named window it is read through; `None` for the rule's own.
    pub window: Option<String>,
    /// The metric names that can match, where the filter says so: the router's index.
    pub names: Option<BTreeSet<String>>,
    /// The schema of the stream's table, which all expressions are compiled against.
    pub table: SchemaRef,
    /// What the rows must fulfil beyond what the router answers.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    /// The conjuncts of the filters that the router does not answer, as a person would write them.
    pub filters: Vec<String>,
    /// What identifies the rows: sources with the same text let the same rows through.
    pub key: String,
}

/// One aggregate over a stream: filter, group, accumulate.
#[derive(Clone)]
pub struct AggregateSource {
    /// Its rows.
    pub stream: StreamSource,
    /// The GROUP BY list.
    pub group: Vec<Arc<dyn PhysicalExpr>>,
    /// What identifies stream and grouping: sources with the same text share one key space.
    pub group_key: String,
    /// The fields of the GROUP BY list, as the aggregate yields them.
    pub group_fields: Vec<Field>,
    /// The aggregate functions.
    pub columns: Vec<AggregateColumn>,
    /// Schema of the rows that the aggregate yields: groups, then aggregates.
    pub leaf_schema: SchemaRef,
    /// For `explain`: the grouping, in words.
    pub text: String,
}

/// One aggregate function of an aggregate.
#[derive(Clone)]
pub struct AggregateColumn {
    /// The function with its arguments.
    pub function: Arc<AggregateFunctionExpr>,
    /// Its FILTER clause.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// What identifies it: equal texts accumulate once. DataFusion's own equality ignores DISTINCT and null handling.
    pub key: String,
}

/// Rows that a rule needs as they came: those of an instant rule, or below a join or a window function over rows.
#[derive(Clone)]
pub struct RowSource {
    /// The rows.
    pub stream: StreamSource,
    /// The columns that are kept of them.
    pub output: Vec<Arc<dyn PhysicalExpr>>,
    /// Their schema.
    pub leaf_schema: SchemaRef,
    /// What identifies the kept rows.
    pub key: String,
    /// The part of the plan that needs them.
    pub reason: String,
}

/// What the part of a plan above the cut stands on.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// Incremental state.
    Aggregate(AggregateSource),
    /// Rows kept for the length of the window.
    Rows(RowSource),
}

impl Leaf {
    /// Whether it has no rows where no event came.
    pub fn is_grouped(&self) -> bool {
        match self {
            Leaf::Aggregate(source) => !source.group.is_empty(),
            Leaf::Rows(_) => true,
        }
    }

    /// The rows it reads.
    pub fn stream(&self) -> &StreamSource {
        match self {
            Leaf::Aggregate(source) => &source.stream,
            Leaf::Rows(source) => &source.stream,
        }
    }

    /// Schema of the rows that it yields.
    pub fn schema(&self) -> &SchemaRef {
        match self {
            Leaf::Aggregate(source) => &source.leaf_schema,
            Leaf::Rows(source) => &source.leaf_schema,
        }
    }
}

impl fmt::Debug for AggregateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateSource({}, {})", self.stream.kind.table(), self.text)
    }
}

impl fmt::Debug for RowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowSource({}, {})", self.stream.kind.table(), self.key)
    }
}

/// The stream under a chain of filters and projections, if that is all there is.
pub fn stream_below(plan: &LogicalPlan) -> Option<&TableScan> {
    if !ExpressionChain::covers(plan) {
        return None;
    }
    let mut node = plan;
    loop {
        match node {
            LogicalPlan::TableScan(scan) => return scan.source.is::<StreamTable>().then_some(scan),
            other => node = other.inputs().first().copied()?,
        }
    }
}

impl AggregateSource {
    /// The source of an aggregate over a chain that [`stream_below`] accepts.
    pub fn new(aggregate: &Aggregate) -> Result<Self> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return plan_err!("GROUPING SETS, CUBE and ROLLUP are not supported: write one rule a grouping");
        }
        let exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr).cloned().collect();
        let flat = Flat::new(&aggregate.input, exprs)?;
        let groups = aggregate.group_expr.len();
        let (stream, schema) = flat.source()?;
        let group = flat.exprs[..groups].iter().map(|expr| physical(expr, &schema)).collect::<Result<Vec<_>>>()?;
        let fields = aggregate.schema.fields();
        let group_fields: Vec<Field> = fields[..groups].iter().map(|field| field.as_ref().clone()).collect();
        let columns = flat.exprs[groups..].iter().map(|expr| AggregateColumn::new(expr, &schema)).collect::<Result<Vec<_>>>()?;
        let yielded = columns.iter().map(|column| column.function.field().as_ref().clone());
        let leaf_schema = Arc::new(Schema::new(group_fields.iter().cloned().chain(yielded).collect::<Vec<_>>()));
        let texts: Vec<String> = flat.exprs[..groups].iter().map(|expr| expr.clone().unalias().to_string()).collect();
        let text = texts.join(", ");
        let group_key = format!("{}\n{text}", stream.kind.table());
        Ok(Self { stream, group, group_key, group_fields, columns, leaf_schema, text })
    }
}

impl AggregateColumn {
    fn new(expr: &Expr, input: &DFSchema) -> Result<Self> {
        let props = ExecutionProps::new();
        let context = PhysicalPlanningContext::default();
        let lowered = LoweredAggregateBuilder::new(expr, input, input.as_arrow(), &props, &context).build()?;
        Ok(Self { function: lowered.aggregate, filter: lowered.filter, key: expr.clone().unalias().to_string() })
    }

    /// The columns that the accumulator takes: arguments, then the ORDER BY of functions like `last_value(value ORDER BY ts)`.
    pub fn arguments(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let order = self.function.order_bys().iter().map(|sort| Arc::clone(&sort.expr));
        self.function.expressions().into_iter().chain(order).collect()
    }
}

impl RowSource {
    /// The source of a chain that [`stream_below`] accepts; `reason` says what needs its rows.
    pub fn new(chain: &LogicalPlan, reason: String) -> Result<Self> {
        let flat = Flat::new(chain, chain.schema().columns().into_iter().map(Expr::Column).collect())?;
        let (stream, schema) = flat.source()?;
        let output = flat.exprs.iter().map(|expr| physical(expr, &schema)).collect::<Result<Vec<_>>>()?;
        let texts: Vec<String> = flat.exprs.iter().map(|expr| expr.clone().unalias().to_string()).collect();
        let key = format!("{}\n{}", stream.key, texts.join(", "));
        Ok(Self { stream, output, leaf_schema: Arc::clone(chain.schema().inner()), key, reason })
    }
}

/// Expressions and filters over the columns of the stream's table.
struct Flat<'a> {
    scan: &'a TableScan,
    table: &'a StreamTable,
    exprs: Vec<Expr>,
    filters: Vec<Expr>,
}

impl<'a> Flat<'a> {
    fn new(chain: &'a LogicalPlan, mut exprs: Vec<Expr>) -> Result<Self> {
        let mut filters: Vec<Expr> = Vec::new();
        let mut node = chain;
        loop {
            let all = exprs.iter_mut().chain(&mut filters);
            match node {
                LogicalPlan::Filter(filter) => {
                    // The author wrote the innermost first.
                    filters.splice(0..0, split_conjunction(&filter.predicate).into_iter().cloned());
                    node = &filter.input;
                }
                LogicalPlan::Projection(projection) => {
                    replace(all, &projection.schema, &|at| projection.expr[at].clone().unalias())?;
                    node = &projection.input;
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let below = alias.input.schema();
                    replace(all, &alias.schema, &|at| Expr::Column(Column::from(below.qualified_field(at))))?;
                    node = &alias.input;
                }
                LogicalPlan::TableScan(scan) => {
                    let Some(table) = scan.source.downcast_ref::<StreamTable>() else {
                        return internal_err!("no stream: {}", node.display());
                    };
                    let schema = &scan.projected_schema;
                    replace(all, schema, &|at| Expr::Column(Column::new_unqualified(schema.field(at).name())))?;
                    return Ok(Self { scan, table, exprs, filters });
                }
                other => return internal_err!("no chain of filters and projections: {}", other.display()),
            }
        }
    }

    /// The source, with the schema that its expressions are compiled against.
    fn source(&self) -> Result<(StreamSource, DFSchema)> {
        let kind = self.table.kind;
        let named = |filter: &Expr| kind.routed_by().and_then(|column| names_of(filter, column));
        let names = self.filters.iter().filter_map(named).reduce(|a, b| a.intersection(&b).cloned().collect());
        let kept: Vec<Expr> = self.filters.iter().filter(|filter| named(filter).is_none()).cloned().collect();
        let table = datafusion::logical_expr::TableSource::schema(self.table);
        let compiled = DFSchema::try_from(table.as_ref().clone())?;
        let predicate = conjunction(kept.iter().cloned()).map(|predicate| physical(&predicate, &compiled)).transpose()?;
        let texts: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let key = format!("{}\n{:?}\n{}", kind.table(), names, texts.join(" AND "));
        let filters = kept.iter().map(in_words).collect::<Result<_>>()?;
        let window = self.scan.table_name.schema().map(String::from);
        Ok((StreamSource { kind, window, names, table, predicate, filters, key }, compiled))
    }
}

/// An expression as a person would write it: texts in quotes, numbers without their types.
fn in_words(expr: &Expr) -> Result<String> {
    let quoted = as_written(expr.clone())?.data.transform_up(|node| match node {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
            metadata,
        ) => {
            let text = format!("'{}'", text.replace('\'', "''"));
            Ok(Transformed::yes(Expr::Literal(ScalarValue::Utf8(Some(text)), metadata)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(quoted.data.human_display().to_string())
}

/// The few columns of a stream's table that some expressions read: their batch has these and no others.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Where they stand in the table.
    pub columns: Vec<usize>,
    /// The schema of the batch.
    pub schema: SchemaRef,
}

impl Binding {
    /// What `exprs`, compiled against `table`, read.
    pub fn of<'e>(table: &SchemaRef, exprs: impl Iterator<Item = &'e Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let read: BTreeSet<usize> = exprs.flat_map(collect_columns).map(|column| column.index()).collect();
        let columns: Vec<usize> = read.into_iter().collect();
        let schema = Arc::new(table.project(&columns)?);
        Ok(Self { columns, schema })
    }

    /// The same expression over the batch.
    pub fn bind(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        reassign_expr_columns(Arc::clone(expr), &self.schema)
    }
}

/// Replaces every column of `schema` by what stands at its place.
fn replace<'e>(exprs: impl Iterator<Item = &'e mut Expr>, schema: &DFSchema, with: &dyn Fn(usize) -> Expr) -> Result<()> {
    for expr in exprs {
        let old = std::mem::take(expr);
        let replaced = old.transform_up(|node| match &node {
            Expr::Column(column) => Ok(Transformed::yes(with(schema.index_of_column(column)?))),
            _ => Ok(Transformed::no(node)),
        })?;
        *expr = replaced.data;
    }
    Ok(())
}

/// The names for which `expr` is true, where it is nothing but a list of names.
fn names_of(expr: &Expr, column: &str) -> Option<BTreeSet<String>> {
    let is_name = |e: &Expr| matches!(e, Expr::Column(named) if named.name == column);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_name(left) => Some([literal(right)?].into()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_name(right) => Some([literal(left)?].into()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(names_of(left, column)?.union(&names_of(right, column)?).cloned().collect())
        }
        Expr::InList(list) if !list.negated && is_name(&list.expr) => list.list.iter().map(literal).collect(),
        _ => None,
    }
}

/// The text that an expression is, if it is nothing else.
pub fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) => Some(text.clone()),
        _ => None,
    }
}
