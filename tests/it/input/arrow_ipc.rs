//! Messages that are Arrow IPC streams mean what the same events mean as JSON, and a bad one harms nothing but itself.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray,
    MapBuilder, NullArray, RecordBatch, StringArray, StringBuilder, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{Int8Type, Schema};
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;
use proptest::sample::Index;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::decompress::Encoding;
use squelch::io::decode::format::Format;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::rejection::Rejected;
use squelch::io::decode::{arrow_ipc, formats, native_json};
use squelch::model::event::{EventBatch, Kind, LabelKeys};
use squelch::model::severity::Severity;

const TS: i64 = 1_773_446_400_000;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn text<const N: usize>(values: [Option<&str>; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn some<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn whole<const N: usize>(values: [i64; N]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn maps(rows: &[&[(&str, Option<&str>)]]) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in rows {
        for (key, value) in *row {
            builder.keys().append_value(key);
            builder.values().append_option(*value);
        }
        builder.append(!row.is_empty()).unwrap();
    }
    Arc::new(builder.finish())
}

fn decoder() -> Decoder {
    let mut keys = LabelKeys::default();
    keys.insert(Kind::Metric, "code");
    keys.insert(Kind::Metric, "region");
    keys.insert(Kind::Alert, "team");
    Decoder::new(&keys, 60_000)
}

fn decode(messages: &[(&[u8], &'static Format)], info: MessageInfo) -> (EventBatch, Vec<Rejected>) {
    let (mut decoder, mut rejected) = (decoder(), Vec::new());
    for (message, format) in messages {
        decoder.message(message, MessageInfo { format: Some(*format), ..info }, &mut |bad| rejected.push(bad));
    }
    (decoder.take(), rejected)
}

fn of_kind(kind: Kind) -> MessageInfo {
    MessageInfo { kind: Some(kind), ..MessageInfo::default() }
}

/// Decodes a stream of which nothing is bad, and compares it with the same events as lines.
fn assert_same(kind: Kind, batches: &[RecordBatch], lines: &str) -> EventBatch {
    let (lines, bad_lines) = decode(&[(lines.as_bytes(), &native_json::FORMAT)], of_kind(kind));
    let (rows, bad_rows) = decode(&[(&stream(batches), &arrow_ipc::FORMAT)], of_kind(kind));
    assert_eq!((bad_lines, bad_rows), (Vec::new(), Vec::new()));
    assert_eq!(rows.tables, lines.tables);
    assert_eq!(rows.alerts, lines.alerts);
    assert_eq!(rows.messages, lines.messages);
    rows
}

/// The one thing that is said of a stream that is rejected in whole.
fn refusal(message: &[u8], info: MessageInfo) -> String {
    let (batch, rejected) = decode(&[(message, &arrow_ipc::FORMAT)], info);
    assert_eq!((batch.events(), batch.messages.len(), rejected.len()), (0, 1, 1), "{rejected:?}");
    assert_eq!((rejected[0].line, rejected[0].bytes.as_slice()), (0, message));
    format!("{}: {}", rejected[0].reason.code(), rejected[0].reason)
}

#[test]
fn columns_of_any_fitting_type_say_what_lines_say() {
    let lines = r#"{"ts":1773446401000,"name":"a","value":1,"service":"a service of many letters","labels":{"code":503,"region":"eu"}}
        {"ts":1773446400000,"name":"a metric of many letters","value":-2,"labels":{"code":200}}"#;
    let names = ["a", "a metric of many letters"];
    let service = [Some("a service of many letters"), None];
    let times: [ArrayRef; 5] = [
        whole([TS + 1000, TS]),
        Arc::new(TimestampSecondArray::from(vec![TS / 1000 + 1, TS / 1000])),
        Arc::new(TimestampMillisecondArray::from(vec![TS + 1000, TS]).with_timezone("Europe/Berlin")),
        Arc::new(TimestampMicrosecondArray::from(vec![(TS + 1000) * 1000 + 999, TS * 1000])),
        Arc::new(TimestampNanosecondArray::from(vec![(TS + 1000) * 1_000_000 + 999_999, TS * 1_000_000])),
    ];
    let values: [ArrayRef; 3] = [
        Arc::new(Float64Array::from(vec![1.0, -2.0])),
        Arc::new(Float32Array::from(vec![1.0, -2.0])),
        Arc::new(Int8Array::from(vec![1, -2])),
    ];
    let texts: [(ArrayRef, ArrayRef); 4] = [
        (some(names), text(service)),
        (Arc::new(LargeStringArray::from(names.to_vec())), Arc::new(LargeStringArray::from(service.to_vec()))),
        (Arc::new(StringViewArray::from(names.to_vec())), Arc::new(StringViewArray::from(service.to_vec()))),
        (
            Arc::new(names.into_iter().collect::<DictionaryArray<Int8Type>>()),
            Arc::new(service.into_iter().collect::<DictionaryArray<Int8Type>>()),
        ),
    ];
    for ts in &times {
        for value in &values {
            for (name, service) in &texts {
                let batch = batch(vec![
                    ("unknown", Arc::new(BooleanArray::from(vec![true, false]))),
                    ("ts", Arc::clone(ts)),
                    ("value", Arc::clone(value)),
                    ("service", Arc::clone(service)),
                    ("name", Arc::clone(name)),
                    ("env", Arc::new(NullArray::new(2))),
                    ("labels['code']", Arc::new(Int32Array::from(vec![503, 200]))),
                    ("labels.region", text([Some("eu"), None])),
                    ("labels.nobody_asks", Arc::new(BooleanArray::from(vec![true, false]))),
                ]);
                assert_same(Kind::Metric, &[batch.slice(0, 1), batch.slice(1, 1)], lines);
                assert_same(Kind::Metric, &[batch], lines);
            }
        }
    }
}

#[test]
fn labels_may_be_a_map() {
    let batch = batch(vec![
        ("ts", whole([TS, TS, TS])),
        ("name", some(["a", "b", "c"])),
        ("value", whole([1, 2, 3])),
        (
            "labels",
            maps(&[&[("code", Some("1")), ("code", Some("2")), ("x", None)], &[], &[("code", Some("3")), ("region", None)]]),
        ),
        ("labels.code", text([None, None, Some("4")])),
    ]);
    let lines = r#"{"ts":1773446400000,"name":"a","value":1,"labels":{"code":"2"}}
        {"ts":1773446400000,"name":"b","value":2}
        {"ts":1773446400000,"name":"c","value":3,"labels":{"code":"4"}}"#;
    assert_same(Kind::Metric, &[batch], lines);
}

#[test]
fn numbers_in_labels_become_texts() {
    let batch = batch(vec![
        ("ts", whole([TS, TS])),
        ("name", some(["a", "b"])),
        ("value", whole([1, 2])),
        ("labels.code", Arc::new(Float64Array::from(vec![503.0, f64::NAN]))),
        ("labels.region", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
    ]);
    let lines = r#"{"ts":1773446400000,"name":"a","value":1,"labels":{"code":503.0,"region":0.5}}
        {"ts":1773446400000,"name":"b","value":2}"#;
    assert_same(Kind::Metric, &[batch], lines);
}

#[test]
fn a_content_type_names_the_format() {
    assert_eq!(formats::of_media_type("Application/vnd.apache.arrow.stream; version=1"), Some(&arrow_ipc::FORMAT));
    for other in ["application/json", "application/vnd.apache.arrow.file", "", "arrow"] {
        assert_eq!(formats::of_media_type(other), None, "{other}");
    }
}

#[test]
fn logs_and_spans_come_so_as_well_and_messages_mix() {
    let logs = batch(vec![("ts", whole([TS])), ("body", some(["no connection"])), ("severity", some(["ERROR"]))]);
    assert_same(Kind::Log, &[logs], r#"{"ts":1773446400000,"body":"no connection","severity":"ERROR"}"#);
    let spans = batch(vec![
        ("timestamp", whole([TS])),
        ("name", some(["GET /"])),
        ("duration_ms", Arc::new(Float64Array::from(vec![None]))),
        ("parent_id", some(["00f067aa0ba902b7"])),
    ]);
    let line = r#"{"ts":1773446400000,"name":"GET /","parent_id":"00f067aa0ba902b7"}"#;
    assert_same(Kind::Span, std::slice::from_ref(&spans), line);
    let other = r#"{"ts":1773446400000,"name":"a name of many letters","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}"#;
    let rows = stream(&[spans]);
    let mixed = [(other.as_bytes(), &native_json::FORMAT), (&rows, &arrow_ipc::FORMAT), (other.as_bytes(), &native_json::FORMAT)];
    let lines = [
        (other.as_bytes(), &native_json::FORMAT),
        (line.as_bytes(), &native_json::FORMAT),
        (other.as_bytes(), &native_json::FORMAT),
    ];
    let ((mixed, _), (lines, _)) = (decode(&mixed, of_kind(Kind::Span)), decode(&lines, of_kind(Kind::Span)));
    assert_eq!((mixed.tables, mixed.messages), (lines.tables, lines.messages));
}

#[test]
fn alerts_of_other_systems_come_so_as_well() {
    let batch = batch(vec![
        ("ts", whole([TS, TS + 1])),
        ("name", text([Some("DiskFull"), None])),
        ("severity", some(["page", "minor"])),
        ("service", text([Some("chat"), None])),
        ("labels", maps(&[&[("team", Some("storage")), ("disk", Some("sda"))], &[("alertname", Some("Slow"))]])),
        ("annotations.summary", text([Some("it is full"), None])),
        ("annotations", maps(&[&[("runbook_url", Some("https://runbook"))], &[]])),
        ("status", text([None, Some("resolved")])),
    ]);
    let lines = r#"{"ts":1773446400000,"name":"DiskFull","severity":"page","service":"chat","labels":{"team":"storage","disk":"sda"},"annotations":{"summary":"it is full","runbook_url":"https://runbook"}}
        {"ts":1773446400001,"severity":"minor","labels":{"alertname":"Slow"},"status":"resolved"}"#;
    let taken = assert_same(Kind::Alert, &[batch], lines);
    assert_eq!(taken.alerts[0].severity, Severity::Critical);
    assert_eq!(taken.alerts[0].labels.get("disk"), Some("sda"));
    assert_eq!(taken.alerts[0].runbook.as_deref(), Some("https://runbook"));
    assert_eq!((taken.alerts[1].name.as_str(), taken.alerts[1].firing), ("Slow", false));
}

#[test]
fn bad_rows_are_rejected_one_by_one() {
    let good = batch(vec![
        ("ts", whole([TS])),
        ("name", some(["good"])),
        ("value", Arc::new(Float64Array::from(vec![1.0]))),
        ("labels.code", some(["1"])),
    ]);
    let ts =
        [Some(TS), None, Some(1_773_446_400), Some(i64::MAX), Some(TS + 60_001), Some(TS), Some(TS), Some(TS), Some(TS + 60_000)];
    let mut names = vec![Some("good"); 9];
    names[5] = None;
    let values = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN, 1.0, 2.0];
    let long = "x".repeat((1 << 20) + 1);
    let mut codes = vec![Some("503"); 9];
    codes[7] = Some(&long);
    let bad = batch(vec![
        ("ts", Arc::new(Int64Array::from(ts.to_vec()))),
        ("name", Arc::new(StringArray::from(names))),
        ("value", Arc::new(Float64Array::from(values.to_vec()))),
        ("labels.code", Arc::new(StringArray::from(codes))),
    ]);
    let info = MessageInfo { received_at: Some(TS), ..of_kind(Kind::Metric) };
    let (taken, rejected) = decode(&[(&stream(&[good, bad]), &arrow_ipc::FORMAT)], info);
    let said: Vec<String> = rejected.iter().map(|bad| format!("{} {}: {}", bad.line, bad.reason.code(), bad.reason)).collect();
    assert_eq!(
        said,
        [
            "3 time: no `ts` field",
            "4 time: `ts` 1773446400 lies before 1973: it must be Unix milliseconds, this looks like seconds",
            "5 time: `ts` 9223372036854775807 lies after the year 9999: it must be Unix milliseconds, this looks like nanoseconds",
            "6 future: `ts` 2026-03-14T00:01:00.001Z lies ahead of the broker's clock, 2026-03-14T00:00:00Z",
            "7 field: a metric needs `name`",
            "8 field: `value` is NaN, no finite number",
            "9 size: 1048585 bytes in one line, the limit is 1048576",
        ]
    );
    assert_eq!(
        String::from_utf8_lossy(&rejected[1].bytes),
        r#"{"labels":{"code":"503"},"name":"good","ts":1773446400,"value":1.0}"#
    );
    assert_eq!(taken.tables[0].num_rows(), 3);
    let mark = &taken.messages[0];
    assert_eq!((mark.rows_end[0], mark.min_ts, mark.max_ts), (3, Some(TS), Some(TS + 60_000)));
}

#[test]
fn the_kind_is_the_schemas_or_the_subjects() {
    let plain = batch(vec![("ts", whole([TS])), ("body", some(["text"])), ("name", some(["span"]))]);
    let named = |kind: &str| {
        let metadata = HashMap::from([("kind".to_string(), kind.to_string())]);
        let schema = Schema::clone(&plain.schema()).with_metadata(metadata);
        stream(&[RecordBatch::try_new(Arc::new(schema), plain.columns().to_vec()).unwrap()])
    };
    let (taken, _) = decode(&[(&named("log"), &arrow_ipc::FORMAT)], of_kind(Kind::Span));
    assert_eq!(taken.tables[Kind::Log as usize].num_rows(), 1);
    let (taken, _) = decode(&[(&stream(std::slice::from_ref(&plain)), &arrow_ipc::FORMAT)], of_kind(Kind::Span));
    assert_eq!(taken.tables[Kind::Span as usize].num_rows(), 1);
    assert_eq!(refusal(&named("meter"), of_kind(Kind::Span)), "kind: unknown kind \"meter\": use metric, log, span or alert");
    assert_eq!(
        refusal(&stream(&[plain]), MessageInfo::default()),
        "kind: no `kind` in the schema's metadata, and the subject names none"
    );
}

#[test]
fn what_cannot_be_read_is_rejected_in_whole() {
    let metric = |ts: ArrayRef, name: ArrayRef| batch(vec![("ts", ts), ("name", name), ("value", whole([1]))]);
    let say = |message: &[u8]| refusal(message, of_kind(Kind::Metric));
    assert_eq!(say(b"{\"ts\":1}"), "arrow: the Arrow stream is corrupt: 1936990843 bytes should follow, and 4 do");
    assert_eq!(say(b""), "arrow: the Arrow stream has no schema");
    assert_eq!(say(&stream(&[batch(vec![("name", some(["a"]))])])), "time: no `ts` column");
    assert_eq!(say(&stream(&[metric(some(["2026"]), some(["a"]))])), "arrow: column `ts` is Utf8: it cannot be read");
    assert_eq!(say(&stream(&[metric(whole([TS]), whole([1]))])), "arrow: column `name` is Int64: it cannot be read");
    let mut twice = stream(&[metric(whole([TS]), some(["a"]))]);
    twice.extend(twice.clone());
    assert_eq!(say(&twice), "arrow: the Arrow stream is corrupt: something follows its end");
    let zip = MessageInfo { encoding: Encoding::Gzip, ..of_kind(Kind::Metric) };
    assert!(refusal(&twice, zip).starts_with("inflate: cannot be inflated: "));
}

/// A long text that a dictionary holds once and a million rows name is no million texts.
#[test]
fn a_dictionary_bomb_is_refused() {
    let names = DictionaryArray::<Int8Type>::new(vec![0; 1000].into(), some([&"x".repeat(100_000)]));
    let batch = batch(vec![
        ("ts", Arc::new(Int64Array::from(vec![TS; 1000]))),
        ("name", Arc::new(names)),
        ("value", Arc::new(Int64Array::from(vec![1; 1000]))),
    ]);
    assert_eq!(
        refusal(&stream(&[batch]), of_kind(Kind::Metric)),
        "inflate: cannot be inflated: more than 67108864 bytes come out of its columns"
    );
}

fn sound() -> Vec<u8> {
    let columns = |names: ArrayRef| {
        batch(vec![
            ("ts", whole([TS, TS])),
            ("name", names),
            ("value", whole([1, 2])),
            ("host", Arc::new(StringViewArray::from(vec!["a host of many letters", "b"]))),
            ("labels", maps(&[&[("code", Some("1"))], &[]])),
            ("unknown", maps(&[&[("code", Some("1"))], &[]])),
        ])
    };
    let names = || Arc::new(["a name of many letters", "b"].into_iter().collect::<DictionaryArray<Int8Type>>());
    stream(&[columns(names()), columns(names())])
}

/// Either the whole stream is rejected, or every row of it is accounted for; and the decoder works on.
fn survives(message: &[u8]) {
    let (mut decoder, mut rejected) = (decoder(), Vec::new());
    let info = MessageInfo { format: Some(&arrow_ipc::FORMAT), ..of_kind(Kind::Metric) };
    decoder.message(message, info, &mut |bad| rejected.push(bad));
    let before = decoder.take();
    assert_eq!(before.messages.len(), 1);
    if rejected.iter().any(|bad| bad.line == 0) {
        assert_eq!((before.events(), rejected.len()), (0, 1), "{rejected:?}");
    }
    decoder.message(&sound(), info, &mut |bad| panic!("{}", bad.reason));
    assert_eq!(decoder.take().events(), 4);
}

#[test]
fn a_stream_that_breaks_off_harms_nothing() {
    let sound = sound();
    (0..=sound.len()).for_each(|length| survives(&sound[..length]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_damaged_stream_harms_nothing(damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        let mut message = sound();
        for (at, byte) in damage {
            let at = at.index(message.len());
            message[at] = byte;
        }
        survives(&message);
    }
}
