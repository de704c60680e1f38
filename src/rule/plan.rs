//! Plans a rule: its SQL becomes a DataFusion plan, and the plan is cut at each aggregate that stands over a stream.
//!
//! Below the cut are the aggregates, which [`crate::window`] keeps as incremental state per group and pane; above it is the
//! [`Rest`], which runs once a tick on the few rows that the aggregates yield. So a rule costs its groups and panes, never its
//! events.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator};
use datafusion::optimizer::Optimizer;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::Statement;

use crate::rule::catalog::{Catalog, StreamTable};
use crate::rule::forgiving::Forgiving;
use crate::rule::pipeline::{Pipeline, physical};
use crate::rule::rest::{Rest, Slot};
use crate::words::event::{Kind, LabelKeys};

/// How a rule is evaluated.
#[derive(Debug)]
pub struct RulePlan {
    /// The aggregates over streams, in the order of the rest's leaves.
    pub aggregates: Vec<AggregateSource>,
    /// The part above them.
    pub rest: Rest,
    /// The schema of the result.
    pub schema: SchemaRef,
    /// The rest as text, for `explain`.
    pub rest_text: String,
}

impl RulePlan {
    /// Whether each of its aggregates has a GROUP BY list: then it yields nothing where no event came.
    pub fn is_grouped(&self) -> bool {
        self.aggregates.iter().all(|source| !source.group.is_empty())
    }
}

/// One aggregate over a stream: filter, group, accumulate.
pub struct AggregateSource {
    /// The stream.
    pub kind: Kind,
    /// The metric names that can match, where the filter says so: the router's index.
    pub names: Option<BTreeSet<String>>,
    /// Filters and projections between the stream and the aggregate, without what the router answers.
    pub input: Pipeline,
    /// What identifies input and grouping: aggregates with the same text share one key space.
    pub input_key: String,
    /// The GROUP BY list.
    pub group: Vec<Arc<dyn PhysicalExpr>>,
    /// Its fields, as the aggregate yields them.
    pub group_fields: Vec<Field>,
    /// The aggregate functions.
    pub columns: Vec<AggregateColumn>,
    /// Schema of the rows that the aggregate yields: groups, then aggregates.
    pub leaf_schema: SchemaRef,
    /// For `explain`: the filters below it, in words.
    pub filters: Vec<String>,
    /// For `explain`: the grouping, in words.
    pub text: String,
}

impl fmt::Debug for AggregateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateSource({}, {})", self.kind.table(), self.text)
    }
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

/// The session that plans and runs rules: one partition, no dynamic filters (they go stale when a plan runs again), none of
/// the defaults that could read files.
static STATE: LazyLock<SessionState> = LazyLock::new(|| {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(8192).with_collect_statistics(false);
    let options = config.options_mut();
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_aggregation = false;
    options.optimizer.enable_distinct_aggregation_soft_limit = false;
    options.sql_parser.collect_spans = true;
    let optimizer = Optimizer::new();
    // It turns count(DISTINCT x) into two aggregates, of which only the lower one would be incremental.
    let rules = optimizer.rules.into_iter().filter(|rule| rule.name() != "single_distinct_aggregation_to_group_by").collect();
    SessionStateBuilder::new().with_config(config).with_analyzer_rule(Arc::new(Forgiving)).with_optimizer_rules(rules).build()
});

/// The options that planning and running share.
pub fn options() -> &'static ConfigOptions {
    STATE.config_options()
}

/// Plans a rule's statement over tables that have the label columns `label_keys`.
pub fn plan(statement: &Statement, label_keys: &LabelKeys) -> Result<RulePlan> {
    let logical = logical_plan(statement, label_keys)?;
    let schema = Arc::clone(logical.schema().inner());
    let optimized = STATE.optimize(&logical)?;
    let (rest, aggregates, slots) = cut(optimized)?;
    refuse_raw_rows(&rest)?;
    if aggregates.is_empty() {
        return plan_err!("no stream is read: select from metrics, logs, spans or alerts");
    }
    let rest_text = rest.display_indent().to_string();
    Ok(RulePlan { aggregates, rest: Rest::new(&rest, slots, &STATE)?, schema, rest_text })
}

/// The plan before it is cut: what the oracle runs as a batch query.
pub fn logical_plan(statement: &Statement, label_keys: &LabelKeys) -> Result<LogicalPlan> {
    let catalog = Catalog::new(label_keys, options().clone());
    let parser_options = ParserOptions { collect_spans: true, ..ParserOptions::from(&options().sql_parser) };
    SqlToRel::new_with_options(&catalog, parser_options).sql_statement_to_plan(statement.clone())
}

/// Replaces each aggregate over a stream by a leaf of the same schema.
fn cut(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<AggregateSource>, Vec<Arc<Slot>>)> {
    let mut aggregates = Vec::new();
    let mut slots = Vec::new();
    let rest = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        let Some(kind) = stream_below(&aggregate.input) else { return Ok(Transformed::no(node)) };
        let source = AggregateSource::new(aggregate, kind)?;
        let slot = Arc::new(Slot::new(leaf_schema(&aggregate.schema)));
        let leaf = leaf(&aggregate.schema, &slot, slots.len())?;
        aggregates.push(source);
        slots.push(slot);
        Ok(Transformed::new(leaf, true, TreeNodeRecursion::Jump))
    })?;
    Ok((rest.data, aggregates, slots))
}

/// The stream under a chain of filters and projections, if that is all there is.
fn stream_below(plan: &LogicalPlan) -> Option<Kind> {
    if !Pipeline::covers(plan) {
        return None;
    }
    let mut node = plan;
    loop {
        match node {
            LogicalPlan::TableScan(scan) => {
                return scan.source.downcast_ref::<StreamTable>().map(|table| table.kind);
            }
            other => node = other.inputs().first().copied()?,
        }
    }
}

/// Names made unique, so that a table can have them: two inputs of a join may both have an `env`.
fn leaf_schema(schema: &DFSchema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| Field::new(format!("c{i}"), field.data_type().clone(), field.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A scan of the slot under a projection that gives its columns the names and qualifiers that the plan above expects.
fn leaf(schema: &DFSchema, slot: &Arc<Slot>, index: usize) -> Result<LogicalPlan> {
    let table = format!("aggregate_{index}");
    let names = schema.iter().enumerate().map(|(i, (qualifier, field))| {
        let column = Expr::Column(Column::new(Some(table.clone()), format!("c{i}")));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::scan(&table, provider_as_source(Arc::new(slot.table()?)), None)?.project(names)?.build()
}

/// Streams that are still scanned above the cut would have to keep their rows.
fn refuse_raw_rows(rest: &LogicalPlan) -> Result<()> {
    let mut raw = BTreeSet::new();
    rest.apply_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) if scan.source.is::<StreamTable>() => {
            raw.insert(scan.table_name.table().to_string());
            Ok(TreeNodeRecursion::Continue)
        }
        LogicalPlan::Values(_) | LogicalPlan::RecursiveQuery(_) | LogicalPlan::Unnest(_) => {
            plan_err!("rows that come from no stream are not allowed in a rule")
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    if raw.is_empty() {
        return Ok(());
    }
    let tables: Vec<String> = raw.into_iter().map(|table| format!("`{table}`")).collect();
    plan_err!(
        "rows of {} are used before they are aggregated: aggregate first, for example max(value) AS value with GROUP BY service, then join or rank the results",
        tables.join(" and ")
    )
}

impl AggregateSource {
    fn new(aggregate: &Aggregate, kind: Kind) -> Result<Self> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return plan_err!("GROUPING SETS, CUBE and ROLLUP are not supported: write one rule a grouping");
        }
        let names = if kind == Kind::Metric { routed_names(&aggregate.input) } else { None };
        let routed = names.is_some();
        let input = Pipeline::new(&aggregate.input, &|conjunct| routed && names_of(conjunct).is_some())?;
        let below = aggregate.input.schema();
        let group = aggregate.group_expr.iter().map(|expr| physical(expr, below)).collect::<Result<Vec<_>>>()?;
        let fields = aggregate.schema.fields();
        let group_fields: Vec<Field> = fields[..group.len()].iter().map(|field| field.as_ref().clone()).collect();
        let columns = aggregate.aggr_expr.iter().map(|expr| AggregateColumn::new(expr, below)).collect::<Result<Vec<_>>>()?;
        let yielded = columns.iter().map(|column| column.function.field().as_ref().clone());
        let leaf_schema = Arc::new(Schema::new(group_fields.iter().cloned().chain(yielded).collect::<Vec<_>>()));
        let input_text = aggregate.input.display_indent_schema().to_string();
        let group_text: Vec<String> = aggregate.group_expr.iter().map(|expr| format!("{expr:?}")).collect();
        let shown: Vec<String> = aggregate.group_expr.iter().map(|expr| expr.human_display().to_string()).collect();
        Ok(Self {
            kind,
            names,
            input,
            input_key: format!("{}\n{input_text}\n{}", kind.table(), group_text.join(", ")),
            group,
            group_fields,
            columns,
            leaf_schema,
            filters: filters_below(&aggregate.input),
            text: shown.join(", "),
        })
    }
}

impl AggregateColumn {
    fn new(expr: &Expr, input: &DFSchema) -> Result<Self> {
        let props = ExecutionProps::new();
        let context = PhysicalPlanningContext::default();
        let lowered = LoweredAggregateBuilder::new(expr, input, input.as_arrow(), &props, &context).build()?;
        Ok(Self { function: lowered.aggregate, filter: lowered.filter, key: format!("{:?}", expr.clone().unalias()) })
    }

    /// The columns that the accumulator takes: arguments, then the ORDER BY of functions like `last_value(value ORDER BY ts)`.
    pub fn arguments(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let order = self.function.order_bys().iter().map(|sort| Arc::clone(&sort.expr));
        self.function.expressions().into_iter().chain(order).collect()
    }
}

/// The conjuncts of all filters below an aggregate, as a person would write them.
fn filters_below(plan: &LogicalPlan) -> Vec<String> {
    let mut filters: Vec<String> = plan.inputs().into_iter().flat_map(filters_below).collect();
    if let LogicalPlan::Filter(filter) = plan {
        let conjuncts = datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
        filters.extend(conjuncts.into_iter().map(|conjunct| conjunct.human_display().to_string()));
    }
    filters
}

/// The metric names that pass the filters between the scan and the first projection: above that, `name` may be something else.
fn routed_names(plan: &LogicalPlan) -> Option<BTreeSet<String>> {
    let below = plan.inputs().first().and_then(|input| routed_names(input));
    match plan {
        LogicalPlan::Filter(filter) if !has_projection(&filter.input) => {
            let conjuncts = datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
            conjuncts.into_iter().filter_map(names_of).chain(below).reduce(|a, b| a.intersection(&b).cloned().collect())
        }
        _ => below,
    }
}

fn has_projection(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Projection(_)) || plan.inputs().into_iter().any(has_projection)
}

/// The names for which `expr` is true, where it is nothing but a list of names.
fn names_of(expr: &Expr) -> Option<BTreeSet<String>> {
    let is_name = |e: &Expr| matches!(e, Expr::Column(column) if column.name == "name");
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_name(left) => Some([literal(right)?].into()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_name(right) => Some([literal(left)?].into()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(names_of(left)?.union(&names_of(right)?).cloned().collect())
        }
        Expr::InList(list) if !list.negated && is_name(&list.expr) => list.list.iter().map(literal).collect(),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) => Some(text.clone()),
        _ => None,
    }
}

/// Planner errors wrap each other; the innermost one says what a person can mend.
pub fn innermost(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => innermost(inner),
        DataFusionError::Collection(all) => all.first().map_or(error, innermost),
        other => other,
    }
}
