//! Messages of JSON lines: which lines are taken, which are rejected and why, and what the message's mark says.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::rejection::Rejected;
use squelch::model::event::{EventBatch, Kind, LabelKeys};

const INFO: MessageInfo = MessageInfo {
    kind: Some(Kind::Metric),
    format: None,
    suggested: None,
    syntax: squelch::io::decode::syntax::Syntax::Unnamed,
    encoding: squelch::io::decode::decompress::Encoding::Plain,
    received_at: Some(1_773_456_000_000),
    source: 0,
    command: None,
};

fn decode(messages: &[&[u8]]) -> (EventBatch, Vec<Rejected>) {
    let mut keys = LabelKeys::default();
    keys.insert(Kind::Metric, "code");
    let mut decoder = Decoder::new(&keys, 60_000);
    let mut rejected = Vec::new();
    for message in messages {
        decoder.message(message, INFO, &mut |bad| rejected.push(bad));
    }
    (decoder.take(), rejected)
}

fn texts(batch: &EventBatch, column: &str) -> Vec<Option<String>> {
    let texts = batch.tables[0].column_by_name(column).unwrap().as_string_view();
    texts.iter().map(|text| text.map(String::from)).collect()
}

#[test]
fn good_lines_count_beside_bad_ones() {
    let message = [
        r#"{"ts":1773446400000,"name":"a","value":1.5,"labels":{"code":503,"code":"504","other":[]}}"#,
        r#"{"ts":1773446400000,"name":"a","value":1.5,"labels":{"code":503,"code":504,"other":true}}"#,
        "   ",
        "\r",
        r#" {"ts":"2026-03-14T00:00:01Z","name":"say \"b\"","value":"2","name":null,"unknown":{"deep":[1,{}]}} "#,
        r#"{"ts":1773446400000,"name":"a","value":true}"#,
        r#"{"ts":1773446400000,"name":"a","value":1} x"#,
        r#"{"ts":1773446400,"name":"a","value":1}"#,
        r#"{"ts":1.5,"name":"a","value":1}"#,
        r#"{"ts":1773456060001,"name":"a","value":1}"#,
        r#"{"ts":1773446400000,"value":1}"#,
        r#"{"kind":"meter","ts":1773446400000}"#,
        r#"{"ts":1773446399000,"name":"c","value":1e400,"value":3}"#,
        r#"{"ts":1773446399000,"name":"c","value":3}"#,
        "[]",
    ]
    .join("\n");
    let (batch, rejected) = decode(&[message.as_bytes(), b"\n\n"]);
    let said: Vec<String> = rejected.iter().map(|bad| format!("{} {}: {}", bad.line, bad.reason.code(), bad.reason)).collect();
    assert_eq!(
        said,
        [
            "1 json: invalid type: sequence, expected a text, a number, true, false or null at line 1 column 87",
            "6 json: `value` is true, no number at line 1 column 44",
            "7 json: trailing characters at line 1 column 43",
            "8 time: `ts` 1773446400 lies before 1973: it must be Unix milliseconds, this looks like seconds",
            "9 time: `ts` is 1.5: it must be RFC 3339 or Unix milliseconds",
            "10 future: `ts` 2026-03-14T02:41:00.001Z lies ahead of the broker's clock, 2026-03-14T02:40:00Z",
            "11 field: a metric needs `name`",
            "12 kind: unknown kind \"meter\": use metric, log, span or alert",
            "13 json: number out of range at line 1 column 44",
            "15 json: invalid type: sequence, expected a JSON object, one event a line at line 1 column 0",
        ]
    );
    assert_eq!(rejected[2].bytes, br#"{"ts":1773446400000,"name":"a","value":1} x"#);
    assert_eq!(texts(&batch, "name"), [Some("a".into()), Some("say \"b\"".into()), Some("c".into())]);
    assert_eq!(texts(&batch, "labels['code']"), [Some("504".into()), None, None]);
    assert_eq!(batch.tables[0].column_by_name("value").unwrap().as_primitive::<Float64Type>().values(), &[1.5, 2.0, 3.0]);
    let marks: Vec<_> = batch.messages.iter().map(|mark| (mark.rows_end[0], mark.min_ts, mark.max_ts)).collect();
    assert_eq!(marks, [(3, Some(1_773_446_399_000), Some(1_773_446_401_000)), (3, None, None)]);
}

/// One line that is no text must not cost the others; what nobody reads may be anything.
#[test]
fn a_line_that_is_no_text_is_rejected_alone() {
    let mut message = br#"{"ts":1773446400000,"name":"a","value":1}"#.to_vec();
    message.extend_from_slice(b"\n{\"ts\":1773446400000,\"name\":\"\xff\",\"value\":1}\n");
    message.extend_from_slice(b"{\"ts\":1773446400000,\"name\":\"b\",\"value\":1,\"unknown\":\"\xff\"}");
    let (batch, rejected) = decode(&[&message]);
    assert_eq!(rejected.len(), 1);
    assert_eq!((rejected[0].line, rejected[0].reason.code()), (2, "json"));
    assert_eq!(rejected[0].bytes, b"{\"ts\":1773446400000,\"name\":\"\xff\",\"value\":1}");
    assert_eq!(texts(&batch, "name"), [Some("a".into()), Some("b".into())]);
}

#[test]
fn a_line_may_have_a_mebibyte_and_no_more() {
    let line = |bytes: usize| {
        let line = r#"{"ts":1773446400000,"name":"a","value":1,"unknown":""}"#;
        line.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - line.len())))
    };
    let message = format!("  {}  \n{}\n{}", line(1 << 20), line((1 << 20) + 1), line(100));
    let (batch, rejected) = decode(&[message.as_bytes()]);
    assert_eq!(batch.events(), 2);
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].reason.to_string(), "1048577 bytes in one line, the limit is 1048576");
    assert_eq!((rejected[0].line, rejected[0].bytes.len()), (2, (1 << 20) + 1));
}
