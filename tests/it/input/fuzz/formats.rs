//! Each input format, and compression: one target a format, named as the format is.

use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::decompress::Encoding;
use squelch::io::decode::format::Format;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::{arrow_ipc, native_json};
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
        source: 0,
        command: None,
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
