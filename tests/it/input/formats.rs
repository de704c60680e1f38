//! Every input format has the same parts: a folder, messages with what they decode to, a fuzz target, and a section in the documents.
//!
//! `fixtures/formats/<format>/<case>.in` is a message as a collector sends it. `<case>.headers`, where there is one, has its subject
//! (`Subject: …`) and headers, a line each. `<case>.expected` is what it decodes to, as lines of native JSON, then what was rejected.
//! `labels`, where there is one, has the labels to keep.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::decompress::Encoding;
use squelch::io::decode::format::Format;
use squelch::io::decode::formats::FORMATS;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::rejection::Rejected;
use squelch::io::decode::syntax::Syntax;
use squelch::model::event::{EventBatch, Kind, LabelKeys};

use super::rows::rows_as_json;
use crate::support::expect::expect_file;
use crate::support::root;

/// All fixtures are received at this time, 2026-03-14T03:00:00Z.
const RECEIVED_AT: i64 = 1_773_457_200_000;

fn folder(format: &Format) -> PathBuf {
    root().join("fixtures/formats").join(format.name)
}

/// The messages of a format, by path.
fn cases(format: &Format) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder(format)).unwrap().map(|entry| entry.unwrap().path());
    let messages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "in"));
    messages.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn label_keys(format: &Format) -> LabelKeys {
    let mut keys = LabelKeys::default();
    let text = std::fs::read_to_string(folder(format).join("labels")).unwrap_or_default();
    for key in text.lines() {
        Kind::ALL.into_iter().for_each(|kind| keys.insert(kind, key));
    }
    keys
}

/// What subject and headers say of a case.
fn info(path: &Path, format: &'static Format) -> MessageInfo {
    let headers = std::fs::read_to_string(path.with_extension("headers")).unwrap_or_default();
    let header = |name: &str| headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let kind = header("Subject").and_then(|subject| subject.split('.').skip(1).find_map(|token| token.parse().ok()));
    let syntax = header("Content-Type").map(Syntax::of_header).unwrap_or_default();
    let encoding = header("Content-Encoding").map(|value| Encoding::of_header(value).unwrap()).unwrap_or_default();
    MessageInfo { kind, format: Some(format), syntax, encoding, received_at: Some(RECEIVED_AT), ..MessageInfo::default() }
}

fn decode(message: &[u8], keys: &LabelKeys, info: MessageInfo) -> (EventBatch, Vec<Rejected>) {
    let mut decoder = Decoder::new(keys, 60_000);
    let mut rejected = Vec::new();
    decoder.message(message, info, &mut |bad| rejected.push(bad));
    (decoder.take(), rejected)
}

fn rendered(batch: &EventBatch, rejected: &[Rejected]) -> String {
    let mut text = String::new();
    rows_as_json(batch).iter().for_each(|row| writeln!(text, "{row}").unwrap());
    for alert in &batch.alerts {
        let status = if alert.firing { "firing" } else { "resolved" };
        writeln!(text, "alert {} {status} {} {}", alert.name, alert.severity, alert.labels).unwrap();
        for (name, note) in [("summary", &alert.summary), ("runbook", &alert.runbook)] {
            if let Some(note) = note {
                writeln!(text, "  {name}: {note}").unwrap();
            }
        }
    }
    for bad in rejected {
        writeln!(text, "rejected {}: {}: {}", bad.line, bad.reason.code(), bad.reason).unwrap();
        writeln!(text, "  {}", String::from_utf8_lossy(&bad.bytes).trim_end().replace('\n', "\n  ")).unwrap();
    }
    text
}

#[test]
fn messages_decode_to_what_their_fixtures_show() {
    for format in FORMATS {
        let keys = label_keys(format);
        for (path, message) in cases(format) {
            let (batch, rejected) = decode(&message, &keys, info(&path, format));
            expect_file(&path.with_extension("expected"), &rendered(&batch, &rejected));
        }
    }
}

#[test]
fn every_format_has_all_its_parts() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let fuzz_targets = read("tests/it/input/fuzz/formats.rs");
    let document = read("docs/formats.md");
    let (formats, fields) = document.split_once("## What becomes of the fields").unwrap();
    for format in FORMATS {
        let name = format.name;
        let code = read(&format!("src/io/decode/{name}/mod.rs"));
        assert!(code.contains("pub static FORMAT: Format"), "src/io/decode/{name}/mod.rs has the entry point");
        assert!(cases(format).len() >= 2, "fixtures/formats/{name} has a good message and a bad one");
        assert!(fuzz_targets.contains(&format!("fn {name}()")), "{name} is a fuzz target");
        assert!(formats.contains(&format!("`{name}`")), "{name} is in the table of formats");
        assert!(fields.contains(&format!("`{name}`")), "{name} is in the table of fields");
    }
    let folders = std::fs::read_dir(root().join("src/io/decode")).unwrap().map(|entry| entry.unwrap().path());
    let with_entry = folders.filter(|path| {
        let code = std::fs::read_to_string(path.join("mod.rs")).unwrap_or_default();
        code.contains("pub static FORMAT: Format")
    });
    assert_eq!(with_entry.count(), FORMATS.len(), "each folder with an entry point is in the table");
}
