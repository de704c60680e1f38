//! Each input format, and compression: one target a format, named as the format is.

use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::decompress::Encoding;
use squelch::io::decode::format::Format;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::{
    alertmanager_webhook, arrow_ipc, cloudevents, datadog_events, datadog_logs, datadog_series_v1, datadog_series_v2,
    datadog_webhook, elasticsearch_bulk, fluent_bit, grafana_webhook, kibana_webhook, kubernetes_events, logstash_json,
    loki_push, native_json, newrelic_logs, newrelic_metrics, newrelic_webhook, opensearch_webhook, otlp_logs, otlp_metrics,
    otlp_traces, pagerduty_events, prometheus_alerts, prometheus_remote_write, prometheus_remote_write_v2, splunk_hec,
    splunk_hec_raw, splunk_webhook, syslog, telegraf, vector,
};
use squelch::model::event::{EventBatch, Kind, LabelKeys};

use super::harness::{files, fuzz};
use crate::support::folders;
use crate::support::runs::Scenario;

/// Messages of a few lines each.
fn messages() -> Vec<Vec<u8>> {
    let mut all = files(&["fixtures/corpus/events"], ".jsonl");
    for path in folders("fixtures/scenarios").into_iter().chain(folders("fixtures/kinds")) {
        let lines = Scenario::read(&path).lines;
        all.extend(lines.chunks(3).step_by(11).map(|lines| lines.join(&b'\n')));
    }
    all
}

fn decode(bytes: &[u8], format: &'static Format, encoding: Encoding) -> (EventBatch, usize) {
    let mut keys = LabelKeys::default();
    ["code", "user", "k"].into_iter().for_each(|key| Kind::ALL.into_iter().for_each(|kind| keys.insert(kind, key)));
    let mut decoder = Decoder::new(&keys, 60_000);
    let info = MessageInfo {
        kind: Some(Kind::Metric),
        format: Some(format),
        encoding,
        received_at: Some(1_773_446_500_000),
        ..MessageInfo::default()
    };
    let mut rejected = 0;
    decoder.message(bytes, info, &mut |bad| {
        assert!(!bad.reason.to_string().is_empty());
        rejected += 1;
    });
    (decoder.take(), rejected)
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\n",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-",
    "1e999",
    "NaN",
    "9223372036854775808",
    "\"kind\":\"alert\"",
    "\"ts\":0",
    "\"labels\":{",
    "\"value\":",
    "\u{feff}",
    "\r\n",
    "253402300800000",
    "\"2026-02-30T00:00:00Z\"",
];

#[test]
fn native_json() {
    fuzz(module_path!(), "native_json", 10_000, messages, JSON, &|bytes| {
        let (batch, rejected) = decode(bytes, &native_json::FORMAT, Encoding::Plain);
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert_eq!(batch.events() + rejected, lines, "each line is an event, or rejected");
        rejected == 0
    });
}

fn compressed() -> Vec<Vec<u8>> {
    let gzip = |bytes: &Vec<u8>| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zeros = vec![b' '; 1 << 20];
    let all = messages();
    let plain = all.iter().step_by(5).chain([&zeros]);
    plain.flat_map(|bytes| [gzip(bytes), zstd::encode_all(bytes.as_slice(), 1).unwrap()]).collect()
}

#[test]
fn compressed_messages() {
    fuzz(module_path!(), "compressed_messages", 5_000, compressed, &[], &|bytes| {
        let encoding = if bytes.first() == Some(&0x1f) { Encoding::Gzip } else { Encoding::Zstd };
        let (batch, rejected) = decode(bytes, &native_json::FORMAT, encoding);
        rejected == 0 && batch.events() > 0
    });
}

fn streams() -> Vec<Vec<u8>> {
    let batches =
        messages().into_iter().step_by(3).flat_map(|bytes| decode(&bytes, &native_json::FORMAT, Encoding::Plain).0.tables);
    let stream = |batch: arrow::array::RecordBatch| {
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    batches.filter(|batch| batch.num_rows() > 0).map(stream).collect()
}

#[test]
fn arrow_ipc() {
    fuzz(module_path!(), "arrow_ipc", 5_000, streams, &[], &|bytes| {
        let (batch, rejected) = decode(bytes, &arrow_ipc::FORMAT, Encoding::Plain);
        rejected == 0 && batch.events() > 0
    });
}

/// Messages of a format's fixtures, changed: nothing panics, and what is cut is never larger than it may be.
fn fixtures(format: &'static Format, tokens: &[&str]) {
    let corpus = || files(&[&format!("fixtures/formats/{}", format.name)], ".in");
    fuzz(module_path!(), format.name, 3_000, corpus, tokens, &|bytes| {
        let max = bytes.len() / 2 + 1;
        if let Ok(pieces) = (format.split)(bytes, max) {
            assert!(pieces.iter().all(|piece| piece.len() <= max), "a piece has more than {max} bytes");
        }
        let (batch, rejected) = decode(bytes, format, Encoding::Plain);
        rejected == 0 && batch.events() > 0
    });
}

const LINES: &[&str] = &[
    "<165>1 ",
    "<34>",
    "[a@1 k=\"",
    "\\",
    "\"",
    "]",
    ",",
    "=",
    " ",
    "i",
    "u",
    "\n",
    "9999999999999999999",
    "NaN",
    "inf",
    "1e400",
    "é",
];

const PROTOBUF: &[&str] = &["\n", "\n\u{2}", "\u{12}", "\u{1a}", "\u{7f}", "\u{0}", "\u{8}\u{1}", "\u{11}", "{}", "le"];

#[test]
fn otlp_metrics() {
    fixtures(&otlp_metrics::FORMAT, PROTOBUF);
}

#[test]
fn otlp_logs() {
    fixtures(&otlp_logs::FORMAT, PROTOBUF);
}

#[test]
fn otlp_traces() {
    fixtures(&otlp_traces::FORMAT, PROTOBUF);
}

#[test]
fn prometheus_remote_write() {
    fixtures(&prometheus_remote_write::FORMAT, PROTOBUF);
}

#[test]
fn prometheus_remote_write_v2() {
    fixtures(&prometheus_remote_write_v2::FORMAT, PROTOBUF);
}

#[test]
fn prometheus_alerts() {
    fixtures(&prometheus_alerts::FORMAT, JSON);
}

#[test]
fn loki_push() {
    fixtures(&loki_push::FORMAT, PROTOBUF);
}

#[test]
fn alertmanager_webhook() {
    fixtures(&alertmanager_webhook::FORMAT, JSON);
}

#[test]
fn grafana_webhook() {
    fixtures(&grafana_webhook::FORMAT, JSON);
}

#[test]
fn elasticsearch_bulk() {
    fixtures(&elasticsearch_bulk::FORMAT, JSON);
}

#[test]
fn logstash_json() {
    fixtures(&logstash_json::FORMAT, JSON);
}

#[test]
fn splunk_hec() {
    fixtures(&splunk_hec::FORMAT, JSON);
}

#[test]
fn splunk_webhook() {
    fixtures(&splunk_webhook::FORMAT, JSON);
}

#[test]
fn datadog_series_v1() {
    fixtures(&datadog_series_v1::FORMAT, JSON);
}

#[test]
fn datadog_series_v2() {
    fixtures(&datadog_series_v2::FORMAT, JSON);
}

#[test]
fn datadog_logs() {
    fixtures(&datadog_logs::FORMAT, JSON);
}

#[test]
fn datadog_events() {
    fixtures(&datadog_events::FORMAT, JSON);
}

#[test]
fn datadog_webhook() {
    fixtures(&datadog_webhook::FORMAT, JSON);
}

#[test]
fn newrelic_metrics() {
    fixtures(&newrelic_metrics::FORMAT, JSON);
}

#[test]
fn newrelic_logs() {
    fixtures(&newrelic_logs::FORMAT, JSON);
}

#[test]
fn newrelic_webhook() {
    fixtures(&newrelic_webhook::FORMAT, JSON);
}

#[test]
fn opensearch_webhook() {
    fixtures(&opensearch_webhook::FORMAT, JSON);
}

#[test]
fn kibana_webhook() {
    fixtures(&kibana_webhook::FORMAT, JSON);
}

#[test]
fn pagerduty_events() {
    fixtures(&pagerduty_events::FORMAT, JSON);
}

#[test]
fn kubernetes_events() {
    fixtures(&kubernetes_events::FORMAT, JSON);
}

#[test]
fn syslog() {
    fixtures(&syslog::FORMAT, LINES);
}

#[test]
fn telegraf() {
    fixtures(&telegraf::FORMAT, LINES);
}

#[test]
fn vector() {
    fixtures(&vector::FORMAT, JSON);
}

#[test]
fn fluent_bit() {
    fixtures(&fluent_bit::FORMAT, JSON);
}

#[test]
fn cloudevents() {
    fixtures(&cloudevents::FORMAT, JSON);
}

#[test]
fn splunk_hec_raw() {
    fixtures(&splunk_hec_raw::FORMAT, LINES);
}
