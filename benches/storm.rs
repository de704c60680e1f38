//! A storm of other systems' alerts: correlated over graphs of many nodes, into many open incidents.

use std::sync::Arc;
use std::time::Duration;

use squelch::engine::{Engine, EngineParams, Input};
use squelch::model::event::{EventBatch, ExternalAlert, Kind, LabelKeys, MessageMark, TABLES};
use squelch::model::labels::Labels;
use squelch::model::severity::Severity;
use squelch::topology::{Edge, Topology, TopologyDefinition};

use crate::windows::resident_bytes;

const START_MS: i64 = 1_773_446_400_000;
const STORM_MS: usize = 60_000;
const ALERTS_A_MESSAGE: usize = 100;

/// Alerts, nodes, and how many systems the nodes form that have nothing to do with each other.
const SHAPES: [(usize, usize, usize); 6] = [
    (10_000, 10_000, 100),
    (100_000, 1_000, 10),
    (100_000, 10_000, 10),
    (100_000, 10_000, 100),
    (100_000, 10_000, 1_000),
    (200_000, 10_000, 100),
];

pub fn tables() {
    println!("\na storm: alerts of other systems within one minute of event time, a second being one of processor time");
    println!(
        "| alerts | nodes | systems | alerts/s | cost an alert, to 10,000 alerts | open incidents | messages to people | MB more |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut least = None;
    for (alerts, nodes, systems) in SHAPES {
        let batches = batches(alerts, nodes);
        let mut engine = Engine::new(Vec::new(), graph(nodes, systems), &EngineParams::default()).unwrap();
        let before = resident_mb();
        let began = on_cpu();
        let mut told = 0;
        for batch in &batches {
            told += engine.step(Input::Events(batch)).iter().filter(|revision| revision.decision.is_sent()).count();
        }
        told += engine.step(Input::Idle { silence_ms: 60_000 }).iter().filter(|revision| revision.decision.is_sent()).count();
        let rate = alerts as f64 / (on_cpu() - began).as_secs_f64();
        assert_eq!(engine.stats().book.alerts as usize, alerts);
        let least = *least.get_or_insert(rate);
        println!(
            "| {alerts} | {nodes} | {systems} | {:.0} k | {:.2} | {} | {told} | {:.0} |",
            rate / 1e3,
            least / rate,
            engine.open_incidents(),
            resident_mb() - before
        );
    }
}

/// How long this thread has run on a core: on a machine that does other work as well, the clock on the wall would measure that.
fn on_cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

fn resident_mb() -> f64 {
    resident_bytes() as f64 / 1e6
}

/// Systems of services in four layers: each service calls three of the layer below, all of a system a database.
fn graph(nodes: usize, systems: usize) -> Topology {
    let size = nodes / systems;
    let mut edges = Vec::new();
    for node in 0..nodes {
        let (system, place) = (node / size, node % size);
        let layer = (size / 4).max(1);
        for call in 0..3 {
            let below = (place / layer + 1) * layer + (place * 7 + call * 13) % layer;
            if below < size {
                edges.push(Edge::calls(&name(node), &name(system * size + below)));
            }
        }
        if place % 10 == 1 {
            edges.push(Edge::calls(&name(node), &name(system * size + size - 1)));
        }
    }
    Topology::new(TopologyDefinition { nodes: Vec::new(), edges })
}

fn name(node: usize) -> String {
    format!("service-{node:05}")
}

/// Every node alerts in turn, in an order that has nothing to do with the graph.
fn batches(alerts: usize, nodes: usize) -> Vec<EventBatch> {
    let keys = LabelKeys::default();
    let tables = Kind::ALL.map(|kind| arrow::array::RecordBatch::new_empty(keys.schema(kind)));
    let alert = |i: usize| {
        let node = i * 7_919 % nodes;
        let labels = [("env", "production".to_string()), ("service", name(node))];
        ExternalAlert {
            name: format!("alert_{}", i / nodes),
            ts: START_MS + (i * STORM_MS / alerts) as i64,
            firing: true,
            severity: if i.is_multiple_of(3) { Severity::Critical } else { Severity::Warning },
            key: None,
            labels: Labels::new(labels.into_iter().map(|(key, value)| (key.to_string(), value))),
            summary: None,
            runbook: None,
        }
    };
    let all: Vec<ExternalAlert> = (0..alerts).map(alert).collect();
    all.chunks(ALERTS_A_MESSAGE)
        .map(|alerts| EventBatch {
            tables: tables.clone(),
            commands: Vec::new(),
            messages: vec![MessageMark {
                rows_end: [0; TABLES],
                alerts_end: alerts.len(),
                max_ts: alerts.iter().map(|alert| alert.ts).max(),
                min_ts: alerts.iter().map(|alert| alert.ts).min(),
                received_at: None,
                source: 0,
            }],
            alerts: alerts.to_vec(),
            sources: Arc::default(),
        })
        .collect()
}
