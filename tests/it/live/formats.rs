//! How `squelch run` knows the format of a message: by a header, by the settings, by its subject.

use async_nats::HeaderMap;
use async_nats::jetstream::Context;

use crate::support::nats::NatsServer;
use crate::support::process::{Mortal, context, read_stream, runtime};

const START_MS: i64 = 1_773_446_400_000;

const SETTINGS: &str = r#"time: { lateness: 0s, idle: 1h, source_wait: 0s }
notify: { wait: 0s }
rules: rules
input:
  subjects: ["events.>", "shipped.>", "telegraf.>"]
  formats: { "shipped.*": elasticsearch_bulk }
"#;

/// A log record of a service, by OTLP.
fn otlp(at: i64, service: &str) -> Vec<u8> {
    let ts = (START_MS + at).to_string() + "000000";
    format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
           "scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{ts}","body":{{"stringValue":"panic"}}}}]}}]}}]}}"#
    )
    .into_bytes()
}

async fn publish(context: &Context, subject: &str, headers: &[(&str, &str)], bytes: Vec<u8>) {
    let mut map = HeaderMap::new();
    headers.iter().for_each(|(key, value)| map.insert(*key, *value));
    context.publish_with_headers(subject.to_string(), map, bytes.into()).await.unwrap().await.unwrap();
}

#[test]
fn a_format_is_known_by_header_setting_or_subject() {
    let server = NatsServer::start();
    let mut squelch = Mortal::new(&server, SETTINGS);
    let rules = squelch.dir.path().join("rules");
    std::fs::create_dir_all(&rules).unwrap();
    let rule = |name: &str, select: &str| {
        let text = format!("/*---\nrule: {name}\nseverity: critical\ninstant: true\n---*/\n{select}");
        std::fs::write(rules.join(format!("{name}.sql")), text).unwrap();
    };
    rule("panic", "SELECT service, 1 AS value FROM logs WHERE body = 'panic'");
    rule("full", "SELECT service, value FROM metrics WHERE name = 'disk_used_percent' AND value > 90");
    runtime().block_on(async {
        let context = context(&server).await;
        let snappy = |bytes: Vec<u8>| snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        squelch.start();
        let by_header = [("Squelch-Format", "otlp_logs")];
        publish(&context, "events.any", &by_header, otlp(1_000, "by-header")).await;
        let compressed = [("Squelch-Format", "otlp_logs"), ("Content-Type", "application/json"), ("Content-Encoding", "snappy")];
        publish(&context, "events.any", &compressed, snappy(otlp(2_000, "by-header-compressed"))).await;
        let event = r#"{"specversion":"1.0","id":"1","source":"/x","type":"t","time":"2026-03-14T00:00:03Z","data":{"message":"panic","service":"by-type"}}"#;
        publish(&context, "events.any", &[("Content-Type", "application/cloudevents+json")], event.into()).await;
        let bulk = "{\"create\":{}}\n{\"@timestamp\":\"2026-03-14T00:00:04Z\",\"message\":\"panic\",\"service.name\":\"by-setting\"}\n";
        publish(&context, "shipped.logs", &[], bulk.into()).await;
        publish(&context, "events.otel_logs", &[], otlp(5_000, "by-subject")).await;
        let line = format!("disk,service=by-line used_percent=97.5 {}000000\n", START_MS + 6_000);
        publish(&context, "telegraf.disk", &[], line.into()).await;
        // Squelch's own format on a subject that suggests another one stays what it was.
        let own = format!(r#"{{"ts":{},"name":"disk_used_percent","value":99,"service":"own"}}"#, START_MS + 7_000);
        publish(&context, "events.metrics.telegraf", &[], own.into()).await;
        publish(&context, "events.any", &[("Squelch-Format", "otlp_profiles")], otlp(8_000, "unknown")).await;
        // Time passes what came before.
        publish(&context, "events.any", &by_header, otlp(60_000, "later")).await;

        let bad = read_stream(&context, "REJECTED", 1).await;
        let reason = bad[0].headers.get("Squelch-Reason").map(|value| value.as_str().to_string()).unwrap_or_default();
        assert!(reason.starts_with("format: Squelch-Format \"otlp_profiles\" is unknown: use one of native_json, "), "{reason}");
        assert_eq!(bad[0].payload, otlp(8_000, "unknown"));
        let services = ["by-header", "by-header-compressed", "by-type", "by-setting", "by-subject", "by-line", "own"];
        let mut missing = Vec::new();
        for _ in 0..600 {
            let incidents = read_stream(&context, "INCIDENTS", services.len()).await;
            let shown: Vec<String> = incidents.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect();
            let named = |service: &str| shown.iter().any(|incident| incident.contains(&format!("\"service\":\"{service}\"")));
            missing = services.iter().filter(|service| !named(service)).collect();
            if missing.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(missing.is_empty(), "{missing:?} have no incident: {}", squelch.log());
        squelch.stop();
    });
}
