//! The oracle: whatever the rules and whatever the rows, the engine's answer per window is what plain DataFusion answers over that
//! window's rows, across random batch splits, orders within lateness, duplicates, and state saved and restored at any point, whether
//! one evaluator counts the rows or several count them for it. Where DataFusion answers NaN, wraps around or fails, the plain query says
//! what the answer is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::model::event::{EventBatch, Kind, LabelKeys, TABLES};
use squelch::rule::check::{LoadedRules, from_texts};
use squelch::rule::definition::output_columns::Breach;
use squelch::rule::sql::query as sql;
use squelch::rule::{Rule, plan};
use squelch::window::evaluator::Evaluator;
use squelch::window::limits::WindowLimits;
use squelch::window::time::rule_set_start::RuleSetStart;

use crate::support::Rng;

const START_MS: i64 = 1_773_446_400_000;
const EVERY_MS: i64 = 10_000;
const LATENESS_MS: i64 = 10_000;

/// One row: seconds after the start, metric, service, host, code label, value in quarters (so that sums are exact in any order), and
/// a label that may be no number.
type Row = (i64, u8, u8, Option<u8>, Option<u16>, i32, Option<&'static str>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0..120_i64,
        0..3_u8,
        0..3_u8,
        prop::option::of(0..2_u8),
        prop::option::of(prop::sample::select(vec![200_u16, 404, 500])),
        prop_oneof![4 => -40..400_i32, 1 => Just(0)],
        prop::option::of(prop::sample::select(vec!["NaN", "-nan", "inf", "-Infinity", "-0", "0", "1.5", "-2.5", "n/a", ""])),
    );
    prop::collection::vec(row, 1..120)
}

fn line(row: &Row) -> String {
    let (second, metric, service, host, code, quarters, odd) = row;
    let host = host.map_or("null".into(), |host| format!("\"h{host}\""));
    let label = |key: &str, text: String| format!("\"{key}\":\"{text}\"");
    let labels: Vec<String> = [("code", code.map(|code| code.to_string())), ("odd", odd.map(String::from))]
        .into_iter()
        .filter_map(|(key, text)| Some(label(key, text?)))
        .collect();
    let labels = labels.join(",");
    let (ts, value) = (START_MS + second * 1000 + i64::from(*service), f64::from(*quarters) / 4.0);
    format!(
        r#"{{"kind":"metric","ts":{ts},"name":"m{metric}","value":{value},"service":"s{service}","host":{host},"env":"e","labels":{{{labels}}}}}"#
    )
}

/// Queries that meet what is no number, each with the same query for an engine that knows NaN, -0, overflow and casts that cut off.
fn without_an_answer() -> impl Strategy<Value = (String, String)> {
    const A: &str = "sum(value) FILTER (WHERE name = 'm0')";
    const B: &str = "sum(value) FILTER (WHERE name = 'm1')";
    const ODD: &str = "CAST(labels['odd'] AS DOUBLE)";
    let ratio = format!("{A} / {B}");
    let ratio_or_null = format!("CASE WHEN {A} = 0 AND {B} = 0 THEN NULL ELSE {A} / {B} + 0.0 END");
    let odd_or_null = "CASE WHEN lower(trim(BOTH '-' FROM labels['odd'])) = 'nan' THEN NULL WHEN labels['odd'] = '-0' THEN 0.0 \
                       ELSE TRY_CAST(labels['odd'] AS DOUBLE) END";
    let rounded = "CASE WHEN abs(value - trunc(value)) = 0.5 THEN 2 * round(value / 2) ELSE round(value) END";
    let swapped = |query: &str, with: &[(&str, &str)]| {
        let plain = with.iter().fold(query.to_string(), |query, (ours, plain)| query.replace(ours, &format!("({plain})")));
        (query.to_string(), plain)
    };
    let of_ratio = [
        format!("SELECT service, count(*) AS value FROM metrics GROUP BY service HAVING NOT ({ratio} >= 0.9)"),
        format!("SELECT service, count(*) AS value FROM metrics GROUP BY service HAVING abs({ratio}) > 0.5"),
        format!("SELECT service, count(*) AS value, {ratio} AS ratio FROM metrics GROUP BY service"),
        format!(
            "SELECT env, count(*) AS value, max(r) AS worst, avg(r) AS mean, count(r) AS n FROM (SELECT env, service, {ratio} AS r FROM metrics GROUP BY env, service) t GROUP BY env"
        ),
        format!("SELECT service, CASE WHEN {ratio} > 0.5 THEN 2 ELSE 1 END AS value FROM metrics GROUP BY service"),
        format!(
            "SELECT service, count(*) AS value, {ratio} AS ratio FROM metrics GROUP BY service ORDER BY ratio DESC NULLS LAST, service LIMIT 1"
        ),
    ];
    let of_ratio = of_ratio.map(|query| swapped(&query, &[(&ratio, &ratio_or_null)]));
    let of_odd = [
        format!(
            "SELECT service, count({ODD}) AS value, max({ODD}) AS most, min({ODD}) AS least, count(DISTINCT {ODD}) AS kinds FROM metrics GROUP BY service"
        ),
        format!("SELECT service, count(*) AS value FROM metrics WHERE {ODD} > 1 GROUP BY service"),
        format!("SELECT service, count(*) AS value FROM metrics WHERE NOT ({ODD} > 1) GROUP BY service"),
        format!("SELECT service, count(*) AS value, sum({ODD}) AS total, p95({ODD}) AS p95 FROM metrics GROUP BY service"),
        format!("SELECT {ODD} AS k, count(*) AS value FROM metrics GROUP BY {ODD}"),
    ];
    let of_odd = of_odd.map(|query| swapped(&query, &[(ODD, odd_or_null)]));
    let others = [
        swapped("SELECT service, sum(CAST(value AS BIGINT)) AS value FROM metrics GROUP BY service", &[("CAST(value AS BIGINT)", rounded)]),
        (
            "SELECT service, count(*) AS value, count(*) * 9223372036854775807 AS large FROM metrics GROUP BY service".into(),
            "SELECT service, count(*) AS value, CASE WHEN count(*) > 1 THEN NULL ELSE 9223372036854775807 END AS large FROM metrics GROUP BY service".into(),
        ),
        (
            "SELECT service, count(*) AS value, sum(CAST(9223372036854775807 AS BIGINT)) AS large FROM metrics GROUP BY service".into(),
            "SELECT service, count(*) AS value, CASE WHEN count(*) > 1 THEN NULL ELSE 9223372036854775807 END AS large FROM metrics GROUP BY service".into(),
        ),
    ];
    // The same to the last digit, however the rows are split.
    let same = [
        "SELECT service, count(*) AS value, stddev(value + 5e12) AS s, var_pop(value) AS v, corr(value, -2 * value + 7e9) AS c FROM metrics GROUP BY service",
        "SELECT service, count(*) AS value, regr_slope(value, extract(epoch FROM ts)) AS slope, covar(value, value * value) AS c FROM metrics GROUP BY service",
        "SELECT service, count(*) AS value, sum(DISTINCT value / 3) AS s, avg(DISTINCT value) AS mean FROM metrics GROUP BY service",
    ]
    .map(|query| (query.to_string(), query.to_string()));
    prop::sample::select(of_ratio.into_iter().chain(of_odd).chain(others).chain(same).collect::<Vec<_>>())
}

/// A rule's SQL, drawn from what rules are made of, and the same for plain DataFusion.
fn queries() -> impl Strategy<Value = (String, String)> {
    let groups = prop::sample::select(vec![
        "service",
        "service, host",
        "host",
        "labels['code']",
        "service, CASE WHEN value > 50 THEN 'big' ELSE 'small' END",
        "",
    ]);
    let aggregates = prop::sample::subsequence(
        vec![
            "count(*) AS n",
            "min(value) AS least",
            "avg(value) AS mean",
            "count(DISTINCT host) AS hosts",
            "sum(value) FILTER (WHERE labels['code'] >= '500') AS failed",
            "p95(value) AS p95",
            "sum(CASE WHEN labels['code'] = '404' THEN value ELSE 0 END) AS missing",
            "max(value) - min(value) AS spread",
            "count(labels['code']) AS coded",
            "increase(value) AS rise",
            "last(value) + resets(value) AS latest",
            "deriv(value) AS slope",
        ],
        0..5,
    );
    let values = prop::sample::select(vec![
        "sum(value)",
        "max(value)",
        "CAST(count(*) AS DOUBLE)",
        "avg(value) * 2",
        "coalesce(sum(value) FILTER (WHERE value > 10), 0) / count(*)",
    ]);
    let filters = prop::sample::select(vec![
        "name = 'm0'",
        "name IN ('m0', 'm2')",
        "name <> 'm1'",
        "name = 'm1' AND value > 0",
        "value >= 12.5 OR labels['code'] IS NULL",
        "(name = 'm0' OR name = 'm1') AND service <> 's2'",
        "true",
    ]);
    let havings =
        prop::sample::select(vec!["", "HAVING value > 20", "HAVING count(*) >= 2", "HAVING sum(value) > 5 AND value < 1000"]);
    let plain = (groups, aggregates, values, filters, havings).prop_map(|(group, aggregates, value, filter, having)| {
        let keys: Vec<String> = split(group).iter().enumerate().map(|(i, key)| format!("{key} AS k{i}")).collect();
        let columns: Vec<String> =
            keys.into_iter().chain([format!("{value} AS value")]).chain(aggregates.into_iter().map(String::from)).collect();
        let by = if group.is_empty() { String::new() } else { format!("GROUP BY {group}") };
        format!("SELECT {} FROM metrics WHERE {filter} {by} {having}", columns.join(", "))
    });
    let composed = prop::sample::select(vec![
        "SELECT a.service, a.total / b.total AS value FROM (SELECT service, sum(value) AS total FROM metrics WHERE name = 'm0' GROUP BY service) a \
         JOIN (SELECT service, sum(value) AS total FROM metrics WHERE name = 'm1' GROUP BY service) b ON a.service = b.service WHERE b.total <> 0",
        "SELECT service, max(value) AS value FROM metrics WHERE name = 'm0' GROUP BY service \
         UNION ALL SELECT host AS service, min(value) AS value FROM metrics WHERE name = 'm1' GROUP BY host",
        "SELECT service, sum(value) AS value FROM metrics GROUP BY service ORDER BY value DESC, service LIMIT 1",
        "SELECT service, value FROM (SELECT service, sum(value) AS value, row_number() OVER (ORDER BY sum(value) DESC, service) AS place FROM metrics GROUP BY service) x WHERE place <= 2",
        "WITH t AS (SELECT service, host, sum(value) AS s FROM metrics GROUP BY service, host) SELECT service, max(s) AS value FROM t GROUP BY service",
        "SELECT service, CAST(count(*) AS DOUBLE) AS value FROM metrics WHERE value > 0 GROUP BY service HAVING count(*) > (SELECT min(n) FROM (SELECT count(*) AS n FROM metrics GROUP BY host) y)",
        "SELECT DISTINCT service, 1.0 AS value FROM metrics WHERE value > 90",
        // What has an answer where no event came.
        "SELECT count(*) AS value FROM (SELECT service, sum(value) AS v FROM metrics WHERE name = 'm0' AND value > 60 GROUP BY service) x HAVING count(*) = 0",
        "SELECT v.service, 1.0 AS value FROM (VALUES ('s0'), ('s9')) AS v (service) LEFT JOIN (SELECT service, count(*) AS n FROM metrics WHERE value > 60 GROUP BY service) m \
         ON m.service = v.service WHERE m.n IS NULL",
        "SELECT v.service, 1.0 AS value FROM (VALUES ('s0'), ('s9')) AS v (service) WHERE NOT EXISTS (SELECT 1 FROM metrics m WHERE m.service = v.service AND m.value > 60)",
        // Other windows by name.
        "SELECT n.service, n.total / b.total AS value FROM (SELECT service, sum(value) AS total FROM metrics WHERE name = 'm0' GROUP BY service) n \
         JOIN (SELECT service, sum(value) AS total FROM before.metrics WHERE name = 'm0' GROUP BY service) b ON n.service = b.service WHERE b.total <> 0",
        "SELECT service, CAST(count(*) AS DOUBLE) AS value FROM long.metrics GROUP BY service HAVING count(*) > (SELECT count(*) FROM before.metrics WHERE name = 'm1')",
        "SELECT a.service, CAST(a.n - coalesce(b.n, 0) AS DOUBLE) AS value FROM (SELECT service, count(*) AS n FROM long.metrics GROUP BY service) a \
         LEFT JOIN (SELECT service, count(*) AS n FROM metrics GROUP BY service) b ON a.service = b.service",
        // Rows kept as they came.
        "SELECT service, sum(step) AS value FROM (SELECT service, value - lag(value) OVER (PARTITION BY service ORDER BY ts, value, name, host, labels['code']) AS step FROM metrics WHERE name <> 'm2') x GROUP BY service",
        "SELECT a.service, CAST(count(*) AS DOUBLE) AS value FROM metrics a JOIN before.metrics b ON a.service = b.service AND a.name = b.name WHERE a.value > b.value GROUP BY a.service",
        "SELECT service, sum(value) AS value FROM metrics WHERE service IN (SELECT service FROM metrics WHERE labels['code'] = '500') GROUP BY service",
    ])
    .prop_map(String::from);
    let same = |query: String| (query.clone(), query);
    prop_oneof![6 => plain.prop_map(same), 2 => composed.prop_map(same), 3 => without_an_answer()]
}

/// Splits at the commas outside of CASE … END.
fn split(group: &str) -> Vec<&str> {
    if group.is_empty() { Vec::new() } else { group.split(", ").collect() }
}

/// How far `long` reaches back in panes of a rule, and how many panes ago `before` ended.
const LONG: i64 = 11;
const BEFORE: (i64, i64) = (2, 1);

/// A rule with its time: how often it is evaluated, and how many times as long its window is.
#[derive(Clone, Debug)]
struct Timed {
    query: String,
    /// The query as plain DataFusion needs it for the same answer.
    plain: String,
    every_ms: i64,
    panes: i64,
}

impl Timed {
    fn window_ms(&self) -> i64 {
        self.every_ms * self.panes
    }

    fn text(&self, name: usize) -> String {
        let every_ms = self.every_ms;
        let windows = format!(
            "windows: {{ long: {{ window: {}ms }}, before: {{ window: {}ms, ago: {}ms }} }}\n",
            LONG * every_ms,
            BEFORE.0 * every_ms,
            BEFORE.1 * every_ms
        );
        // A window that the query does not read is a slip.
        let uses = |name: &str| self.query.contains(&format!("{name}."));
        let windows = match (uses("long"), uses("before")) {
            (true, true) => windows,
            (true, false) => format!("windows: {{ long: {{ window: {}ms }} }}\n", LONG * every_ms),
            (false, true) => windows.replace(&format!("long: {{ window: {}ms }}, ", LONG * every_ms), ""),
            (false, false) => String::new(),
        };
        format!(
            "/*---\nrule: r{name}\nseverity: warning\nwindow: {}ms\nevery: {every_ms}ms\n{windows}---*/\n{}",
            self.window_ms(),
            self.query
        )
    }
}

pub fn book_of(texts: &[String]) -> LoadedRules {
    let files = texts.iter().enumerate().map(|(i, text)| (PathBuf::from(format!("r{i}.sql")), Arc::from(text.as_str())));
    from_texts(files.collect()).unwrap_or_else(|report| panic!("{texts:?}\n{report}"))
}

pub fn evaluator_of(texts: &[String]) -> Evaluator {
    let rules = book_of(texts).rules.into_iter().map(Arc::new).collect();
    Evaluator::new(rules, WindowLimits::default(), || 0).unwrap()
}

/// Plain DataFusion, made once: it registers hundreds of functions.
struct Datafusion {
    context: SessionContext,
    runtime: tokio::runtime::Runtime,
}

thread_local! {
    static DATAFUSION: Datafusion = Datafusion {
        context: SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1)),
        runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
    };
}

/// The rows that a scan finds when it runs.
#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    rows: Mutex<RecordBatch>,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap().clone();
        Box::pin(RecordBatchStreamAdapter::new(rows.schema(), futures::stream::iter([Ok(rows)])))
    }
}

/// A query as plain DataFusion plans it, over rows that are given anew each time it runs.
struct Plain {
    plan: Arc<dyn ExecutionPlan>,
    /// By the window's name.
    scans: Vec<(Option<String>, Arc<Rows>)>,
}

impl Plain {
    fn new(query: &str, book: &LoadedRules, schema: &SchemaRef) -> Self {
        let statement = sql::parse(query).unwrap().statement;
        let windows = ["long".to_string(), "before".to_string()];
        let context =
            plan::PlanContext { label_keys: &book.label_keys, windows: &windows, lookups: &book.lookups, instant: false };
        let mut scans = Vec::new();
        let over_rows = plan::logical_plan(&statement, context)
            .unwrap()
            .transform_up_with_subqueries(|node| match node {
                LogicalPlan::TableScan(scan) => {
                    let rows = RecordBatch::new_empty(Arc::clone(schema));
                    let rows = Arc::new(Rows { schema: Arc::clone(schema), rows: Mutex::new(rows) });
                    scans.push((scan.table_name.schema().map(String::from), Arc::clone(&rows)));
                    let table = StreamingTable::try_new(Arc::clone(schema), vec![rows]).unwrap();
                    let source = provider_as_source(Arc::new(table));
                    let scan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, scan.projection.clone())?;
                    Ok(Transformed::yes(scan.build()?))
                }
                other => Ok(Transformed::no(other)),
            })
            .unwrap()
            .data;
        let plan = DATAFUSION.with(|datafusion| {
            let planned = async { datafusion.context.state().create_physical_plan(&over_rows).await.unwrap() };
            datafusion.runtime.block_on(planned)
        });
        Self { plan, scans }
    }

    /// What it answers where each table holds the rows that `rows_of` gives for its window's name.
    fn answer(&self, book: &LoadedRules, index: usize, rows_of: &dyn Fn(Option<&str>) -> RecordBatch) -> Vec<Breach> {
        for (window, rows) in &self.scans {
            *rows.rows.lock().unwrap() = rows_of(window.as_deref());
        }
        let batches = DATAFUSION.with(|datafusion| {
            let plan = reset_plan_states(Arc::clone(&self.plan)).unwrap();
            datafusion.runtime.block_on(collect(plan, datafusion.context.task_ctx())).unwrap()
        });
        batches.iter().flat_map(|batch| book.rules[index].output.breaches(batch, 0).unwrap()).collect()
    }
}

fn within(all: &RecordBatch, window: std::ops::Range<i64>) -> RecordBatch {
    let times = all.column(0).as_primitive::<TimestampMillisecondType>();
    let mask: BooleanArray = times.values().iter().map(|ts| Some(window.contains(ts))).collect();
    filter_record_batch(all, &mask).unwrap()
}

/// A result as a multiset that two engines can be compared by.
fn comparable(breaches: &[Breach]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for breach in breaches {
        // No value of a rule is -0.
        let numbers: Vec<_> = breach.numbers.iter().map(|(name, number)| (name, number + 0.0)).collect();
        *counted.entry(format!("{} {:?} {numbers:?}", breach.labels, breach.value + 0.0)).or_default() += 1;
    }
    counted
}

/// The rows as they arrive: late by up to the lateness, in random messages and batches.
fn arrivals(rows: &[Row], rng: &mut Rng, decoder: &mut Decoder) -> Vec<EventBatch> {
    let mut arriving: Vec<(i64, &Row)> =
        rows.iter().map(|row| (row.0 * 1000 + rng.below(LATENESS_MS as u64 - 2000) as i64, row)).collect();
    arriving.sort();
    let mut batches = Vec::new();
    for (_, row) in arriving {
        decoder.message(line(row).as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        if rng.below(4) == 0 {
            batches.push(decoder.take());
        }
    }
    batches.push(decoder.take());
    batches
}

/// Some rows are sent twice, and then count twice.
fn with_duplicates(rows: &[Row], rng: &mut Rng) -> Vec<Row> {
    rows.iter().flat_map(|row| std::iter::repeat_n(*row, if rng.below(10) == 0 { 2 } else { 1 })).collect()
}

/// The rows of `all` that a rule should see at an instant, by the name of the window.
type Seen<'a> = &'a dyn Fn(usize, i64, Option<&str>, &RecordBatch) -> RecordBatch;

/// Evaluators that count rows for another one, any rows each.
pub struct Counting(pub Vec<Evaluator>);

impl Counting {
    /// Counts a batch in, by one of them.
    pub fn ingest(&mut self, batch: &EventBatch, evaluator: &mut Evaluator, rng: &mut Rng) {
        let to = std::array::from_fn(|kind| batch.tables[kind].num_rows());
        if self.0.is_empty() {
            return evaluator.ingest(batch, [0; TABLES], to);
        }
        let one = rng.below(self.0.len() as u64) as usize;
        self.0[one].ingest(batch, [0; TABLES], to);
        if rng.below(3) == 0 {
            self.hand_on(one, evaluator);
        }
    }

    /// Hands on what one of them has counted, as bytes.
    fn hand_on(&mut self, one: usize, evaluator: &mut Evaluator) {
        let bytes = postcard::to_allocvec(&self.0[one].take_partial().unwrap()).unwrap();
        assert!(self.0[one].take_partial().unwrap().is_empty(), "what was taken out is gone");
        evaluator.merge_partial(one, &postcard::from_bytes(&bytes).unwrap(), i64::MIN);
    }

    pub fn hand_on_all(&mut self, evaluator: &mut Evaluator) {
        (0..self.0.len()).for_each(|one| self.hand_on(one, evaluator));
    }
}

/// The engine's loop in small: a tick as soon as the watermark has passed it, state saved and restored now and then.
fn run(texts: &[String], queries: &[&str], rows: &[Row], seed: u64, seen: Seen<'_>) {
    let rng = &mut Rng(seed);
    let rows = with_duplicates(rows, rng);
    let book = book_of(texts);
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    rows.iter()
        .for_each(|row| decoder.message(line(row).as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason)));
    let all = decoder.take().tables[Kind::Metric as usize].clone();
    let plain: Vec<Plain> = queries.iter().map(|query| Plain::new(query, &book, &all.schema())).collect();
    let batches = arrivals(&rows, rng, &mut decoder);
    let mut evaluator = evaluator_of(texts);
    evaluator.start(START_MS);
    let hands = [0, 0, 1, 2, 3, 5][rng.below(6) as usize];
    let rules: Vec<Arc<Rule>> = book_of(texts).rules.into_iter().map(Arc::new).collect();
    let hand = |_| Evaluator::counter(rules.clone(), WindowLimits::default(), || 0).unwrap();
    let mut counting = Counting((0..hands).map(hand).collect());
    let mut latest = i64::MIN;
    let compare = |evaluator: &mut Evaluator, until: i64| {
        while let Some(at) = evaluator.next_tick().filter(|at| *at <= until) {
            for index in evaluator.take_due(at) {
                let got = comparable(&evaluator.evaluate(index, at, i64::MIN).unwrap());
                let want = comparable(&plain[index].answer(&book, index, &|window| seen(index, at, window, &all)));
                assert_eq!(got, want, "{}\nat +{} s, seed {seed}", texts[index], (at - START_MS) / 1000);
            }
            evaluator.compact();
        }
    };
    for batch in &batches {
        counting.ingest(batch, &mut evaluator, rng);
        if rng.below(8) == 0 {
            let saved = evaluator.save().unwrap().into_loaded().unwrap();
            evaluator = evaluator_of(texts);
            evaluator.restore(&saved, RuleSetStart { now: START_MS, latest: START_MS }).unwrap();
        }
        latest = batch.messages.iter().filter_map(|mark| mark.max_ts).max().unwrap_or(latest).max(latest);
        if evaluator.next_tick().is_some_and(|at| at <= latest - LATENESS_MS) {
            counting.hand_on_all(&mut evaluator);
        }
        compare(&mut evaluator, latest - LATENESS_MS);
    }
    counting.hand_on_all(&mut evaluator);
    compare(&mut evaluator, START_MS + 120_000 + 3 * LATENESS_MS);
    for (index, text) in texts.iter().enumerate() {
        let stats = evaluator.stats(index);
        assert_eq!((stats.late, stats.overflow, stats.errors), (0, 0, 0), "{text}: {:?}", evaluator.last_error(index));
    }
}

fn windows_answer_as_plain(rules: &[Timed], rows: &[Row], seed: u64) {
    let texts: Vec<String> = rules.iter().enumerate().map(|(i, rule)| rule.text(i)).collect();
    let queries: Vec<&str> = rules.iter().map(|rule| rule.plain.as_str()).collect();
    run(&texts, &queries, rows, seed, &|index, at, window, all| {
        let Timed { every_ms, .. } = rules[index];
        match window {
            None => within(all, at - rules[index].window_ms()..at),
            Some("long") => within(all, at - LONG * every_ms..at),
            Some(_) => within(all, at - (BEFORE.0 + BEFORE.1) * every_ms..at - BEFORE.1 * every_ms),
        }
    });
}

/// The rows of the sessions of each service that are not over at `at`.
fn in_sessions(all: &RecordBatch, at: i64, gap_ms: i64) -> RecordBatch {
    let times = all.column(0).as_primitive::<TimestampMillisecondType>();
    let services = all.column_by_name("service").unwrap().as_string_view();
    let mut by_service: BTreeMap<&str, Vec<(i64, usize)>> = BTreeMap::new();
    for row in (0..all.num_rows()).filter(|row| times.value(*row) < at) {
        by_service.entry(services.value(row)).or_default().push((times.value(row), row));
    }
    let mut kept = vec![false; all.num_rows()];
    for mut rows in by_service.into_values() {
        rows.sort_unstable();
        let mut next = at;
        for (ts, row) in rows.into_iter().rev().take_while(|(ts, _)| std::mem::replace(&mut next, *ts) - ts < gap_ms) {
            kept[row] = ts < at;
        }
    }
    filter_record_batch(all, &BooleanArray::from(kept)).unwrap()
}

fn sessions_answer_as_plain(query: &str, every_ms: i64, gaps: i64, rows: &[Row], seed: u64) {
    let gap_ms = every_ms * gaps;
    let text = format!("/*---\nrule: r0\nseverity: warning\nsession: {gap_ms}ms\nevery: {every_ms}ms\n---*/\n{query}");
    run(&[text], &[query], rows, seed, &|_, at, _, all| in_sessions(all, at, gap_ms));
}

/// `ORACLE_CASES=5000 cargo test --test it oracle` looks harder.
fn cases() -> u32 {
    std::env::var("ORACLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(250)
}

fn rules() -> impl Strategy<Value = Vec<Timed>> {
    let every = prop::sample::select(vec![5_000_i64, 10_000, 20_000]);
    let rule = (queries(), every, 1..4_i64).prop_map(|((query, plain), every_ms, panes)| Timed { query, plain, every_ms, panes });
    prop::collection::vec(rule, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_window_answers_as_plain_datafusion_does(rules in rules(), rows in rows(), seed in any::<u64>()) {
        windows_answer_as_plain(&rules, &rows, seed);
    }

    #[test]
    fn every_session_answers_as_plain_datafusion_does(
        columns in prop::sample::subsequence(vec!["count(*) AS n", "p95(value) AS p95", "min(value) AS least", "count(DISTINCT host) AS hosts"], 0..4),
        having in prop::sample::select(vec!["", "HAVING sum(value) > 100"]),
        every_s in prop::sample::select(vec![5_i64, 10]),
        gaps in 1..4_i64,
        rows in rows(),
        seed in any::<u64>(),
    ) {
        let columns: String = columns.iter().map(|column| format!(", {column}")).collect();
        let query = format!("SELECT service, sum(value) AS value{columns} FROM metrics GROUP BY service {having}");
        sessions_answer_as_plain(&query, every_s * 1000, gaps, &rows, seed);
    }
}

#[test]
fn keys_that_died_make_room_and_change_no_answer() {
    let query = "SELECT service, host, sum(value) AS value FROM metrics GROUP BY service, host";
    let text = Timed { query: query.into(), plain: query.into(), every_ms: EVERY_MS, panes: 1 }.text(0);
    let mut decoder = Decoder::new(&LabelKeys::default(), i64::MAX);
    let mut evaluator = evaluator_of(&[text]);
    evaluator.start(START_MS);
    let mut most = 0;
    for pane in 0..40 {
        for host in 0..200 {
            let ts = START_MS + pane * EVERY_MS + host;
            let text =
                format!(r#"{{"kind":"metric","ts":{ts},"name":"m","value":1,"service":"s","host":"h{}"}}"#, pane * 200 + host);
            decoder.message(text.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        }
        let batch = decoder.take();
        evaluator.ingest(&batch, [0; TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
        let at = evaluator.next_tick().unwrap();
        assert_eq!(evaluator.take_due(at), [0]);
        assert_eq!(evaluator.evaluate(0, at, i64::MIN).unwrap().len(), 200, "every host of the pane has its row");
        evaluator.compact();
        most = most.max(evaluator.size().0);
    }
    assert!(most < 8000 / 2, "{most} of 8000 keys were kept at once");
}
