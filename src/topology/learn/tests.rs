//! What is learned of what was seen, whatever the order.

use super::*;
use crate::model::limits::SPAN_PAIR_MS;

const EVERY: i64 = LEARN_EVERY_MS;

fn learner(more: LearnParams) -> Learner {
    Learner::new(more)
}

fn all() -> LearnParams {
    LearnParams { metrics: true, ..LearnParams::default() }
}

fn shown(learner: &Learner) -> String {
    let edges = learner
        .edges()
        .map(|edge| format!("{}>{}{}", edge.from, edge.to, edge.env.map_or(String::new(), |env| format!("@{env}"))));
    edges.collect::<Vec<_>>().join(" ")
}

fn advance(learner: &mut Learner, until: i64) -> usize {
    let mut changes = 0;
    while learner.advance(until) {
        changes += 1;
    }
    changes
}

fn span<'a>(ts: i64, service: &'a str, id: &'a str, parent: Option<&'a str>) -> SpanFacts<'a> {
    SpanFacts { ts, service, env: None, trace_id: Some("t"), span_id: Some(id), parent_id: parent, peer: None }
}

#[test]
fn an_edge_comes_with_enough_observations_and_goes_with_silence() {
    let mut learner = learner(LearnParams { forget_ms: 10 * EVERY, ..all() });
    learner.calls(0, "web", "chat", None, 1);
    learner.calls(1, "web", "chat", None, 1);
    assert_eq!((advance(&mut learner, EVERY), shown(&learner)), (0, String::new()), "two are too few");
    learner.calls(EVERY, "web", "chat", None, 1);
    assert_eq!((advance(&mut learner, 2 * EVERY - 1), shown(&learner)), (0, String::new()), "its interval is not over");
    assert_eq!((advance(&mut learner, 2 * EVERY), shown(&learner)), (1, "web>chat".into()));
    assert_eq!(advance(&mut learner, 12 * EVERY - 1), 0);
    assert_eq!((advance(&mut learner, 12 * EVERY), shown(&learner)), (1, String::new()), "ten intervals without it");
    learner.calls(12 * EVERY, "web", "chat", None, 1);
    assert_eq!((advance(&mut learner, 14 * EVERY), shown(&learner)), (0, String::new()), "it begins anew");
    assert_eq!(learner.counts().late, 0);
    learner.calls(0, "web", "chat", None, 1);
    assert_eq!(learner.counts().late, 1);
}

#[test]
fn what_is_seen_again_stays() {
    let mut learner = learner(LearnParams { forget_ms: 4 * EVERY, observations: 1, ..all() });
    for interval in 0..40 {
        learner.calls(interval * EVERY, "web", "chat", None, 1);
        if interval == 3 {
            learner.calls(interval * EVERY, "web", "mail", None, 1);
        }
        advance(&mut learner, interval * EVERY);
        let want = if (4..8).contains(&interval) { "web>chat web>mail" } else { "web>chat" };
        assert_eq!(shown(&learner), if interval == 0 { "" } else { want }, "{interval}");
    }
}

#[test]
fn nonsense_is_no_edge() {
    let mut learner = learner(LearnParams { observations: 1, ..all() });
    let long = "x".repeat(LEARNED_NAME_BYTES_MAX + 1);
    for (from, to) in [("a", "a"), ("", "a"), ("a", ""), ("a", long.as_str())] {
        learner.calls(0, from, to, None, 1);
    }
    for parent in [None, Some("0000000000000000"), Some(""), Some("nobody")] {
        learner.span(span(0, "a", "1", parent).keyed());
    }
    learner.span(SpanFacts { trace_id: None, ..span(0, "b", "2", Some("1")) }.keyed());
    learner.span(span(0, "a", "3", Some("1")).keyed());
    learner.span(span(SPAN_PAIR_MS + 1, "far", "4", Some("1")).keyed());
    advance(&mut learner, 10 * EVERY);
    assert_eq!((shown(&learner), learner.counts().long_names), (String::new(), 1));
}

#[test]
fn a_parent_may_come_last() {
    let mut learner = learner(LearnParams { observations: 2, ..all() });
    learner.span(span(5, "db", "c", Some("b")).keyed());
    learner.span(span(4, "chat", "b", Some("a")).keyed());
    learner.span(span(3, "chat", "b2", Some("a")).keyed());
    learner.span(span(0, "web", "a", None).keyed());
    learner.span(span(0, "web", "a", None).keyed());
    learner.span(SpanFacts { peer: Some("mail"), env: Some("staging"), ..span(1, "chat", "d", None) }.keyed());
    learner.span(SpanFacts { peer: Some("mail"), env: Some("staging"), ..span(2, "chat", "e", None) }.keyed());
    advance(&mut learner, EVERY);
    assert_eq!(shown(&learner), "chat>mail@staging web>chat", "chat called db once only");
}

#[test]
fn nothing_is_remembered_for_longer_than_it_can_pair() {
    let mut learner = learner(all());
    for i in 0..1_000 {
        let (id, parent) = (format!("s{i}"), format!("p{i}"));
        learner.span(span(i * 1_000, "a", &id, Some(&parent)).keyed());
        advance(&mut learner, i * 1_000);
        assert!(learner.spans_remembered() <= 2 * ((SPAN_PAIR_MS + 2 * EVERY) / 1_000 + 2) as usize, "{i}");
    }
    advance(&mut learner, 10_000_000);
    assert_eq!((learner.spans_remembered(), learner.names.len()), (0, 0));
}

/// A small deterministic generator (SplitMix64).
fn random_below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % bound
}

/// Spans and calls of some minutes, in order of time, shuffled within a lateness, and with time looked at now and then: the same
/// edges change at the same instants.
#[test]
fn order_within_the_lateness_does_not_matter() {
    const LATENESS: i64 = 40_000;
    for seed in 0..60 {
        let mut state = seed;
        let mut events: Vec<(i64, u64, Option<u64>)> = Vec::new();
        for i in 0..300_u64 {
            let parent = (i > 0 && random_below(&mut state, 4) > 0).then(|| i - 1 - random_below(&mut state, i.min(6)));
            events.push((i as i64 * 1_500 + random_below(&mut state, 20_000) as i64, i, parent));
        }
        let services = ["web", "chat", "auth", "db"];
        let run = |events: &[(i64, u64, Option<u64>)], look: u64| {
            let mut learner = learner(LearnParams { observations: 4, forget_ms: 3 * EVERY, ..all() });
            let (mut history, mut max, mut state) = (Vec::new(), i64::MIN, look);
            let pass = |learner: &mut Learner, until: i64, history: &mut Vec<String>| {
                while learner.advance(until) {
                    history.push(format!("{} {}", learner.added_until, shown(learner)));
                }
            };
            for (ts, id, parent) in events {
                let (id_text, parent_text) = (format!("s{id}"), parent.map(|parent| format!("s{parent}")));
                learner.span(span(*ts, services[(*id % 4) as usize], &id_text, parent_text.as_deref()).keyed());
                learner.calls(*ts, services[(*id % 3) as usize], "queue", None, 1);
                max = max.max(*ts);
                if random_below(&mut state, look) == 0 {
                    pass(&mut learner, max - LATENESS, &mut history);
                }
            }
            pass(&mut learner, 2_000_000, &mut history);
            assert_eq!(learner.counts().late, 0);
            history
        };
        let mut sorted = events.clone();
        sorted.sort_unstable();
        let want = run(&sorted, 1);
        assert!(want.len() > 4, "something is learned and forgotten: {want:?}");
        let mut shuffled: Vec<_> =
            sorted.iter().map(|event| (event.0 + random_below(&mut state, LATENESS as u64) as i64, *event)).collect();
        shuffled.sort_unstable();
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, event)| event).collect();
        assert_ne!(sorted, shuffled);
        for (events, look) in [(&sorted, 50), (&shuffled, 1), (&shuffled, 9), (&shuffled, 1_000_000)] {
            assert_eq!(run(events, look), want, "seed {seed}, looked at every {look}");
        }
    }
}
