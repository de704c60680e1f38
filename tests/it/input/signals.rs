//! The table of signals: what metrics, logs and spans become in it, with the mapping that ships and with one of the user's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::model::event::{EventBatch, Kind, LabelKeys};
use squelch::model::signal::mapping::SignalMapping;
use squelch::model::signal::reader;

use crate::support::root;

fn keys(own: &str) -> LabelKeys {
    let mut keys = LabelKeys::default();
    keys.read_signals();
    if !own.is_empty() {
        keys.set_mapping(Arc::new(SignalMapping::with_shipped(reader::read(own).unwrap())));
    }
    keys
}

fn decode(lines: &[&str], keys: &LabelKeys) -> EventBatch {
    let mut decoder = Decoder::new(keys, i64::MAX);
    lines.iter().for_each(|line| {
        decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{line}: {:?}", bad.reason));
    });
    decoder.take()
}

/// The rows, each as `role value of service@host <- peer (resource) temporality`.
fn signals(batch: &EventBatch) -> Vec<String> {
    let table = &batch.tables[Kind::Signal as usize];
    let value = table.column_by_name("value").unwrap().as_primitive::<Float64Type>();
    let text = |name: &str, row: usize| {
        let column = table.column_by_name(name).unwrap().as_string_view();
        if column.is_valid(row) { column.value(row).to_string() } else { "-".into() }
    };
    let row = |row: usize| {
        let of = |name: &str| text(name, row);
        let (role, resource, service, host) = (of("role"), of("resource"), of("service"), of("host"));
        format!("{role} {} {service}@{host} <- {} ({resource}) {}", value.value(row), of("peer"), of("temporality"))
    };
    (0..table.num_rows()).map(row).collect()
}

const OWN: &str = "signals:
  - { match: { name: \"edge_latency_*_ms\" }, role: duration, unit: ms, of: labels.callee, seen_by: service }
  - { match: { name: orders_total, labels.result: [failed, \"5*\"] }, role: [errors, traffic], kind: counter }
  - { match: { name: orders_total }, role: traffic, kind: counter }
  - { match: { name: cpu_pct }, role: utilisation, resource: cpu, unit: percent, of: host }
  - { match: { name: node_load1 }, role: none }";

#[test]
fn metrics_become_signals_where_the_mapping_knows_them() {
    let lines = [
        r#"{"kind":"metric","ts":1773446400000,"name":"edge.latency.p95.ms","value":250,"service":"web","host":"a","labels":{"callee":"chat"}}"#,
        r#"{"kind":"metric","ts":1773446400000,"name":"orders_total","value":7,"service":"shop","labels":{"result":"503"}}"#,
        r#"{"kind":"metric","ts":1773446400000,"name":"orders_total","value":9,"service":"shop","temporality":"delta","labels":{"result":"good"}}"#,
        r#"{"kind":"metric","ts":1773446400000,"name":"cpu_pct","value":50,"service":"agent","host":"a"}"#,
        r#"{"kind":"metric","ts":1773446400000,"name":"node_load1","value":3,"host":"a"}"#,
        r#"{"kind":"metric","ts":1773446400000,"name":"unheard_of","value":3,"host":"a"}"#,
        r#"{"kind":"metric","ts":1773446400000,"name":"process_resident_memory_bytes","value":4096,"service":"shop","host":"b"}"#,
    ];
    let want = [
        "duration 0.25 chat@a <- web (-) gauge",
        "errors 7 shop@- <- - (-) cumulative",
        "traffic 7 shop@- <- - (-) cumulative",
        "traffic 9 shop@- <- - (-) delta",
        "utilisation 0.5 -@a <- - (cpu) gauge",
        "utilisation 4096 shop@b <- - (memory) gauge",
    ];
    let batch = decode(&lines, &keys(OWN));
    assert_eq!(signals(&batch), want);
    assert_eq!(batch.events(), lines.len(), "signals are no events of their own");
    let one_by_one: Vec<String> = lines.iter().flat_map(|line| signals(&decode(&[line], &keys(OWN)))).collect();
    assert_eq!(one_by_one, want, "a signal depends on its event alone");
}

#[test]
fn spans_and_logs_of_errors_are_signals_without_a_mapping() {
    let lines = [
        r#"{"kind":"span","ts":1773446400000,"name":"GET /","duration_ms":80,"status":"error","service":"web","host":"a"}"#,
        r#"{"kind":"span","ts":1773446400000,"name":"q","duration_ms":5,"status":"ok","service":"web","host":"a","labels":{"span.kind":"client","peer.service":"db"}}"#,
        r#"{"kind":"span","ts":1773446400000,"name":"q","duration_ms":5,"service":"web","labels":{"span.kind":"client"}}"#,
        r#"{"kind":"span","ts":1773446400000,"name":"f","duration_ms":5,"service":"web","labels":{"span.kind":"internal"}}"#,
        r#"{"kind":"log","ts":1773446400000,"severity":"ERROR","body":"no","service":"web","host":"a"}"#,
        r#"{"kind":"log","ts":1773446400000,"severity":"WARN","body":"no","service":"web","host":"a"}"#,
    ];
    let want = [
        "traffic 1 web@a <- - (-) delta",
        "errors 1 web@a <- - (-) delta",
        "duration 0.08 web@a <- - (-) gauge",
        "traffic 1 db@- <- web (-) delta",
        "duration 0.005 db@- <- web (-) gauge",
        "errors 1 web@a <- - (-) delta",
    ];
    assert_eq!(signals(&decode(&lines, &keys(""))), want);
    assert!(signals(&decode(&lines, &LabelKeys::default())).is_empty(), "nobody reads signals, so there are none");
}

/// The lines of `fixtures/signals/NAME.txt`: a series as its sender documents it, and what it is.
fn documented() -> BTreeMap<String, Vec<(String, String)>> {
    let mut all = BTreeMap::new();
    for file in std::fs::read_dir(root().join("fixtures/signals")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| line.split_once(" = ").unwrap_or_else(|| panic!("{}: {line}", path.display())));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        all.insert(name, series.map(|(series, roles)| (series.to_string(), roles.to_string())).collect());
    }
    all
}

#[test]
fn the_mapping_that_ships_knows_the_names_that_senders_document() {
    let all = documented();
    assert!(all.len() >= 9, "{:?}", all.keys());
    let mut wrong = Vec::new();
    for (sender, series) in &all {
        for (series, want) in series {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
            let labels: serde_json::Map<String, serde_json::Value> =
                pairs.map(|(key, value)| (key.into(), value.into())).collect();
            let event = serde_json::json!({ "kind": "metric", "ts": 1773446400000_i64, "name": name, "value": 1, "service": "s", "host": "h", "labels": labels });
            let found = signals(&decode(&[&event.to_string()], &keys("")));
            let short = |row: &String| {
                let words: Vec<&str> = row.split(' ').collect();
                let resource = words[5..words.len() - 1].join(" ").replace("(-)", "");
                [words[0], resource.as_str()].join(" ").trim_end().to_string()
            };
            let mut roles: Vec<String> = found.iter().map(short).collect();
            roles.sort();
            let roles = if roles.is_empty() { "none".to_string() } else { roles.join(", ") };
            if roles != *want {
                wrong.push(format!("{sender}: {series} is {roles}, not {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A mapping for evaluation says names, units and labels: it has no number that could be a threshold.
#[test]
fn mappings_for_evaluation_hold_no_numbers() {
    let mut mappings = 0;
    for set in std::fs::read_dir(root().join("fixtures/eval")).unwrap() {
        let path = set.unwrap().path().join("signals.yaml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        mappings += 1;
        assert!(reader::read(&text).is_ok(), "{}: {:?}", path.display(), reader::read(&text));
        let tree: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert!(!has_number(&tree), "{}", path.display());
    }
    assert_eq!(mappings, 3);
}

fn has_number(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(_) => true,
        serde_json::Value::String(text) => text.parse::<f64>().is_ok(),
        serde_json::Value::Array(items) => items.iter().any(has_number),
        serde_json::Value::Object(map) => map.values().any(has_number),
        _ => false,
    }
}
