//! The workload's events as collectors would send them: the same names, labels and values in OTLP, remote write and line protocol.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value;
use squelch::io::decode::format::Format;
use squelch::io::decode::{elasticsearch_bulk, loki_push, otlp_metrics, prometheus_remote_write, telegraf};

use crate::workload::Workload;

/// Writes one message out of the events of one message.
type Encode = fn(&[Event]) -> Vec<u8>;

/// Formats that are measured beside native JSON.
pub const FORMATS: [(&Format, Encode); 5] = [
    (&otlp_metrics::FORMAT, otlp),
    (&prometheus_remote_write::FORMAT, remote_write),
    (&telegraf::FORMAT, line_protocol),
    (&elasticsearch_bulk::FORMAT, bulk),
    (&loki_push::FORMAT, loki_json),
];

/// A metric of the workload.
pub struct Event {
    ts: i64,
    name: String,
    value: f64,
    /// Service, host, environment and labels.
    labels: BTreeMap<String, String>,
}

impl Event {
    fn read(line: &[u8]) -> Self {
        let line: Value = serde_json::from_slice(line).unwrap();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
        let own = ["service", "host", "env"].iter().filter_map(|key| Some((key.to_string(), text(line.get(*key)?))));
        let more = line["labels"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value)));
        Self {
            ts: line["ts"].as_i64().unwrap(),
            name: text(&line["name"]),
            value: line["value"].as_f64().unwrap(),
            labels: own.chain(more).collect(),
        }
    }
}

/// The workload's messages in another format.
pub fn messages(workload: &Workload, encode: Encode) -> Vec<Vec<u8>> {
    let events = |message: &Vec<u8>| -> Vec<Event> {
        message.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Event::read).collect()
    };
    workload.messages.iter().map(|message| encode(&events(message))).collect()
}

fn field(number: u32, content: &[u8], into: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, into);
    encode_varint(content.len() as u64, into);
    into.extend_from_slice(content);
}

fn fixed(number: u32, bytes: [u8; 8], into: &mut Vec<u8>) {
    encode_key(number, WireType::SixtyFourBit, into);
    into.extend_from_slice(&bytes);
}

/// A key and a text, the text within a message of its own where `nested`.
fn pair(key: &str, value: &str, nested: bool) -> Vec<u8> {
    let mut pair = Vec::new();
    field(1, key.as_bytes(), &mut pair);
    let mut text = Vec::new();
    field(1, value.as_bytes(), &mut text);
    field(2, if nested { &text } else { value.as_bytes() }, &mut pair);
    pair
}

fn otlp(events: &[Event]) -> Vec<u8> {
    let mut scope = Vec::new();
    for event in events {
        let (mut point, mut gauge, mut metric) = (Vec::new(), Vec::new(), Vec::new());
        event.labels.iter().for_each(|(key, value)| field(7, &pair(key, value, true), &mut point));
        fixed(3, (event.ts as u64 * 1_000_000).to_le_bytes(), &mut point);
        fixed(4, event.value.to_le_bytes(), &mut point);
        field(1, &point, &mut gauge);
        field(1, event.name.as_bytes(), &mut metric);
        field(5, &gauge, &mut metric);
        field(2, &metric, &mut scope);
    }
    let (mut resource, mut request) = (Vec::new(), Vec::new());
    field(2, &scope, &mut resource);
    field(1, &resource, &mut request);
    request
}

fn remote_write(events: &[Event]) -> Vec<u8> {
    let mut request = Vec::new();
    for event in events {
        let (mut series, mut sample) = (Vec::new(), Vec::new());
        field(1, &pair("__name__", &event.name, false), &mut series);
        event.labels.iter().for_each(|(key, value)| field(1, &pair(key, value, false), &mut series));
        fixed(1, event.value.to_le_bytes(), &mut sample);
        encode_key(2, WireType::Varint, &mut sample);
        encode_varint(event.ts as u64, &mut sample);
        field(2, &sample, &mut series);
        field(1, &series, &mut request);
    }
    request
}

fn line_protocol(events: &[Event]) -> Vec<u8> {
    let mut lines = String::new();
    for event in events {
        lines.push_str(&event.name);
        event.labels.iter().for_each(|(key, value)| write!(lines, ",{key}={value}").unwrap());
        writeln!(lines, " value={} {}", event.value, event.ts * 1_000_000).unwrap();
    }
    lines.into_bytes()
}

fn bulk(events: &[Event]) -> Vec<u8> {
    let mut lines = String::new();
    for event in events {
        let mut document = serde_json::json!({"@timestamp": event.ts, "message": event.name, "value": event.value});
        event.labels.iter().for_each(|(key, value)| document[key] = value.as_str().into());
        writeln!(lines, "{{\"create\":{{\"_index\":\"logs\"}}}}\n{document}").unwrap();
    }
    lines.into_bytes()
}

fn loki_json(events: &[Event]) -> Vec<u8> {
    let stream =
        |event: &Event| serde_json::json!({"stream": event.labels, "values": [[(event.ts * 1_000_000).to_string(), event.name]]});
    serde_json::json!({"streams": events.iter().map(stream).collect::<Vec<_>>()}).to_string().into_bytes()
}
