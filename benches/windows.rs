//! The window engine alone, on one core: rows that are Arrow already, so that decoding costs nothing.
//!
//! Each figure stands beside a baseline of the same run: plain DataFusion over retained rows at each tick, a shorter window, fewer
//! rules.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringViewArray, TimestampMillisecondArray, new_null_array};
use arrow::compute::concat_batches;
use datafusion::catalog::MemTable;
use datafusion::prelude::SessionContext;
use squelch::model::event::{EventBatch, Kind, LabelKeys, TABLES, UTC};
use squelch::rule::check::from_texts;
use squelch::window::evaluator::Evaluator;
use squelch::window::limits::WindowLimits;

const START_MS: i64 = 1_773_446_400_000;
const BATCH: usize = 65_536;
const HOSTS: usize = 2_000;

pub fn tables() {
    println!("\nwindows, one core, rows in Arrow, {BATCH} rows a micro-batch, {HOSTS} hosts, 2 group columns, 2 aggregates");
    println!("| what | rows/s | ratio | to |\n|---|---:|---:|---|");
    let row = |what: &str, rate: f64, ratio: f64, to: &str| println!("| {what} | {:.2} M | {ratio:.2} | {to} |", rate / 1e6);
    let hopping = Shape { rules: 1_000, window: "1m", every: "10s", events_a_second: 200_000, matching: 1 };
    let thousand = hopping.rate(4_000_000);
    let plain = (0..3).map(|_| plain_rate(&hopping)).fold(0.0, f64::max);
    row("1,000 rules, each row matches one", thousand, thousand / plain, "plain DataFusion over the window's rows at each tick");
    let hundred = Shape { rules: 100, events_a_second: 20_000, ..hopping }.rate(2_000_000);
    row("100 rules, each row matches one", hundred, hundred / thousand, "1,000 rules: cost of ten times the rules");
    let tenth = Shape { rules: 100, events_a_second: 200_000, matching: 10, ..hopping }.rate(20_000_000);
    row("100 rules, a tenth of the rows match", tenth, tenth / thousand, "1,000 rules, each row matches one");
    let short = Shape { rules: 10, window: "5m", every: "1m", events_a_second: 2_000, matching: 1 };
    let long = Shape { window: "24h", ..short };
    let (short, long) = (short.rate_over_hours(30), long.rate_over_hours(30));
    row("a window of 24 h", long, short / long, "cost per event of one of 5 min (30 h of events each)");
    memory();
    many_groups();
}

/// What rules and rows look like.
#[derive(Clone, Copy)]
struct Shape {
    rules: usize,
    window: &'static str,
    every: &'static str,
    events_a_second: usize,
    /// One row in so many matches a rule.
    matching: usize,
}

fn rules(number: usize, window: &str, every: &str, select: &str) -> Vec<Arc<squelch::rule::Rule>> {
    let text = |i: usize| {
        format!(
            "/*---\nrule: rule_{i:04}\nseverity: warning\nwindow: {window}\nevery: {every}\n---*/\n\
             SELECT host, service, {select} FROM metrics WHERE name = 'a_metric_of_rule_{i}' GROUP BY host, service HAVING value > 1e9"
        )
    };
    let files = (0..number).map(|i| (format!("{i}.sql").into(), Arc::from(text(i).as_str()))).collect();
    let book = from_texts(files).unwrap_or_else(|report| panic!("{report}"));
    book.rules.into_iter().map(Arc::new).collect()
}

const AVG_AND_COUNT: &str = "avg(value) AS value, count(*) AS samples";

impl Shape {
    fn evaluator(&self) -> Evaluator {
        Evaluator::new(rules(self.rules, self.window, self.every, AVG_AND_COUNT), WindowLimits::default(), || 0).unwrap()
    }

    /// Batch number `n` of a stream in which every host sends every metric in turn.
    fn batch(&self, n: usize) -> EventBatch {
        let rows = n * BATCH..(n + 1) * BATCH;
        let metrics = self.rules * self.matching;
        let names: Vec<String> = (0..metrics).map(|i| format!("a_metric_of_rule_{i}")).collect();
        let hosts: Vec<String> = (0..HOSTS).map(|i| format!("host-{i}.eu-central.example")).collect();
        let times: TimestampMillisecondArray =
            rows.clone().map(|i| Some(START_MS + (i as i64 * 1_000) / self.events_a_second as i64)).collect();
        // A stride without common factors mixes hosts within a metric's stretch of the batch.
        let host = |i: usize| (i / metrics).wrapping_mul(7919) % HOSTS;
        let name: StringViewArray = rows.clone().map(|i| Some(names[i % metrics].as_str())).collect();
        let value: Float64Array = rows.clone().map(|i| Some((i * 7919 % 1_000) as f64 / 10.0)).collect();
        let service: StringViewArray = rows.clone().map(|i| Some(["chat", "agents", "billing"][host(i) % 3])).collect();
        let host: StringViewArray = rows.map(|i| Some(hosts[host(i)].as_str())).collect();
        event_batch(vec![Arc::new(times.with_timezone(UTC)), Arc::new(name), Arc::new(value), Arc::new(service), Arc::new(host)])
    }

    /// Rows a second over `rows` rows, ticks included.
    /// Rows a second, the best of three: what else the machine does only ever costs.
    fn rate(&self, rows: usize) -> f64 {
        (0..3).map(|_| self.rate_once(rows)).fold(0.0, f64::max)
    }

    fn rate_once(&self, rows: usize) -> f64 {
        let mut evaluator = self.evaluator();
        evaluator.start(START_MS);
        // Batches are made beforehand and used again with later times: making them costs more than counting them in.
        let made: Vec<EventBatch> = (0..rows.div_ceil(BATCH).min(64)).map(|n| self.batch(n)).collect();
        let mut spent = Duration::ZERO;
        let mut done = 0;
        for n in 0..rows.div_ceil(BATCH) {
            let shifted = shift(&made[n % made.len()], self.time_of(n) - self.time_of(n % made.len()));
            let began = Instant::now();
            feed(&mut evaluator, &shifted);
            spent += began.elapsed();
            done += BATCH;
        }
        assert!(evaluator.stats(0).ticks > 0 && evaluator.stats(0).rows > 0 && evaluator.stats(0).late == 0);
        done as f64 / spent.as_secs_f64()
    }

    fn time_of(&self, batch: usize) -> i64 {
        ((batch * BATCH) as i64 * 1_000) / self.events_a_second as i64
    }

    fn rate_over_hours(&self, hours: usize) -> f64 {
        self.rate(hours * 3_600 * self.events_a_second)
    }
}

fn event_batch(columns: Vec<ArrayRef>) -> EventBatch {
    let keys = LabelKeys::default();
    let rows = columns[0].len();
    let mut tables = Kind::ALL.map(|kind| RecordBatch::new_empty(keys.schema(kind)));
    let schema = keys.schema(Kind::Metric);
    let missing = schema.fields()[columns.len()..].iter().map(|field| new_null_array(field.data_type(), rows));
    let columns = columns.iter().cloned().chain(missing).collect();
    tables[Kind::Metric as usize] = RecordBatch::try_new(schema, columns).unwrap();
    EventBatch { tables, alerts: Vec::new(), messages: Vec::new(), commands: Vec::new(), sources: Arc::default() }
}

fn shift(batch: &EventBatch, by_ms: i64) -> EventBatch {
    use arrow::array::AsArray;
    let rows = &batch.tables[Kind::Metric as usize];
    let times = rows.column(0).as_primitive::<arrow::datatypes::TimestampMillisecondType>();
    let times: TimestampMillisecondArray = times.unary(|ts| ts + by_ms);
    let mut columns = rows.columns().to_vec();
    columns[0] = Arc::new(times.with_timezone(UTC));
    let mut shifted = batch.clone();
    shifted.tables[Kind::Metric as usize] = RecordBatch::try_new(rows.schema(), columns).unwrap();
    shifted
}

fn last_time(batch: &EventBatch) -> i64 {
    use arrow::array::AsArray;
    let rows = &batch.tables[Kind::Metric as usize];
    rows.column(0).as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(rows.num_rows() - 1)
}

/// Counts a batch in, then evaluates what its time has passed by the usual lateness.
fn feed(evaluator: &mut Evaluator, batch: &EventBatch) -> usize {
    evaluator.ingest(batch, [0; TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
    let until = last_time(batch) - 10_000;
    let mut breaches = 0;
    while let Some(at) = evaluator.next_tick().filter(|at| *at <= until) {
        for index in evaluator.take_due(at) {
            breaches += evaluator.evaluate(index, at, i64::MIN).map_or(0, |rows| rows.len());
        }
        evaluator.compact();
    }
    breaches
}

/// Rows a second of the baseline: every rule is a plan over the rows of its window, run anew at each tick. Measured on a few
/// rules and reckoned up.
fn plain_rate(shape: &Shape) -> f64 {
    const RULES: usize = 4;
    let rows_a_tick = shape.events_a_second * 10;
    let window: Vec<RecordBatch> = (0..(6 * rows_a_tick).div_ceil(BATCH)).map(|n| shape.batch(n).tables[0].clone()).collect();
    let all = concat_batches(&window[0].schema(), &window).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let spent = runtime.block_on(async {
        let context = SessionContext::new_with_config(datafusion::prelude::SessionConfig::new().with_target_partitions(1));
        context.register_table("metrics", Arc::new(MemTable::try_new(all.schema(), vec![vec![all]]).unwrap())).unwrap();
        let began = Instant::now();
        for rule in 0..RULES {
            let sql = format!(
                "SELECT host, service, {AVG_AND_COUNT} FROM metrics WHERE name = 'a_metric_of_rule_{rule}' GROUP BY host, service HAVING avg(value) > 1e9"
            );
            assert_eq!(context.sql(&sql).await.unwrap().collect().await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
        }
        began.elapsed() / RULES as u32
    });
    rows_a_tick as f64 / (spent * shape.rules as u32).as_secs_f64()
}

const FUNCTIONS: [(&str, usize); 2] =
    [(AVG_AND_COUNT, 1_000), ("avg(value) AS value, count(*) AS samples, p99(value) AS p99", 200)];

/// Bytes for each rule, group and pane: what the process grows by. Each in a process of its own, since memory that is freed is
/// not given back.
fn memory() {
    println!("\nmemory, {HOSTS} groups, 6 panes of 10 samples");
    println!("| functions | bytes a rule, group and pane | 1,000 rules |\n|---|---:|---:|");
    for (at, (functions, _)) in FUNCTIONS.iter().enumerate() {
        let this = std::env::current_exe().unwrap();
        let done = std::process::Command::new(this).args(["windows-memory", &at.to_string()]).output().unwrap();
        let each: f64 = String::from_utf8(done.stdout).unwrap().trim().parse().unwrap();
        println!("| {functions} | {each:.0} | {:.2} GB |", each * (1_000 * HOSTS * 6) as f64 / f64::from(1 << 30));
    }
}

/// Prints bytes a rule, group and pane.
pub fn measure_memory(at: usize) {
    let (functions, number) = FUNCTIONS[at];
    let shape = Shape { rules: number, window: "1m", every: "10s", events_a_second: HOSTS * number, matching: 1 };
    let mut evaluator =
        Evaluator::new(rules(number, shape.window, shape.every, functions), WindowLimits::default(), || 0).unwrap();
    evaluator.start(START_MS);
    feed(&mut evaluator, &shape.batch(0));
    let (before, mut batch) = (resident_bytes(), 1);
    // Until the windows are full: 6 panes that are sealed, one or two that are open.
    while shape.time_of(batch) < 75_000 {
        feed(&mut evaluator, &shape.batch(batch));
        batch += 1;
    }
    println!("{}", (resident_bytes() - before) as f64 / (number * HOSTS * 6) as f64);
}

pub fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// A million keys that are all new within a minute, and an evaluation over all of them.
fn many_groups() {
    const KEYS: usize = 1_000_000;
    let mut evaluator = Evaluator::new(rules(1, "1m", "1m", AVG_AND_COUNT), WindowLimits::default(), || 0).unwrap();
    evaluator.start(START_MS);
    let hosts: Vec<String> = (0..KEYS).map(|i| format!("pod-{i:x}-{:x}.cluster", i * 7919)).collect();
    let batches: Vec<EventBatch> = hosts
        .chunks(BATCH)
        .enumerate()
        .map(|(n, hosts)| {
            let rows = hosts.len();
            let ts = |i: usize| START_MS + ((n * BATCH + i) as i64 * 60_000) / KEYS as i64;
            let times: TimestampMillisecondArray = (0..rows).map(|i| Some(ts(i))).collect();
            let name: StringViewArray = (0..rows).map(|_| Some("a_metric_of_rule_0")).collect();
            let value: Float64Array = (0..rows).map(|i| Some(i as f64)).collect();
            let service: StringViewArray = (0..rows).map(|_| Some("chat")).collect();
            let host: StringViewArray = hosts.iter().map(|host| Some(host.as_str())).collect();
            event_batch(vec![
                Arc::new(times.with_timezone(UTC)),
                Arc::new(name),
                Arc::new(value),
                Arc::new(service),
                Arc::new(host),
            ])
        })
        .collect();
    let began = Instant::now();
    batches
        .iter()
        .for_each(|batch| evaluator.ingest(batch, [0; TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows())));
    let storm = began.elapsed();
    let again = Instant::now();
    batches
        .iter()
        .for_each(|batch| evaluator.ingest(batch, [0; TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows())));
    let known = again.elapsed();
    let at = evaluator.next_tick().unwrap();
    evaluator.take_due(at);
    let began = Instant::now();
    assert_eq!(evaluator.evaluate(0, at, i64::MIN).unwrap().len(), 0);
    let tick = began.elapsed();
    let (groups, _, bytes) = evaluator.size();
    assert_eq!(groups, KEYS);
    println!("\n1,000,000 groups\n| what | rows/s | ratio | to |\n|---|---:|---:|---|");
    let rate = |time: Duration| KEYS as f64 / time.as_secs_f64() / 1e6;
    println!(
        "| a storm of new keys | {:.2} M | {:.2} | the same rows again, all keys known |",
        rate(storm),
        known.as_secs_f64() / storm.as_secs_f64()
    );
    println!(
        "| an evaluation over all of them | {:.2} M | {:.2} | counting the rows in |",
        rate(tick),
        storm.as_secs_f64() / tick.as_secs_f64()
    );
    println!("held: {} bytes a group", bytes / KEYS);
}
