//! Random alerts of other systems over random graphs: whatever the order of arrival within lateness, however they share messages
//! and however often the process restarts, the same incidents come out, and what must hold of every revision holds.

use std::sync::Arc;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::invariants::Invariants;
use squelch::incident::revision::Revision;
use squelch::io::incident_message;
use squelch::model::event::{EventBatch, ExternalAlert, Kind, LabelKeys, MessageMark, TABLES};
use squelch::model::labels::Labels;
use squelch::model::severity::Severity;
use squelch::topology::definition::TopologySource;
use squelch::topology::{Edge, Topology, TopologyDefinition};

use crate::support::Rng;

const START_MS: i64 = 1_773_446_400_000;

/// Seconds after the start, node (the last one is no node: the alert is about no entity), which alert, whether it fires, severity.
type Said = (u32, u8, u8, bool, u8);

fn alert(said: &Said) -> ExternalAlert {
    let (at, node, which, firing, severity) = *said;
    let entity = (node < 12).then(|| ("service".to_string(), format!("n{node}")));
    let key = (which == 2).then(|| ("release".to_string(), format!("r{}", node % 4)));
    ExternalAlert {
        ts: START_MS + i64::from(at) * 700,
        name: format!("alert_{which}"),
        firing,
        severity: [Severity::Info, Severity::Warning, Severity::Critical][usize::from(severity % 3)],
        key: None,
        labels: Labels::new([("env".to_string(), "e".to_string())].into_iter().chain(entity).chain(key)),
        summary: None,
        runbook: None,
    }
}

fn batches(alerts: &[ExternalAlert], rng: &mut Rng) -> Vec<EventBatch> {
    let keys = LabelKeys::default();
    let mut batches = Vec::new();
    let mut rest = alerts;
    while !rest.is_empty() {
        let mut batch = EventBatch {
            tables: Kind::ALL.map(|kind| RecordBatch::new_empty(keys.schema(kind))),
            messages: Vec::new(),
            commands: Vec::new(),
            alerts: Vec::new(),
            sources: Arc::default(),
        };
        for _ in 0..=rng.below(3) {
            let (message, after) = rest.split_at(rest.len().min(1 + rng.below(5) as usize));
            rest = after;
            batch.alerts.extend(message.iter().cloned());
            batch.messages.push(MessageMark {
                rows_end: [0; TABLES],
                alerts_end: batch.alerts.len(),
                max_ts: message.iter().map(|alert| alert.ts).max(),
                min_ts: message.iter().map(|alert| alert.ts).min(),
                received_at: None,
                source: 0,
            });
        }
        batches.push(batch);
    }
    batches
}

fn parts(edges: &[(u8, u8)]) -> TopologyDefinition {
    let edge = |(from, to): &(u8, u8)| Edge::calls(&format!("n{from}"), &format!("n{to}"));
    TopologyDefinition { nodes: Vec::new(), edges: edges.iter().map(edge).collect() }
}

fn fresh(parts: &TopologyDefinition) -> Engine {
    let mut params = EngineParams::default();
    params.correlation.keys = vec!["release".into()];
    Engine::new(Vec::new(), Topology::new(parts.clone()), &params).unwrap()
}

/// The graph changes between batches; how often the process restarts changes nothing. Versions count from the start of a process.
fn run_on_changing_graphs(alerts: &[ExternalAlert], edges: &[(u8, u8)], seed: u64, restarts: u64) -> Vec<String> {
    let mut now = parts(edges);
    let mut engine = fresh(&now);
    let mut invariants = Invariants::default();
    let mut lines = Vec::new();
    let mut take = |revisions: Vec<Revision>| {
        invariants.see(&revisions).unwrap_or_else(|what| panic!("{what}"));
        lines.extend(revisions.into_iter().map(|mut revision| {
            revision.topology.version = 0;
            revision.links.iter_mut().for_each(|link| Arc::make_mut(link).topology_version = 0);
            incident_message::to_json(&revision)
        }));
    };
    let (rng, restarting) = (&mut Rng(seed), &mut Rng(restarts));
    for batch in batches(alerts, &mut Rng(seed)) {
        if rng.below(3) == 0 {
            now = parts(&edges.iter().filter(|_| rng.below(2) == 0).copied().collect::<Vec<_>>());
            take(engine.step(Input::Topology { source: TopologySource::File, parts: now.clone() }));
        }
        take(engine.step(Input::Events(&batch)));
        if restarts > 0 && restarting.below(3) == 0 {
            let saved = engine.save().unwrap().into_loaded().unwrap();
            engine = fresh(&now);
            take(engine.restore(&saved).unwrap());
        }
    }
    take(engine.step(Input::End));
    take(engine.step(Input::Idle { silence_ms: 5 * 3_600_000 }));
    lines
}

fn run(alerts: &[ExternalAlert], edges: &[(u8, u8)], seed: u64, restarts: bool) -> Vec<String> {
    let mut engine = fresh(&parts(edges));
    let mut invariants = Invariants::default();
    let mut lines = Vec::new();
    let mut take = |revisions: Vec<Revision>| {
        invariants.see(&revisions).unwrap_or_else(|what| panic!("{what}"));
        lines.extend(revisions.iter().map(incident_message::to_json));
    };
    let rng = &mut Rng(seed);
    for batch in batches(alerts, rng) {
        take(engine.step(Input::Events(&batch)));
        if restarts && rng.below(3) == 0 {
            let saved = engine.save().unwrap().into_loaded().unwrap();
            engine = fresh(&parts(edges));
            take(engine.restore(&saved).unwrap());
        }
    }
    take(engine.step(Input::End));
    take(engine.step(Input::Idle { silence_ms: 5 * 3_600_000 }));
    lines
}

/// What is said of one alert at one instant is said once: two contradicting words at the same time have no order.
fn distinct(mut said: Vec<Said>) -> Vec<Said> {
    said.sort_unstable();
    said.dedup_by_key(|said| (said.0, said.1, said.2));
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn neither_order_of_arrival_nor_restarts_make_other_incidents(
        said in prop::collection::vec((0..900_u32, 0..13_u8, 0..3_u8, prop::bool::weighted(0.7), 0..3_u8), 1..80),
        edges in prop::collection::vec((0..12_u8, 0..12_u8), 0..30),
        seed in any::<u64>(),
    ) {
        let alerts: Vec<ExternalAlert> = distinct(said).iter().map(alert).collect();
        let expected = run(&alerts, &edges, seed, false);
        let rng = &mut Rng(seed);
        let lateness_ms = EngineParams::default().lateness_ms as u64;
        let mut arrivals: Vec<(i64, usize)> =
            alerts.iter().enumerate().map(|(i, alert)| (alert.ts + rng.below(lateness_ms) as i64, i)).collect();
        arrivals.sort_unstable();
        let shuffled: Vec<ExternalAlert> = arrivals.into_iter().map(|(_, i)| alerts[i].clone()).collect();
        prop_assert_eq!(&expected, &run(&shuffled, &edges, seed.rotate_left(7), false));
        prop_assert_eq!(&expected, &run(&shuffled, &edges, seed.rotate_left(9), true));
    }

    #[test]
    fn incidents_split_alike_however_often_the_process_restarts(
        said in prop::collection::vec((0..900_u32, 0..13_u8, 0..3_u8, prop::bool::weighted(0.7), 0..3_u8), 1..80),
        edges in prop::collection::vec((0..12_u8, 0..12_u8), 0..30),
        seed in any::<u64>(),
    ) {
        let alerts: Vec<ExternalAlert> = distinct(said).iter().map(alert).collect();
        let expected = run_on_changing_graphs(&alerts, &edges, seed, 0);
        prop_assert_eq!(&expected, &run_on_changing_graphs(&alerts, &edges, seed, seed | 1));
    }
}
