//! The oracle: whatever the rule and whatever the rows, the engine's answer per window is what plain DataFusion answers over that
//! window's rows, across random batch splits, orders within lateness and duplicates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use squelch::edges::decode::{Decoder, MessageInfo};
use squelch::rule::check::{Complaints, from_texts};
use squelch::rule::output::Breach;
use squelch::rule::{plan, sql};
use squelch::window::WindowLimits;
use squelch::window::evaluator::Evaluator;
use squelch::words::event::{EventBatch, Kind};

use crate::support::Dice;

const START_MS: i64 = 1_773_446_400_000;
const EVERY_MS: i64 = 10_000;
const LATENESS_MS: i64 = 10_000;

/// One row: seconds after the start, metric, service, host, code label, value in quarters (so that sums are exact in any order).
type Row = (i64, u8, u8, Option<u8>, Option<u16>, i32);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0..120_i64,
        0..3_u8,
        0..3_u8,
        prop::option::of(0..2_u8),
        prop::option::of(prop::sample::select(vec![200_u16, 404, 500])),
        -40..400_i32,
    );
    prop::collection::vec(row, 1..120)
}

fn line(row: &Row) -> String {
    let (second, metric, service, host, code, quarters) = row;
    let host = host.map_or("null".into(), |host| format!("\"h{host}\""));
    let code = code.map_or(String::new(), |code| format!("\"code\":\"{code}\""));
    let (ts, value) = (START_MS + second * 1000 + i64::from(*service), f64::from(*quarters) / 4.0);
    format!(
        r#"{{"kind":"metric","ts":{ts},"name":"m{metric}","value":{value},"service":"s{service}","host":{host},"env":"e","labels":{{{code}}}}}"#
    )
}

/// A rule's SQL, drawn from what rules are made of.
fn queries() -> impl Strategy<Value = String> {
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
    ])
    .prop_map(String::from);
    prop_oneof![3 => plain, 1 => composed]
}

/// Splits at the commas outside of CASE … END.
fn split(group: &str) -> Vec<&str> {
    if group.is_empty() { Vec::new() } else { group.split(", ").collect() }
}

fn book(query: &str, window_ms: i64) -> squelch::rule::check::RuleBook {
    let text = format!("/*---\nrule: r\nseverity: warning\nwindow: {}ms\nevery: {EVERY_MS}ms\n---*/\n{query}", window_ms);
    let files = vec![(PathBuf::from("r.sql"), Arc::from(text.as_str()))];
    from_texts(files, Complaints::default())
        .unwrap_or_else(|complaints| panic!("{query}\n{}", squelch::process::report::render(&complaints, false)))
}

/// What plain DataFusion answers over the rows of `window`.
fn plain(query: &str, window: std::ops::Range<i64>, all: &RecordBatch, book: &squelch::rule::check::RuleBook) -> Vec<Breach> {
    let end = window.end;
    let times = arrow::array::AsArray::as_primitive::<TimestampMillisecondType>(all.column(0));
    let mask: BooleanArray = times.values().iter().map(|ts| Some(window.contains(ts))).collect();
    let rows = filter_record_batch(all, &mask).unwrap();
    let statement = sql::parse(query).unwrap().statement;
    let logical =
        plan::logical_plan(&statement, plan::Ground { label_keys: &book.label_keys, windows: &[], instant: false }).unwrap();
    let table = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap());
    let over_rows = logical
        .transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(scan) => {
                let source = provider_as_source(Arc::clone(&table) as _);
                Ok(Transformed::yes(LogicalPlanBuilder::scan(scan.table_name.clone(), source, scan.projection.clone())?.build()?))
            }
            other => Ok(Transformed::no(other)),
        })
        .unwrap()
        .data;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = SessionContext::new();
    let batches = runtime.block_on(async { context.execute_logical_plan(over_rows).await.unwrap().collect().await.unwrap() });
    batches.iter().flat_map(|batch| book.rules[0].output.breaches(batch, end).unwrap()).collect()
}

/// A result as a multiset that two engines can be compared by.
fn comparable(breaches: &[Breach]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for breach in breaches {
        *counted.entry(format!("{} {:?} {:?}", breach.labels, breach.value, breach.numbers)).or_default() += 1;
    }
    counted
}

/// The rows as they arrive: late by up to the lateness, some sent twice, in random messages and batches.
fn arrivals(rows: &[Row], dice: &mut Dice, decoder: &mut Decoder) -> Vec<EventBatch> {
    let mut arriving: Vec<(i64, &Row)> =
        rows.iter().map(|row| (row.0 * 1000 + dice.below(LATENESS_MS as u64 - 2000) as i64, row)).collect();
    arriving.sort();
    let mut batches = Vec::new();
    for (_, row) in arriving {
        decoder.message(line(row).as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        if dice.below(4) == 0 {
            batches.push(decoder.take());
        }
    }
    batches.push(decoder.take());
    batches
}

fn check(query: &str, rows: &[Row], panes: i64, seed: u64) {
    let window_ms = panes * EVERY_MS;
    let book = book(query, window_ms);
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    rows.iter()
        .for_each(|row| decoder.message(line(row).as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason)));
    let all = decoder.take().tables[Kind::Metric as usize].clone();
    let batches = arrivals(rows, &mut Dice(seed), &mut decoder);
    let again = self::book(query, window_ms);
    let mut evaluator = Evaluator::new(again.rules.into_iter().map(Arc::new).collect(), WindowLimits::default(), || 0).unwrap();
    evaluator.start(START_MS);
    // The engine's loop in small: a tick as soon as the watermark has passed it.
    let mut latest = i64::MIN;
    let compare = |evaluator: &mut Evaluator, until: i64| {
        while evaluator.next_tick().is_some_and(|at| at <= until) {
            let at = evaluator.next_tick().unwrap();
            for index in evaluator.due(at) {
                let got = comparable(&evaluator.tick(index, at, i64::MIN).unwrap());
                let want = comparable(&plain(query, at - window_ms..at, &all, &book));
                assert_eq!(got, want, "{query}\nwindow of {panes} panes ending at +{} s, seed {seed}", (at - START_MS) / 1000);
            }
        }
    };
    for batch in &batches {
        evaluator.ingest(batch, [0; 4], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
        latest = batch.messages.iter().filter_map(|mark| mark.max_ts).max().unwrap_or(latest).max(latest);
        compare(&mut evaluator, latest - LATENESS_MS);
    }
    compare(&mut evaluator, START_MS + 120_000 + window_ms + EVERY_MS);
    let stats = evaluator.stats(0);
    assert_eq!((stats.late, stats.overflow, stats.errors), (0, 0, 0), "{query}: {:?}", evaluator.last_error(0));
}

/// `ORACLE_CASES=1000 cargo test --test it oracle` looks harder.
fn cases() -> u32 {
    std::env::var("ORACLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_window_answers_as_plain_datafusion_does(query in queries(), rows in rows(), panes in 1..4_i64, seed in any::<u64>()) {
        check(&query, &rows, panes, seed);
    }
}

#[test]
fn keys_that_died_make_room_and_change_no_answer() {
    let query = "SELECT service, host, sum(value) AS value FROM metrics GROUP BY service, host";
    let book = book(query, EVERY_MS);
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    let mut evaluator = Evaluator::new(book.rules.into_iter().map(Arc::new).collect(), WindowLimits::default(), || 0).unwrap();
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
        evaluator.ingest(&batch, [0; 4], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
        let at = evaluator.next_tick().unwrap();
        assert_eq!(evaluator.due(at), [0]);
        assert_eq!(evaluator.tick(0, at, i64::MIN).unwrap().len(), 200, "every host of the pane has its row");
        evaluator.clean_up();
        most = most.max(evaluator.size().0);
    }
    assert!(most < 8000 / 2, "{most} of 8000 keys were kept at once");
}
