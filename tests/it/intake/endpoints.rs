//! Each endpoint stores what is posted as it came, on the subject of its kind and format, and answers as its system does.

use crate::intake::rig::{Rig, header, request};

const PROTOBUF: &str = "application/x-protobuf";
const WRITE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// What is posted, where it is stored, and the answer.
struct Case {
    path: &'static str,
    content_type: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
    subject: &'static str,
    status: u16,
    answer: &'static str,
}

fn case(
    path: &'static str,
    content_type: &'static str,
    body: &[u8],
    subject: &'static str,
    status: u16,
    answer: &'static str,
) -> Case {
    Case { path, content_type, encoding: "", body: body.into(), subject, status, answer }
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn cases() -> Vec<Case> {
    let metric = br#"{"ts":1773456430000,"name":"http_requests","value":12,"service":"chat"}"#;
    let alerts = br#"[{"labels":{"alertname":"A"}}]"#;
    vec![
        case("/events", "application/json", metric, "events.native_json", 200, r#"{"stored":true}"#),
        case("/events/metrics", "application/x-ndjson", metric, "events.metrics.native_json", 200, r#"{"stored":true}"#),
        case("/events/logs", "", b"{\"body\":\"a\"}\n", "events.logs.native_json", 200, r#"{"stored":true}"#),
        case(
            "/events/spans",
            "application/vnd.apache.arrow.stream",
            b"ARROW",
            "events.spans.arrow_ipc",
            200,
            r#"{"stored":true}"#,
        ),
        case("/v1/metrics", PROTOBUF, &[10, 0], "events.metrics.otlp_metrics", 200, ""),
        Case {
            encoding: "gzip",
            ..case("/v1/logs", "application/json; charset=utf-8", &gzip(b"{}"), "events.logs.otlp_logs", 200, "{}")
        },
        case("/v1/traces", PROTOBUF, &[10, 0], "events.spans.otlp_traces", 200, ""),
        Case {
            encoding: "snappy",
            ..case("/api/v1/write", PROTOBUF, &snappy(&[10, 0]), "events.metrics.prometheus_remote_write", 204, "")
        },
        Case {
            encoding: "snappy",
            ..case("/api/v1/write", WRITE_V2, &snappy(&[34, 0, 42, 0]), "events.metrics.prometheus_remote_write_v2", 204, "")
        },
        case("/api/v2/alerts", "application/json", alerts, "events.alerts.prometheus_alerts", 200, ""),
        case("/loki/api/v1/push", "application/json", b"{}", "events.logs.loki_push", 204, ""),
        Case { encoding: "snappy", ..case("/loki/api/v1/push", PROTOBUF, &snappy(&[10, 0]), "events.logs.loki_push", 204, "") },
        case("/logstash", "application/json", b"{}", "events.logs.logstash_json", 200, "ok"),
        case("/services/collector", "", b"{}", "events.logs.splunk_hec", 200, SUCCESS),
        case("/services/collector/event", "", b"{}", "events.logs.splunk_hec", 200, SUCCESS),
        case("/services/collector/raw", "", b"text", "events.logs.splunk_hec", 200, SUCCESS),
        case("/api/v1/series", "application/json", b"{}", "events.metrics.datadog_series_v1", 202, r#"{"status":"ok"}"#),
        Case {
            encoding: "deflate",
            ..case("/api/v2/series", PROTOBUF, b"{}", "events.metrics.datadog_series_v2", 202, r#"{"errors":[]}"#)
        },
        case("/api/v2/logs", "application/json", b"[]", "events.logs.datadog_logs", 202, "{}"),
        case("/api/v1/events", "application/json", b"{}", "events.logs.datadog_events", 202, r#"{"status":"ok"}"#),
        case("/metric/v1", "application/json", b"[]", "events.metrics.newrelic_metrics", 202, REQUEST_ID),
        case("/log/v1", "application/json", b"[]", "events.logs.newrelic_logs", 202, REQUEST_ID),
        case("/v2/enqueue", "application/json", PAGE, "events.alerts.pagerduty_events", 202, PROCESSED),
        case("/kubernetes/events", "application/json", b"{}", "events.logs.kubernetes_events", 200, r#"{"status":"ok"}"#),
        case(
            "/webhooks/alertmanager",
            "application/json",
            b"{}",
            "events.alerts.alertmanager_webhook",
            200,
            r#"{"status":"ok"}"#,
        ),
        case("/webhooks/grafana", "application/json", b"{}", "events.alerts.grafana_webhook", 200, r#"{"status":"ok"}"#),
        case("/webhooks/datadog", "application/json", b"{}", "events.alerts.datadog_webhook", 200, r#"{"status":"ok"}"#),
        case("/webhooks/newrelic", "application/json", b"{}", "events.alerts.newrelic_webhook", 200, r#"{"status":"ok"}"#),
        case("/webhooks/splunk", "application/json", b"{}", "events.alerts.splunk_webhook", 200, r#"{"status":"ok"}"#),
        case("/webhooks/opensearch", "application/json", b"{}", "events.alerts.opensearch_webhook", 200, r#"{"status":"ok"}"#),
        case("/webhooks/kibana", "application/json", b"{}", "events.alerts.kibana_webhook", 200, r#"{"status":"ok"}"#),
    ]
}

const SUCCESS: &str = r#"{"code":0,"text":"Success"}"#;
/// Of the answer of New Relic, which is another one for each body.
const REQUEST_ID: &str = "requestId";
const PAGE: &[u8] = br#"{"routing_key":"k","event_action":"trigger","dedup_key":"a/1","payload":{}}"#;
const PROCESSED: &str = r#"{"dedup_key":"a/1","message":"Event processed","status":"success"}"#;

#[test]
fn each_endpoint_stores_what_comes_and_answers_in_kind() {
    let rig = Rig::start("");
    let cases = cases();
    for (at, case) in cases.iter().enumerate() {
        let headers = [("Content-Type", case.content_type), ("Content-Encoding", case.encoding)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = rig.post(case.path, &headers, &case.body);
        assert_eq!(answer.status, case.status, "{}: {}", case.path, answer.text());
        match case.answer {
            REQUEST_ID => assert_eq!(answer.json()["requestId"].as_str().unwrap().len(), 36),
            wanted => assert_eq!(answer.text(), wanted, "{}", case.path),
        }
        let stored = rig.stored(at + 1).pop().unwrap();
        assert_eq!(stored.subject.as_str(), case.subject);
        assert_eq!(stored.payload, case.body, "{}", case.path);
        assert_eq!(Some(header(&stored, "Squelch-Format")), case.subject.rsplit('.').next(), "{}", case.path);
        assert_eq!(header(&stored, "Content-Type"), case.content_type, "{}", case.path);
        assert_eq!(header(&stored, "Content-Encoding"), case.encoding, "{}", case.path);
    }
    let metrics = rig.squelch.wait_for("metrics", "squelch_intake_requests_total");
    let labels = "system=\"prometheus\",format=\"prometheus_alerts\",outcome=\"stored\"";
    assert!(metrics.contains(&format!("squelch_intake_requests_total{{{labels}}} 1")), "{metrics}");
    assert!(metrics.contains(&format!("squelch_intake_body_bytes_total{{{labels}}} 30")), "{metrics}");
}

/// A sender of remote write 2.0 takes it for lost if the answer does not say how much was written.
#[test]
fn remote_write_2_is_answered_with_what_was_written() {
    let rig = Rig::start("");
    // symbols "" and "up"; one series with two samples, a histogram and no exemplar.
    let request = [34, 0, 34, 2, b'u', b'p', 42, 10, 18, 2, 16, 1, 18, 2, 16, 2, 26, 0];
    let answer = rig.post("/api/v1/write", &[("Content-Type", WRITE_V2), ("Content-Encoding", "snappy")], &snappy(&request));
    assert_eq!(answer.status, 204);
    for (kind, number) in [("samples", "2"), ("histograms", "1"), ("exemplars", "0")] {
        assert_eq!(answer.headers[&format!("x-prometheus-remote-write-{kind}-written")], number);
    }
}

/// The empty message asks whether somebody is there.
#[test]
fn an_empty_otlp_message_is_answered_and_not_stored() {
    let rig = Rig::start("");
    assert_eq!(rig.post("/v1/traces", &[("Content-Type", PROTOBUF)], b"").status, 200);
    assert_eq!(rig.post("/events", &[], b"{}").status, 200);
    assert_eq!(rig.stored(1).len(), 1);
}

/// Senders find out by asking what a server is: what squelch is not is 404.
#[test]
fn what_is_not_served_is_not_found() {
    let rig = Rig::start("");
    for path in ["/alertmanager/api/v2/status", "/api/v1/status/buildinfo", "/v1/profiles", "/events/other", "/webhooks/other"] {
        assert_eq!(rig.post(path, &[], b"{}").status, 404, "{path}");
    }
    assert_eq!(request(rig.squelch.http, "GET", "/loki/api/v1/push", &[], b"").status, 405);
}

const BULK: &str = "{\"create\":{\"_index\":\"logs\"}}\n{\"message\":\"a\"}\n{\"index\":{}}\n{\"message\":\n";

/// With and without an index in the path, by POST and by PUT, at the root and below a path of its own; each answer names the product, or
/// clients refuse it.
#[test]
fn a_bulk_request_is_answered_item_by_item() {
    let rig = Rig::start("");
    let paths = ["/_bulk", "/app/_bulk", "/elasticsearch/_bulk", "/elasticsearch/app/_bulk?refresh=true"];
    for (at, path) in paths.into_iter().enumerate() {
        let method = if at % 2 == 0 { "PUT" } else { "POST" };
        let gzipped = gzip(BULK.as_bytes());
        let (body, encoding) = if at == 1 { (gzipped.as_slice(), "gzip") } else { (BULK.as_bytes(), "identity") };
        let headers = [("Content-Type", "application/x-ndjson"), ("Content-Encoding", encoding)];
        let answer = request(rig.squelch.http, method, path, &headers, body);
        assert_eq!((answer.status, answer.headers["x-elastic-product"].as_str()), (200, "Elasticsearch"), "{path}");
        let items = answer.json();
        assert_eq!((items["errors"].as_bool(), items["items"].as_array().unwrap().len()), (Some(true), 2));
        assert_eq!(items["items"][0]["create"]["status"], 201);
        assert_eq!(items["items"][1]["index"]["status"], 400);
        assert_eq!(items["items"][1]["index"]["_index"], if path.contains("app") { "app" } else { "" }, "{path}");
        let stored = rig.stored(at + 1).pop().unwrap();
        assert_eq!((stored.subject.as_str(), &stored.payload[..]), ("events.logs.elasticsearch_bulk", body));
        assert_eq!(header(&stored, "Content-Encoding"), if at == 1 { "gzip" } else { "" });
    }
    let empty = rig.post("/_bulk", &[], b"\n");
    assert_eq!((empty.status, empty.json()["error"]["type"].as_str()), (400, Some("parse_exception")));
}

/// What clients ask before they send, or besides.
#[test]
fn clients_get_answers_to_what_they_ask_before() {
    let rig = Rig::start("");
    let get = |path: &str, headers: &[(&str, &str)]| request(rig.squelch.http, "GET", path, headers, b"");
    for (path, key, value) in [
        ("/", "/tagline", "You Know, for Search"),
        ("/elasticsearch/", "/version/number", "8.19.0"),
        ("/elasticsearch", "/version/number", "8.19.0"),
        ("/_license", "/license/status", "active"),
        ("/elasticsearch/_cluster/health", "/status", "green"),
        ("/api/v1/validate", "/valid", "true"),
        ("/services/collector/health", "/text", "HEC is healthy"),
    ] {
        let answer = get(path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json().pointer(key).unwrap().to_string().trim_matches('"'), value, "{path}");
    }
    assert!(get("/_cat/health", &[]).text().contains(" green "));
    let head = request(rig.squelch.http, "HEAD", "/", &[], b"");
    assert_eq!((head.status, head.headers["x-elastic-product"].as_str()), (200, "Elasticsearch"));
    let browser = get("/", &[("Accept", "text/html,application/xhtml+xml,*/*")]);
    assert_eq!((browser.status, browser.headers["location"].as_str()), (303, "/incidents"), "a browser is no such client");
    for path in ["/trace/v1", "/intake/", "/api/v1/check_run", "/api/beta/sketches", "/v2/change/enqueue"] {
        assert_eq!(rig.post(path, &[], b"{}").status, 202, "{path}");
    }
    let metrics = rig.squelch.wait_for("metrics", "outcome=\"ignored\"");
    assert!(metrics.contains("system=\"datadog\",format=\"none\",outcome=\"ignored\"} 3"), "{metrics}");
}
