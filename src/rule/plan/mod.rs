//! Plans a rule: its SQL becomes a DataFusion plan, and the plan is cut at each aggregate that stands over a stream.
//!
//! Below the cut are the aggregates, which [`crate::window`] keeps as incremental state per group and pane; above it is the
//! [`PostAggregate`], which runs once a tick on the few rows that the aggregates yield. So a rule costs its groups and panes, never its
//! events.

mod literal;
pub mod mergeable;
pub mod null_on_error;
mod silent_input;
pub mod size_limits;
pub mod stream_scan;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::functions_aggregate::first_last;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::Optimizer;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::Statement;

use crate::model::event::LabelKeys;
use crate::model::limits::EVALUATION_BYTES_MAX;
use crate::rule::aggregate::series::function::named;
use crate::rule::exec::expression_chain::ExpressionChain;
use crate::rule::exec::post_aggregate::{PostAggregate, Slot};
use crate::rule::lookup::table::Lookups;
use crate::rule::plan::null_on_error::{NullOnError, as_written};
use crate::rule::plan::silent_input::answers_silence;
use crate::rule::plan::stream_scan::{AggregateSource, Leaf, RowSource, stream_below};
use crate::rule::sql::catalog::{Catalog, StreamTable};

/// How a rule is evaluated.
#[derive(Debug)]
pub struct RulePlan {
    /// What it reads of streams, in the order of the leaves below `post_aggregate`.
    pub leaves: Vec<Leaf>,
    /// The part above them.
    pub post_aggregate: PostAggregate,
    /// The schema of the result.
    pub schema: SchemaRef,
    /// The part above the aggregates as text, for `explain`.
    pub post_aggregate_text: String,
    /// Whether it may yield something where no event came.
    pub answers_silence: bool,
}

impl RulePlan {
    /// Whether each of its aggregates has a GROUP BY list.
    pub fn is_grouped(&self) -> bool {
        self.leaves.iter().all(Leaf::is_grouped)
    }

    /// Its aggregates.
    pub fn aggregates(&self) -> impl Iterator<Item = &AggregateSource> {
        self.leaves.iter().filter_map(|leaf| match leaf {
            Leaf::Aggregate(source) => Some(source),
            Leaf::Rows(_) => None,
        })
    }
}

/// The session that plans and runs rules: one partition, no dynamic filters (they go stale when a plan runs again), none of
/// the defaults that could read files, and only so much memory.
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
    let pool = Arc::new(GreedyMemoryPool::new(EVALUATION_BYTES_MAX));
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let environment = RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(no_disk).build_arc();
    let builder = match environment {
        Ok(environment) => SessionStateBuilder::new().with_runtime_env(environment),
        Err(error) => unreachable!("an environment without a disk needs nothing: {error}"),
    };
    // DISTINCT ON becomes an aggregate, and its rule asks the session for the function.
    let builder = builder.with_aggregate_functions(vec![first_last::first_value_udaf()]);
    builder.with_config(config).with_analyzer_rule(Arc::new(NullOnError)).with_optimizer_rules(rules).build()
});

/// The options that planning and running share.
pub fn options() -> &'static ConfigOptions {
    STATE.config_options()
}

/// What a rule's SQL may stand on.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    /// The labels that the tables have as columns.
    pub label_keys: &'a LabelKeys,
    /// The named windows: `yesterday` in `FROM yesterday.metrics`.
    pub windows: &'a [String],
    /// The tables `lookup.…`.
    pub lookups: &'a Lookups,
    /// Whether the rule looks at single events: then its query must not aggregate.
    pub instant: bool,
}

/// Plans a rule's statement.
pub fn plan(statement: &Statement, context: PlanContext<'_>) -> Result<RulePlan> {
    let logical = logical_plan(statement, context)?;
    size_limits::check(&logical)?;
    let schema = Arc::clone(logical.schema().inner());
    let optimized = STATE.optimize(&logical)?;
    if context.instant {
        return instant(&optimized, schema);
    }
    if is_raw(&optimized) {
        return plan_err!(
            "{RAW_ROWS}: aggregate them, for example max(value) AS value with GROUP BY service, or say `instant: true` for an alert at each event"
        );
    }
    let (above, leaves, slots) = cut(optimized)?;
    refuse_raw_rows(&above)?;
    refuse_unknown_window(&above)?;
    if leaves.is_empty() {
        if reads_stream(&logical)? {
            return plan_err!("{NEVER_TRUE}: a value is compared with one of another type, or two conditions exclude each other");
        }
        return plan_err!("no stream is read: select from metrics, logs, spans, alerts or signals");
    }
    let post_aggregate_text = text_of(&above)?;
    // What is no leaf, a lookup, has its rows whatever comes.
    let leaf = |name: &str| (0..).zip(&leaves).find(|(at, _)| leaf_name(*at) == name).is_none_or(|(_, leaf)| !leaf.is_grouped());
    let answers_silence = answers_silence(&above, &leaf);
    let post_aggregate = PostAggregate::new(&above, slots, &STATE)?;
    Ok(RulePlan { leaves, post_aggregate, schema, post_aggregate_text, answers_silence })
}

/// What a query is called in errors whose optimized plan reads nothing.
pub const NEVER_TRUE: &str = "no event can fulfil these conditions";

fn reads_stream(plan: &LogicalPlan) -> Result<bool> {
    let mut reads = false;
    plan.apply_with_subqueries(|node| {
        reads |= matches!(node, LogicalPlan::TableScan(scan) if scan.source.is::<StreamTable>());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads)
}

/// Whether the result is a stream's rows as they came, of one stream or of several one below the other.
fn is_raw(plan: &LogicalPlan) -> bool {
    stream_below(plan).is_some()
        || match plan {
            LogicalPlan::Union(union) => union.inputs.iter().any(|input| is_raw(input)),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => is_raw(&sort.input),
            LogicalPlan::Projection(projection) => is_raw(&projection.input),
            LogicalPlan::Filter(filter) => is_raw(&filter.input),
            LogicalPlan::SubqueryAlias(alias) => is_raw(&alias.input),
            _ => false,
        }
}

/// What a node that needs rows is, in words.
fn in_words(node: &LogicalPlan) -> String {
    let window_function = |expr: &Expr| match expr {
        Expr::WindowFunction(function) => format!("{}() OVER (…)", function.fun.name()),
        other => other.human_display().to_string(),
    };
    match node {
        LogicalPlan::Window(window) => window.window_expr.iter().map(window_function).collect::<Vec<_>>().join(", "),
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => "ORDER BY with LIMIT".into(),
        LogicalPlan::Sort(_) => "ORDER BY".into(),
        LogicalPlan::Limit(_) => "LIMIT".into(),
        LogicalPlan::Union(_) => "UNION".into(),
        other => other.display().to_string(),
    }
}

/// A plan as text, its expressions as their author wrote them.
fn text_of(plan: &LogicalPlan) -> Result<String> {
    let written = plan.clone().transform_up_with_subqueries(|node| node.map_expressions(as_written))?.data;
    Ok(written.display_indent().to_string())
}

/// What a result of single rows is called in errors.
pub const RAW_ROWS: &str = "the result is rows that are not aggregated";

/// An instant rule is one chain of filters and projections.
fn instant(plan: &LogicalPlan, schema: SchemaRef) -> Result<RulePlan> {
    if stream_below(plan).is_none() {
        return plan_err!(
            "an instant rule looks at single events, without aggregates, joins, DISTINCT or ORDER BY: leave them out; a rule about a stretch of time has a `window` instead"
        );
    }
    let source = RowSource::new(plan, "the rule looks at single events".into())?;
    let post_aggregate = PostAggregate::Chain(ExpressionChain::default());
    let post_aggregate_text = text_of(plan)?;
    Ok(RulePlan { leaves: vec![Leaf::Rows(source)], post_aggregate, schema, post_aggregate_text, answers_silence: false })
}

/// The plan before it is cut: what the oracle runs as a batch query.
pub fn logical_plan(statement: &Statement, context: PlanContext<'_>) -> Result<LogicalPlan> {
    let catalog = Catalog::new(context.label_keys, context.windows, context.lookups, options().clone());
    let parser_options = ParserOptions { collect_spans: true, ..ParserOptions::from(&options().sql_parser) };
    SqlToRel::new_with_options(&catalog, parser_options).sql_statement_to_plan(statement.clone())
}

/// Replaces each aggregate over a stream, and each stream whose rows something else needs, by a leaf of the same schema.
fn cut(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<Leaf>, Vec<Arc<Slot>>)> {
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut slots: Vec<Arc<Slot>> = Vec::new();
    let mut stand_on = |leaf: Leaf, schema: &DFSchema| {
        let slot = Arc::new(Slot::new(leaf_schema(schema)));
        let plan = leaf_plan(schema, &slot, slots.len())?;
        leaves.push(leaf);
        slots.push(slot);
        Ok::<_, DataFusionError>(plan)
    };
    let above = plan.transform_down_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = &node
            && stream_below(&aggregate.input).is_some()
        {
            let leaf = stand_on(Leaf::Aggregate(AggregateSource::new(aggregate)?), &aggregate.schema)?;
            return Ok(Transformed::new(leaf, true, TreeNodeRecursion::Jump));
        }
        let reason = in_words(&node);
        node.map_children(|child| match stream_below(&child) {
            Some(_) => Ok(Transformed::yes(stand_on(Leaf::Rows(RowSource::new(&child, reason.clone())?), child.schema())?)),
            None => Ok(Transformed::no(child)),
        })
    })?;
    Ok((above.data, leaves, slots))
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

/// What a leaf is called above the cut.
fn leaf_name(index: usize) -> String {
    format!("leaf_{index}")
}

/// A scan of the slot under a projection that gives its columns the names and qualifiers that the plan above expects.
fn leaf_plan(schema: &DFSchema, slot: &Arc<Slot>, index: usize) -> Result<LogicalPlan> {
    let table = leaf_name(index);
    let names = schema.iter().enumerate().map(|(i, (qualifier, field))| {
        let column = Expr::Column(Column::new(Some(table.clone()), format!("c{i}")));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::scan(&table, provider_as_source(Arc::new(slot.table()?)), None)?.project(names)?.build()
}

/// Streams that are still scanned above the cut would have to keep their rows.
fn refuse_raw_rows(above: &LogicalPlan) -> Result<()> {
    let mut raw = BTreeSet::new();
    above.apply_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) if scan.source.is::<StreamTable>() => {
            raw.insert(scan.table_name.table().to_string());
            Ok(TreeNodeRecursion::Continue)
        }
        LogicalPlan::RecursiveQuery(_) | LogicalPlan::Unnest(_) => {
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

/// Above the cut nobody knows over which window rows are aggregated.
fn refuse_unknown_window(above: &LogicalPlan) -> Result<()> {
    above.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::AggregateFunction(call)
                    if named(call.func.name()).is_some_and(|known| known.needs_window(call.params.args.len())) =>
                {
                    plan_err!(
                        "`{}` needs to know its window, and is computed here of rows that are kept: compute it in a subquery that reads only metrics, and join the results",
                        call.func.name()
                    )
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}

/// Planner errors wrap each other; the innermost one says what a person can mend.
pub fn innermost(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => innermost(inner),
        DataFusionError::Collection(all) => all.first().map_or(error, innermost),
        other => other,
    }
}
