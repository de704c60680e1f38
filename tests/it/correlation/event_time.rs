//! Time told by several sources: who is waited for, how long, and what counts as late.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::incident_message;
use squelch::model::event::{MessageMark, SourceId, TABLES};
use squelch::rule::check;
use squelch::topology::Topology;
use squelch::window::time::watermark::{Watermark, WatermarkParams};

const T: i64 = 1_773_456_000_000;
const PARAMS: WatermarkParams = WatermarkParams { lateness_ms: 10_000, idle_ms: 30_000, source_wait_ms: 30_000 };

fn mark(source: SourceId, received_at: Option<i64>, ts: i64) -> MessageMark {
    MessageMark { rows_end: [0; TABLES], alerts_end: 0, max_ts: Some(ts), min_ts: Some(ts), received_at, source }
}

/// Seconds after [`T`] at which the watermark stands after each message, given as source, the broker's stamp and event time.
fn stands(params: WatermarkParams, messages: &[(SourceId, i64, i64)]) -> Vec<i64> {
    let mut watermark = Watermark::new(params);
    let after = messages.iter().map(|(source, stamp, ts)| {
        watermark.observe(&mark(*source, Some(T + stamp * 1000), T + ts * 1000));
        (watermark.now().unwrap() - T) / 1000
    });
    after.collect()
}

#[test]
fn a_source_that_is_quiet_holds_nothing_back() {
    assert_eq!(stands(PARAMS, &[(1, 100, 100), (2, 101, 101), (2, 115, 115), (2, 129, 129)]), [90, 91, 105, 119]);
}

#[test]
fn a_source_that_lags_is_waited_for_as_if_its_time_went_on() {
    assert_eq!(stands(PARAMS, &[(1, 100, 80), (2, 101, 101), (2, 110, 110), (1, 120, 100)]), [70, 71, 80, 90]);
}

#[test]
fn nobody_is_waited_for_longer_than_is_set() {
    assert_eq!(stands(PARAMS, &[(1, 100, -500), (2, 101, 101), (1, 110, -490), (2, 120, 120)]), [-510, 61, 61, 80]);
    let off = WatermarkParams { source_wait_ms: 0, ..PARAMS };
    assert_eq!(stands(off, &[(1, 100, 80), (2, 101, 101), (1, 120, 100)]), [70, 91, 91]);
}

#[test]
fn an_idle_source_is_not_waited_for_until_it_sends_again() {
    assert_eq!(
        stands(PARAMS, &[(1, 100, 80), (2, 101, 101), (2, 130, 130), (2, 131, 131), (1, 140, 112), (2, 142, 142)]),
        [70, 71, 100, 121, 121, 121]
    );
}

#[test]
fn a_source_that_has_caught_up_lets_time_go() {
    assert_eq!(stands(PARAMS, &[(1, 100, 80), (2, 101, 101), (1, 102, 101), (2, 103, 103)]), [70, 71, 91, 92]);
}

#[test]
fn silence_and_the_end_go_on_as_if_there_were_one_source() {
    let mut watermark = Watermark::new(PARAMS);
    watermark.observe(&mark(1, Some(T), T - 20_000));
    watermark.observe(&mark(2, Some(T), T));
    assert_eq!(watermark.now(), Some(T - 30_000));
    assert_eq!(watermark.sources(), (2, Some((1, 20_000))));
    watermark.observe_silence(30_000);
    assert_eq!(watermark.now(), Some(T + 20_000));
    watermark.end();
    assert_eq!(watermark.now(), Some(T + 20_000));
}

/// The watermark as it is meant: every source asked after every message.
fn meant(params: WatermarkParams, messages: &[(SourceId, i64, i64)]) -> Vec<i64> {
    let mut known: BTreeMap<SourceId, (i64, i64)> = BTreeMap::new();
    let (mut now, mut latest, mut clock) = (i64::MIN, i64::MIN, i64::MIN);
    let after = messages.iter().map(|(source, stamp, ts)| {
        clock = clock.max(*stamp);
        latest = latest.max(*ts);
        let before = known.get(source).filter(|(stamp, _)| *stamp >= clock - params.idle_ms);
        let max_ts = before.map_or(*ts, |(_, max_ts)| *ts.max(max_ts));
        known.insert(*source, (*stamp, max_ts));
        let active = known.values().filter(|(stamp, _)| *stamp >= clock - params.idle_ms);
        let slowest = active.map(|(stamp, max_ts)| clock - (stamp - max_ts)).min().unwrap_or(latest);
        now = now.max(slowest.min(latest).max(latest - params.source_wait_ms) - params.lateness_ms);
        now
    });
    after.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn time_never_goes_back_nor_ahead_and_is_held_no_longer_than_is_set(
        steps in prop::collection::vec((0_u16..6, 0_i64..8_000, -2_000_i64..60_000), 1..200),
        source_wait_ms in 1_i64..60_000,
    ) {
        let params = WatermarkParams { source_wait_ms, ..PARAMS };
        let mut clock = T;
        let messages: Vec<_> = steps.iter().map(|(source, gap, lag)| {
            clock += gap;
            (*source, clock, clock - lag / (i64::from(*source) + 1))
        }).collect();
        let mut watermark = Watermark::new(params);
        let (mut before, mut latest) = (i64::MIN, i64::MIN);
        for ((source, stamp, ts), meant) in messages.iter().zip(meant(params, &messages)) {
            watermark.observe(&mark(*source, Some(*stamp), *ts));
            latest = latest.max(*ts);
            let now = watermark.now().unwrap();
            prop_assert!(now >= before);
            prop_assert!(now <= latest - params.lateness_ms);
            prop_assert!(now >= latest - params.lateness_ms - source_wait_ms);
            prop_assert_eq!(now, meant);
            before = now;
        }
    }

    #[test]
    fn one_source_is_as_good_as_none(steps in prop::collection::vec((0_i64..60_000, -60_000_i64..60_000), 1..100)) {
        let mut clock = T;
        let (mut with, mut without) = (Watermark::new(PARAMS), Watermark::new(PARAMS));
        for (gap, lag) in steps {
            clock += gap;
            with.observe(&mark(1, Some(clock), clock - lag));
            without.observe(&mark(0, None, clock - lag));
            prop_assert_eq!(with.now(), without.now());
        }
    }
}

const RULE: &str = "/*---\nrule: many\nseverity: warning\nwindow: 1m\nsummary: \"{{ host }}: {{ value }}\"\n---*/\n\
    SELECT host, sum(value) AS value FROM metrics WHERE name = 'x' GROUP BY host HAVING sum(value) >= 10\n";

fn engine() -> (Engine, Decoder) {
    let book = check::from_texts(vec![(PathBuf::from("rules/many.sql"), Arc::from(RULE))]);
    let book = book.unwrap_or_else(|report| panic!("{report}"));
    let decoder = Decoder::new(&book.label_keys, i64::MAX);
    (Engine::new(book.rules, Topology::default(), &EngineParams::default()).unwrap(), decoder)
}

/// Messages of one event each: subject, the broker's stamp and event time in seconds after [`T`], value.
fn run(messages: &[(&str, i64, i64, f64)], batch_of: usize) -> (String, u64) {
    let (mut engine, mut decoder) = engine();
    let mut out = String::new();
    let mut tell = |revisions: Vec<squelch::incident::revision::Revision>| {
        revisions.iter().for_each(|revision| writeln!(out, "{}", incident_message::to_json(revision)).unwrap());
    };
    for batch in messages.chunks(batch_of) {
        for (subject, stamp, ts, value) in batch {
            let line = format!(r#"{{"kind":"metric","name":"x","host":"a","ts":{},"value":{value}}}"#, T + ts * 1000);
            let source = decoder.source(subject);
            let info = MessageInfo { received_at: Some(T + stamp * 1000), source, ..MessageInfo::default() };
            decoder.message(line.as_bytes(), info, &mut |bad| panic!("{}", bad.reason));
        }
        tell(engine.step(Input::Events(&decoder.take())));
    }
    tell(engine.step(Input::End));
    let late = engine.rules().map(|(_, stats, _)| stats.late).sum();
    (out, late)
}

#[test]
fn a_row_within_the_lateness_still_decides_and_a_later_one_is_counted() {
    // The window ends at 60 s and is decided when an event of 70 s has come.
    let before = [("s", 50, 50, 6.0), ("s", 65, 65, 1.0)];
    let in_time = [before.as_slice(), &[("s", 66, 55, 4.0), ("s", 71, 71, 1.0)]].concat();
    let too_late = [before.as_slice(), &[("s", 71, 71, 1.0), ("s", 72, 55, 4.0)]].concat();
    let (alerts, late) = run(&in_time, 1);
    assert!(alerts.contains("a: 10"), "{alerts}");
    assert_eq!(late, 0);
    assert_eq!(run(&too_late, 1), (String::new(), 1));
}

#[test]
fn rows_of_a_source_that_lags_count_and_batches_leave_no_trace() {
    // `slow` is always 25 s behind, longer than the lateness.
    let mut messages = Vec::new();
    for second in 0..200 {
        messages.push(("fast", second, second, 0.0));
        messages.push(("slow", second, second - 25, if (30..90).contains(&second) { 1.0 } else { 0.0 }));
    }
    let (alerts, late) = run(&messages, 1);
    assert_eq!(late, 0);
    assert!(alerts.contains("a: 5"), "{alerts}");
    for batch_of in [2, 7, 50, 1000] {
        assert_eq!(run(&messages, batch_of), (alerts.clone(), 0));
    }
    let as_one: Vec<_> = messages.iter().map(|(_, stamp, ts, value)| ("one", *stamp, *ts, *value)).collect();
    assert!(run(&as_one, 1).1 > 30, "told as one, the slow one's rows are late");
}

#[test]
fn sources_beyond_the_limit_share_one_id() {
    let mut decoder = Decoder::new(&Default::default(), i64::MAX);
    let ids: Vec<SourceId> = (0..1_200).map(|i| decoder.source(&format!("events.metrics.{i}"))).collect();
    assert_eq!((ids[0], ids[998], ids[999], ids[1_199]), (1, 999, 0, 0));
    assert_eq!(decoder.source("events.metrics.7"), 8);
    assert_eq!(decoder.take().sources.len(), 1_000);
}
