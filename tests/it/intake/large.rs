//! Bodies that are larger than a message of the server may be: they are cut between records, and none is lost.

use serde_json::json;

use crate::intake::rig::{Rig, header};

const EVENTS: usize = 30_000;

/// Waits until as many events were taken in, all of them good.
fn all_are_decoded(rig: &Rig, events: usize) {
    let metrics = rig.squelch.wait_for("metrics", &format!("\nsquelch_events_total {events}\n"));
    assert!(!metrics.lines().any(|line| line.starts_with("squelch_rejected_total") && !line.ends_with(" 0")), "{metrics}");
}

#[test]
fn lines_of_json_are_cut_at_line_ends() {
    let rig = Rig::start("");
    let line = |at| json!({"ts": 1_773_456_430_000_u64 + at as u64, "name": "m", "value": at, "labels": {"pad": "x".repeat(40)}});
    let body: String = (0..EVENTS).map(|at| line(at).to_string() + "\n").collect();
    assert!(body.len() > 3 << 20);
    assert_eq!(rig.post("/events/metrics", &[("Content-Type", "application/x-ndjson")], body.as_bytes()).status, 200);
    all_are_decoded(&rig, EVENTS);
    let stored = rig.stored(3);
    assert_eq!(stored.iter().map(|message| message.payload.iter().filter(|byte| **byte == b'\n').count()).sum::<usize>(), EVENTS);
}

/// Compressed it would fit no more than as it is: the parts are not compressed, and none of their headers says so.
#[test]
fn a_compressed_body_is_inflated_before_it_is_cut() {
    let rig = Rig::start("");
    let mut seed = crate::support::Rng(7);
    let mut record = |at: usize| {
        let pad: String = (0..12).map(|_| format!("{:08x}", seed.below(1 << 32))).collect();
        json!({"timeUnixNano": (1_773_456_430_000_000_000_u64 + at as u64).to_string(), "body": {"stringValue": pad}})
    };
    let records: Vec<_> = (0..EVENTS).map(&mut record).collect();
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "chat"}}]});
    let body = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).to_string();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, body.as_bytes()).unwrap();
    let gzipped = encoder.finish().unwrap();
    assert!(gzipped.len() > 1 << 20, "{} bytes", gzipped.len());
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    assert_eq!(rig.post("/v1/logs", &headers, &gzipped).status, 200);
    all_are_decoded(&rig, EVENTS);
    let stored = rig.stored(2);
    assert!(stored.iter().all(|message| header(message, "Content-Encoding").is_empty()));
    assert!(stored.iter().all(|message| header(message, "Squelch-Format") == "otlp_logs"));
    let chat =
        |message: &&async_nats::jetstream::message::StreamMessage| message.payload.windows(6).any(|bytes| bytes == b"\"chat\"");
    assert_eq!(stored.iter().filter(chat).count(), stored.len(), "each part has the resource of its records");
}

/// A record that alone is too large is the sender's to mend; what is around it was not stored either.
#[test]
fn a_record_that_no_message_can_hold_is_refused() {
    let rig = Rig::start("");
    let body = format!("{{\"ts\":1,\"body\":\"{}\"}}\n{{\"ts\":2,\"body\":\"b\"}}\n", "a".repeat(2 << 20));
    let answer = rig.post("/events/logs", &[], body.as_bytes());
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("raise max_payload"), "{}", answer.text());
    assert_eq!(rig.post("/events/logs", &[], b"{\"ts\":2,\"body\":\"b\"}").status, 200);
    assert_eq!(rig.stored(1).len(), 1);
}
