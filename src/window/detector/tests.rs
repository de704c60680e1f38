//! What holds for all detectors: neither a snapshot nor left-out evaluations without rows change what they find. And rows for the
//! tests of each.

use proptest::prelude::*;

use crate::model::labels::Labels;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::file::RuleFile;
use crate::rule::definition::front_matter::{self, FrontMatter};
use crate::rule::definition::output_columns::Breach;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::detector::Detector;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())))
}

pub(crate) fn row(ts: i64, pairs: &[(&str, &str)], value: f64) -> Breach {
    Breach { ts, labels: labels(pairs), value, severity: None, numbers: Vec::new(), texts: Vec::new() }
}

fn front(keys: &str) -> FrontMatter {
    let text = format!("/*---\nrule: r\nseverity: warning\n{keys}\n---*/\nSELECT 1");
    front_matter::parse(&RuleFile::new("r.sql".into(), &text).unwrap()).unwrap_or_else(|errors| panic!("{keys}: {errors:?}"))
}

/// Rules of every kind, with times so short that everything happens within a hundred evaluations.
const RULES: [&str; 13] = [
    "window: 10s\ndeviation: { over: 5m, min_history: 3, score: 2, floor: 0.01 }",
    "window: 10s\ndeviation: { over: 5m, min_history: 3, score: 2, direction: both, settle: 1m }",
    "window: 10s\ndeviation: { over: 5m, min_history: 3, score: 2, method: ewma, half_life: 1m }",
    "window: 10s\nevery: 5s\ndeviation: { season: day, min_history: 3, score: 1, direction: down }",
    "window: 10s\ndeviation: { season: week, method: ewma, min_history: 3, score: 1 }",
    "window: 10s\nabsence: { after: 30s, forget: 2m }",
    "window: 10s\nabsence: { after: 20s, expect: [{ host: a, term: x }, { host: z, term: z }] }",
    "instant: true\nfirst_seen: { forget: 1m, learn: 30s }",
    "window: 10s\nfirst_seen: { forget: 2m, learn: 20s, per: host }",
    "window: 10s\nchange: { of: term, within: 2m }",
    "instant: true\nchange: value",
    "sequence: { steps: [x, z, x], within: 4m }",
    "sequence: { steps: [x, z, z], within: 5m, ordered: false }",
];

/// Evaluations: seconds since the one before, and rows of a host, a term, a value and how long before the evaluation they were.
type Rows = Vec<(u8, u8, u8, u16)>;

fn evaluations() -> impl Strategy<Value = Vec<(u32, Rows)>> {
    let pause = prop_oneof![8 => 1..3_u32, 1 => 3..60_u32, 1 => Just(8_640_u32)];
    let row = (0..3_u8, 0..3_u8, 0..20_u8, 0..10_000_u16);
    prop::collection::vec((pause, prop::collection::vec(row, 0..5)), 1..60)
}

/// The rows of one evaluation as the evaluator passes them: sorted, and with the time of the evaluation where there is a window.
fn rows_at(at: i64, rows: &Rows, front: &FrontMatter) -> Vec<Breach> {
    let instant = front.window_spec == WindowSpec::Instant;
    let make = |(host, term, value, before): &(u8, u8, u8, u16)| {
        let (host, term) = (["a", "b", "c"][*host as usize], ["x", "z", ""][*term as usize]);
        let ts = if instant { at - i64::from(*before) } else { at };
        if !matches!(front.detector, Some(DetectorSpec::Sequence(_))) {
            return row(ts, &[("host", host), ("term", term)], f64::from(*value));
        }
        let texts = vec![("step".into(), term.into())];
        Breach { texts, ..row(ts, &[("host", host)], f64::from(*value)) }
    };
    let mut rows: Vec<Breach> = rows.iter().map(make).collect();
    rows.sort_by(Breach::in_order);
    rows.dedup_by(|a, b| !instant && a.labels == b.labels);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn a_restored_detector_finds_the_same(evaluations in evaluations()) {
        for keys in RULES {
            let front = front(keys);
            let mut whole = Detector::new(&front).unwrap();
            let mut interrupted = whole.clone();
            let mut at = 1_700_000_000_000_i64;
            for (pause, rows) in &evaluations {
                at += i64::from(*pause) * 10_000;
                let bytes = postcard::to_allocvec(&interrupted).unwrap();
                interrupted = postcard::from_bytes(&bytes).unwrap();
                let rows = rows_at(at, rows, &front);
                prop_assert_eq!(whole.detect(at, rows.clone()), interrupted.detect(at, rows), "{}", keys);
                prop_assert_eq!(whole.overflow(), interrupted.overflow());
                prop_assert_eq!(whole.is_idle(), interrupted.is_idle());
            }
        }
    }

    /// The engine relies on this where it leaves out ticks.
    #[test]
    fn evaluations_without_rows_change_nothing_while_a_detector_is_idle(evaluations in evaluations()) {
        for keys in RULES {
            let front = front(keys);
            let mut each = Detector::new(&front).unwrap();
            let mut skipping = each.clone();
            let mut at = 1_700_000_000_000_i64;
            for (pause, rows) in &evaluations {
                for _ in 1..(*pause).min(60) {
                    at += 10_000;
                    let skipped = skipping.is_idle();
                    let found = each.detect(at, Vec::new());
                    if skipped {
                        prop_assert!(found.is_empty(), "{}: {:?}", keys, found);
                    } else {
                        prop_assert_eq!(found, skipping.detect(at, Vec::new()), "{}", keys);
                    }
                }
                at += 10_000;
                let rows = rows_at(at, rows, &front);
                prop_assert_eq!(each.detect(at, rows.clone()), skipping.detect(at, rows), "{}", keys);
            }
        }
    }
}

#[test]
fn the_rules_of_these_tests_find_something() {
    for keys in RULES {
        let front = front(keys);
        let mut detector = Detector::new(&front).unwrap();
        let found: usize = (0..60_000_i64)
            .map(|i| {
                let (at, dice) = (1_700_000_000_000 + i * 60_000, (i * 7919) % 101);
                let value = if dice < 3 {
                    90
                } else if dice < 6 {
                    0
                } else {
                    9 + (dice % 3) as u8
                };
                let rows = vec![(0, (dice % 2) as u8, value, 0)];
                detector.detect(at, if dice % 10 == 9 { Vec::new() } else { rows_at(at, &rows, &front) }).len()
            })
            .sum();
        assert!(found > 0, "{keys}");
    }
}
