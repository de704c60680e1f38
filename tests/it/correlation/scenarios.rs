//! Every scenario in `fixtures/scenarios`: its golden output, the same re-batched and shuffled within lateness, and every message
//! against the published schema.

use crate::support::expect::{expect_file, first_difference};
use crate::support::runs::Scenario;
use crate::support::{Rng, folders};

fn scenarios() -> Vec<Scenario> {
    folders("fixtures/scenarios").iter().map(|path| Scenario::read(path)).collect()
}

#[test]
fn golden_outputs() {
    for scenario in scenarios() {
        let got = scenario.run(&scenario.lines, usize::MAX, 1);
        expect_file(&scenario.path.join("expected.jsonl"), &got);
    }
}

#[test]
fn batching_changes_nothing() {
    for scenario in scenarios() {
        let whole = scenario.run(&scenario.lines, usize::MAX, 1);
        for batch_of in [1, 2, 7, 64] {
            let got = scenario.run(&scenario.lines, batch_of, 1);
            assert_eq!(first_difference(&whole, &got), None, "{} in batches of {batch_of}", scenario.name());
        }
    }
}

/// An event may come as much later than the latest one as the engine allows; its order within that changes nothing.
#[test]
fn order_within_lateness_changes_nothing() {
    for scenario in scenarios() {
        if scenario.path.join("no-shuffle").exists() {
            continue;
        }
        let whole = scenario.run(&scenario.lines, usize::MAX, 1);
        for seed in 1..=4 {
            let shuffled = shuffle_within(&scenario.lines, scenario.lateness_ms(), &mut Rng(seed));
            let got = scenario.run(&shuffled, 16, 1);
            assert_eq!(first_difference(&whole, &got), None, "{} shuffled with seed {seed}", scenario.name());
        }
    }
}

/// Delays each line by up to the lateness, then sorts by arrival.
pub fn shuffle_within(lines: &[Vec<u8>], lateness_ms: i64, rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut last = 0;
    let mut arrivals: Vec<(i64, usize)> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let event = squelch::io::decode::native_json::parse(line).ok();
        // A bad line has no time: it stays where it is.
        last = event.and_then(|event| event.ts?.ok()).unwrap_or(last);
        arrivals.push((last + rng.below(lateness_ms as u64) as i64, i));
    }
    arrivals.sort();
    arrivals.into_iter().map(|(_, i)| lines[i].clone()).collect()
}

#[test]
fn every_message_fits_the_schema() {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("incident.json", squelch::io::incident_message::schema()).unwrap();
    compiler.enable_format_assertions();
    let schema = compiler.compile("incident.json", &mut schemas).unwrap();
    let mut messages = 0;
    for scenario in scenarios() {
        for line in scenario.run(&scenario.lines, usize::MAX, 1).lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            schemas.validate(&message, schema).unwrap_or_else(|error| panic!("{}: {error:#}\n{line}", scenario.name()));
            messages += 1;
        }
    }
    assert!(messages > 50, "the scenarios make {messages} messages");
    let broken = serde_json::json!({"id": "inc-1", "revision": "one"});
    assert!(schemas.validate(&broken, schema).is_err(), "the schema refuses what is no message");
}
