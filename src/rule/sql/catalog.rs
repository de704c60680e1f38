//! What a rule's SQL may name: five tables, lookups, and a list of functions. Rule authors' SQL is untrusted input, so the list holds
//! only what is a pure function of its arguments and keeps its memory bounded; the rest gets an error with a hint.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use datafusion::{functions, functions_aggregate, functions_window};

use crate::model::event::{Kind, LabelKeys};
use crate::rule::aggregate;
use crate::rule::function;
use crate::rule::lookup::table::{Lookups, SCHEMA};

/// One of the streams, as a table that is only ever planned, never scanned.
#[derive(Debug)]
pub struct StreamTable {
    /// Which stream.
    pub kind: Kind,
    schema: SchemaRef,
}

impl TableSource for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Tables and functions for the planner.
pub struct Catalog<'a> {
    tables: Vec<Arc<StreamTable>>,
    windows: &'a [String],
    lookups: &'a Lookups,
    options: ConfigOptions,
}

impl<'a> Catalog<'a> {
    /// A catalog whose tables have these label columns. Each table can also be read through a named window: `yesterday.metrics`.
    pub fn new(label_keys: &LabelKeys, windows: &'a [String], lookups: &'a Lookups, options: ConfigOptions) -> Self {
        let tables = Kind::ALL.iter().map(|kind| Arc::new(StreamTable { kind: *kind, schema: label_keys.schema(*kind) }));
        Self { tables: tables.collect(), windows, lookups, options }
    }
}

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if name.catalog().is_none() && name.schema() == Some(SCHEMA) {
            let Some(lookup) = self.lookups.get(name.table()) else { return plan_err!("table '{name}' not found") };
            let table = MemTable::try_new(lookup.rows.schema(), vec![vec![lookup.rows.clone()]])?;
            return Ok(provider_as_source(Arc::new(table)));
        }
        let known =
            name.catalog().is_none() && name.schema().is_none_or(|schema| self.windows.iter().any(|known| known == schema));
        match self.tables.iter().find(|table| known && table.kind.table() == name.table()) {
            Some(table) => Ok(Arc::clone(table) as Arc<dyn TableSource>),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &FUNCTIONS.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        FUNCTIONS.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        FUNCTIONS.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        FUNCTIONS.window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        FUNCTIONS.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        FUNCTIONS.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        FUNCTIONS.window.keys().cloned().collect()
    }
}

/// Every function that a rule may call, by name and alias.
struct Functions {
    scalar: BTreeMap<String, Arc<ScalarUDF>>,
    aggregate: BTreeMap<String, Arc<AggregateUDF>>,
    window: BTreeMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let scalar = functions::all_default_functions()
        .into_iter()
        .filter(|udf| udf.signature().volatility == Volatility::Immutable)
        .chain(function::all())
        .flat_map(|udf| names(udf.name(), udf.aliases()).map(move |name| (name, Arc::clone(&udf))))
        .filter(|(name, _)| refusal(name).is_none())
        .collect();
    let aggregate = functions_aggregate::all_default_aggregate_functions()
        .into_iter()
        .chain(aggregate::all())
        .flat_map(|udf| names(udf.name(), udf.aliases()).map(move |name| (name, Arc::clone(&udf))))
        .filter(|(name, _)| refusal(name).is_none())
        .collect();
    let window = functions_window::all_default_window_functions()
        .into_iter()
        .flat_map(|udf| names(udf.name(), udf.aliases()).map(move |name| (name, Arc::clone(&udf))))
        .collect();
    let planners: Vec<Arc<dyn ExprPlanner>> = vec![
        Arc::new(functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(function::date_part::ExtractPlanner),
        Arc::new(functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(functions_aggregate::planner::AggregateFunctionPlanner),
        Arc::new(functions_window::planner::WindowFunctionPlanner),
    ];
    Functions { scalar, aggregate, window, planners }
});

fn names(name: &str, aliases: &[String]) -> impl Iterator<Item = String> + use<> {
    let all: Vec<String> = std::iter::once(name.to_string()).chain(aliases.iter().cloned()).collect();
    all.into_iter()
}

/// What is wrong with functions and queries that make rows of nothing.
pub const WITHOUT_BOUND: &str = "it makes rows without bound";

/// Why a rule may not call a function that exists elsewhere, and what to write instead.
pub fn refusal(name: &str) -> Option<&'static str> {
    match name {
        "now" | "current_date" | "current_time" | "current_timestamp" | "localtime" | "localtimestamp" | "today" => Some(
            "a rule must give the same answer live and replayed, so it may not read the clock: the window already bounds the time",
        ),
        "random" | "uuid" => Some("a rule must give the same answer live and replayed, so it may not roll dice"),
        "repeat" | "lpad" | "rpad" => Some("it can build texts without bound"),
        "generate_series" | "range" | "unnest" => Some(WITHOUT_BOUND),
        "array_agg" | "string_agg" | "nth_value" => {
            Some("it keeps every row of the window: use min, max, count or last_value(… ORDER BY ts)")
        }
        "median" | "percentile_cont" | "quantile_cont" => Some("it keeps every value of the window: use p50, p90, p95 or p99"),
        "approx_percentile_cont" | "approx_percentile_cont_with_weight" | "approx_median" => Some("use p50, p90, p95 or p99"),
        "isnan" | "nanvl" => Some("no value of a rule is NaN: it is null instead, so write IS NULL or coalesce(…, 0)"),
        "grouping" => Some("a rule has one GROUP BY list"),
        "arrow_cast" | "arrow_typeof" | "arrow_metadata" | "version" | "get_field" | "struct" | "named_struct" | "row" => {
            Some("alerts are made of plain texts and numbers")
        }
        _ => None,
    }
}

/// The names of all functions that rules may call, for hints.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let functions = &*FUNCTIONS;
    functions.scalar.keys().chain(functions.aggregate.keys()).chain(functions.window.keys()).map(String::as_str)
}

/// Whether `name` is an aggregate function that rules may call.
pub fn is_aggregate(name: &str) -> bool {
    FUNCTIONS.aggregate.contains_key(name)
}
