//! Functions over series beside a plain computation over the window's rows, for random counters and gauges: across resets, orders within lateness, batch
//! splits, samples that are there twice, state saved and restored, several evaluators that count rows for one, deltas and running
//! totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::model::event::EventBatch;
use squelch::rule::Rule;
use squelch::window::evaluator::Evaluator;
use squelch::window::limits::WindowLimits;
use squelch::window::time::rule_set_start::RuleSetStart;

use crate::rules::oracle::{Counting, book_of, evaluator_of};
use crate::support::Rng;

const START_MS: i64 = 1_773_446_400_000;
const EVERY_MS: i64 = 10_000;
const LATENESS_MS: i64 = 10_000;

/// A sample of one of a few series of two services.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// After the start.
    ms: i64,
    service: u8,
    host: u8,
    /// Whether the value is the increase since the sample before it.
    delta: bool,
    /// In quarters, so that sums are exact.
    quarters: i32,
}

impl Point {
    fn value(&self) -> f64 {
        f64::from(self.quarters) / 4.0
    }

    fn line(&self) -> String {
        let temporality = if self.delta { "delta" } else { "cumulative" };
        format!(
            r#"{{"kind":"metric","ts":{},"name":"m","value":{},"service":"s{}","host":"h{}","temporality":"{temporality}","labels":{{}}}}"#,
            START_MS + self.ms,
            self.value(),
            self.service,
            self.host,
        )
    }
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let point = (0..120_000_i64, 0..2_u8, 0..3_u8, prop::bool::weighted(0.2), 0..400_i32)
        .prop_map(|(ms, service, host, delta, quarters)| Point { ms, service, host, delta, quarters });
    prop::collection::vec(point, 1..150)
}

/// The figures of one group by name, those without an answer left out.
type Figures = BTreeMap<String, f64>;

const QUERY: &str = "SELECT service, count(*) AS value, increase(value) AS increase, rate(value) AS rate, delta(value) AS delta, \
                     resets(value) AS resets, last(value) AS last, deriv(value) AS deriv, predict(value, 60) AS ahead, \
                     increase(value * 8) FILTER (WHERE host <> 'h0') AS bits FROM metrics GROUP BY service";

/// What the query answers, by service: written down as it would be explained to a person.
fn plain(points: &[Point], from: i64, until: i64) -> BTreeMap<String, Figures> {
    let mut services: BTreeMap<u8, BTreeMap<(u8, bool), Vec<Point>>> = BTreeMap::new();
    for point in points.iter().filter(|point| (from..until).contains(&point.ms)) {
        services.entry(point.service).or_default().entry((point.host, point.delta)).or_default().push(*point);
    }
    let seconds = (until - from) as f64 / 1000.0;
    let of_service = |(service, series): (u8, BTreeMap<(u8, bool), Vec<Point>>)| {
        let mut figures = Figures::new();
        let mut add = |name: &str, figure: f64| *figures.entry(name.to_string()).or_default() += figure;
        for ((host, delta), all) in series {
            let mut samples = all.clone();
            samples.sort_by_key(|point| (point.ms, point.quarters));
            if !delta {
                let (mut kept, mut rest): (Vec<Point>, _) = (Vec::new(), samples.iter().peekable());
                while let Some(point) = rest.next() {
                    if rest.peek().is_none_or(|next| next.ms != point.ms) {
                        kept.push(*point);
                    }
                }
                samples = kept;
            }
            let values: Vec<f64> = samples.iter().map(Point::value).collect();
            let pairs = || values.windows(2).map(|pair| (pair[0], pair[1]));
            let increase = match delta {
                true => Some(values.iter().sum::<f64>()),
                false if values.len() > 1 => Some(pairs().map(|(a, b)| if b < a { b } else { b - a }).sum::<f64>()),
                false => None,
            };
            if let Some(increase) = increase {
                add("increase", increase);
                add("rate", increase / seconds);
                add("delta", if delta { increase } else { values[values.len() - 1] - values[0] });
                if host != 0 {
                    add("bits", increase * 8.0);
                }
            }
            add("resets", if delta { 0.0 } else { pairs().filter(|(a, b)| b < a).count() as f64 });
            add("last", values[values.len() - 1]);
            let n = all.len() as f64;
            let mean = |of: &dyn Fn(&Point) -> f64| all.iter().map(of).sum::<f64>() / n;
            let (x, y) = (mean(&|point| point.ms as f64 / 1000.0), mean(&Point::value));
            let squares: f64 = all.iter().map(|point| (point.ms as f64 / 1000.0 - x).powi(2)).sum();
            let products: f64 = all.iter().map(|point| (point.ms as f64 / 1000.0 - x) * (point.value() - y)).sum();
            if squares > 0.0 {
                let slope = products / squares;
                add("deriv", slope);
                add("ahead", y + slope * (until as f64 / 1000.0 + 60.0 - x));
            }
        }
        (format!("s{service}"), figures)
    };
    services.into_iter().map(of_service).collect()
}

fn decode(points: &[Point], decoder: &mut Decoder) -> EventBatch {
    for point in points {
        decoder.message(point.line().as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
    }
    decoder.take()
}

fn assert_near(got: &Figures, want: &Figures, about: &str) {
    let names = |figures: &Figures| figures.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(want), "{about}");
    for (name, figure) in got {
        let expected = want[name];
        // The slope through samples that are milliseconds apart is large.
        let tolerance = 1e-7 * expected.abs().max(1.0);
        assert!((figure - expected).abs() <= tolerance, "{name} is {figure}, not {expected}: {about}");
    }
}

fn windows_answer_as_computed(points: &[Point], panes: i64, seed: u64) {
    let rng = &mut Rng(seed);
    let text = format!("/*---\nrule: r0\nseverity: warning\nwindow: {}ms\nevery: {EVERY_MS}ms\n---*/\n{QUERY}", panes * EVERY_MS);
    let texts = [text];
    let book = book_of(&texts);
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    let mut evaluator = evaluator_of(&texts);
    evaluator.start(START_MS);
    let rules: Vec<Arc<Rule>> = book.rules.into_iter().map(Arc::new).collect();
    let hands = [0, 0, 1, 3][rng.below(4) as usize];
    let hand = |_| Evaluator::counter(rules.clone(), WindowLimits::default(), || 0).unwrap();
    let mut counting = Counting((0..hands).map(hand).collect());
    let mut arriving: Vec<(i64, Point)> =
        points.iter().map(|point| (point.ms + rng.below(LATENESS_MS as u64) as i64, *point)).collect();
    arriving.sort_by_key(|(at, _)| *at);
    let compare = |evaluator: &mut Evaluator, until: i64| {
        while let Some(at) = evaluator.next_tick().filter(|at| *at <= until) {
            for index in evaluator.take_due(at) {
                let breaches = evaluator.evaluate(index, at, i64::MIN).unwrap();
                let got: BTreeMap<String, Figures> = breaches
                    .into_iter()
                    .map(|breach| (breach.labels.get("service").unwrap().to_string(), breach.numbers.into_iter().collect()))
                    .collect();
                let want = plain(points, at - START_MS - panes * EVERY_MS, at - START_MS);
                let about = format!("at +{} s, seed {seed}", (at - START_MS) / 1000);
                assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{about}");
                got.iter().for_each(|(service, figures)| assert_near(figures, &want[service], &format!("{service} {about}")));
            }
            evaluator.compact();
        }
    };
    let mut rest = arriving.as_slice();
    while !rest.is_empty() {
        let batch;
        (batch, rest) = rest.split_at(rest.len().min(1 + rng.below(8) as usize));
        let rows: Vec<Point> = batch.iter().map(|(_, point)| *point).collect();
        let decoded = decode(&rows, &mut decoder);
        counting.ingest(&decoded, &mut evaluator, rng);
        if rng.below(6) == 0 {
            let saved = evaluator.save().unwrap().into_loaded().unwrap();
            evaluator = evaluator_of(&texts);
            evaluator.restore(&saved, RuleSetStart { now: START_MS, latest: START_MS }).unwrap();
        }
        let until = batch[batch.len() - 1].0 - LATENESS_MS + START_MS;
        if evaluator.next_tick().is_some_and(|at| at <= until) {
            counting.hand_on_all(&mut evaluator);
        }
        compare(&mut evaluator, until);
    }
    counting.hand_on_all(&mut evaluator);
    compare(&mut evaluator, START_MS + 120_000 + 20 * EVERY_MS);
    let stats = evaluator.stats(0);
    assert_eq!((stats.late, stats.overflow, stats.errors), (0, 0, 0), "{:?}", evaluator.last_error(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn functions_over_series_answer_as_computed_by_hand(points in points(), panes in 1..14_i64, seed in any::<u64>()) {
        windows_answer_as_computed(&points, panes, seed);
    }
}
