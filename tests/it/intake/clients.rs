//! Clients that others wrote, configured as docs/collectors.md says, send to a real squelch with a real nats-server: what they send is in the
//! stream, they are content with the answer, and an incident comes out.

use std::io::Read;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use async_nats::jetstream::message::StreamMessage;
use serde_json::json;

use crate::intake::documented;
use crate::intake::rig::{Rig, header, request};
use crate::support::nats::free_port;
use crate::support::tools::{program, python};

/// A program that runs beside a test, and ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(command: &mut Command, dir: &std::path::Path, name: &str) -> Running {
    let log = std::fs::File::create(dir.join(name)).unwrap();
    let command = command.stdout(log.try_clone().unwrap()).stderr(log);
    Running(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Runs what a shell would run, and wants it to end well.
fn sh(line: &str, dir: &std::path::Path) -> Output {
    let done = Command::new("sh").current_dir(dir).args(["-c", line]).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// Runs a Python text, and wants it to end well and without complaint of the client.
fn run_python(text: &str, dir: &std::path::Path, environment: &[(String, String)]) {
    let mut command = python();
    command.current_dir(dir).args(["-c", text]).envs(environment.iter().cloned());
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("Traceback") && !said.contains("Failed to export"), "{text}\n{said}");
}

/// A stored body, inflated by what its header says.
fn inflated(message: &StreamMessage) -> Vec<u8> {
    let mut inflated = Vec::new();
    match header(message, "Content-Encoding") {
        "gzip" => drop(flate2::read::GzDecoder::new(&message.payload[..]).read_to_end(&mut inflated).unwrap()),
        "deflate" => drop(flate2::read::ZlibDecoder::new(&message.payload[..]).read_to_end(&mut inflated).unwrap()),
        "snappy" => inflated = snap::raw::Decoder::new().decompress_vec(&message.payload).unwrap(),
        _ => inflated = message.payload.to_vec(),
    }
    inflated
}

fn holds(message: &StreamMessage, text: &str) -> bool {
    let body = inflated(message);
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Waits for a message of this format that holds a text.
fn comes(rig: &Rig, format: &str, text: &str) {
    let wanted = |message: &StreamMessage| header(message, "Squelch-Format") == format && holds(message, text);
    rig.stored_until(&format!("{format} with {text}"), |messages| messages.iter().any(wanted));
}

/// Runs the Python blocks of a section, and waits for what they send, and for the incidents that it becomes.
fn python_client(heading: &str, wanted: &[(&str, &str)], rules: &[&str]) {
    let rig = Rig::start("");
    let dir = tempfile::tempdir().unwrap();
    for text in documented::at(heading, "python", rig.squelch.http) {
        run_python(&text, dir.path(), &[]);
    }
    wanted.iter().for_each(|(format, text)| comes(&rig, format, text));
    rules.iter().for_each(|rule| drop(rig.incident(rule)));
}

#[test]
fn the_clients_of_elasticsearch_and_opensearch() {
    python_client(
        "Elasticsearch, OpenSearch",
        &[("elasticsearch_bulk", "\"create\""), ("elasticsearch_bulk", "\"index\":{\"_index\"")],
        &["no_connection"],
    );
}

#[test]
fn a_logging_handler_for_loki() {
    python_client("Loki", &[("loki_push", "no connection")], &["no_connection"]);
}

#[test]
fn a_logging_handler_for_logstash() {
    python_client("Logstash", &[("logstash_json", "no connection")], &["no_connection"]);
}

#[test]
fn a_logging_handler_for_splunk() {
    python_client("Splunk", &[("splunk_hec", "no connection")], &["no_connection"]);
}

#[test]
fn the_client_of_datadog() {
    python_client(
        "Datadog",
        &[("datadog_series_v1", "http.errors"), ("datadog_events", "chat cannot reach postgres")],
        &["http_errors", "no_connection"],
    );
}

/// New Relic's clients insist on TLS, which the intake's own address offers.
#[test]
fn the_clients_of_new_relic_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    program("openssl");
    sh(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out ca.pem -subj /CN=localhost \
         -addext subjectAltName=IP:127.0.0.1,DNS:localhost",
        dir.path(),
    );
    let port = free_port();
    let (cert, key) = (dir.path().join("ca.pem"), dir.path().join("key.pem"));
    let tls = format!("{{ cert_file: {}, key_file: {} }}", cert.display(), key.display());
    let rig = Rig::start(&format!("intake: {{ listen: \"127.0.0.1:{port}\", tls: {tls} }}\n"));
    for text in documented::at("New Relic", "python", port) {
        run_python(&text, dir.path(), &[]);
    }
    comes(&rig, "newrelic_metrics", "http.errors");
    comes(&rig, "newrelic_logs", "no connection");
    drop((rig.incident("http_errors"), rig.incident("no_connection")));
}

/// One metric, one log record and one span, through the SDK's exporters of a protocol, which read where to send from the environment.
fn otlp_sdk(protocol: &str) {
    let rig = Rig::start("");
    let dir = tempfile::tempdir().unwrap();
    let exports = documented::at("OpenTelemetry", "sh", rig.squelch.http);
    let lines = exports.iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("export "));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let environment: Vec<(String, String)> = pairs.map(|(key, value)| (key.into(), value.trim_matches('"').into())).collect();
    assert_eq!(environment.len(), 2);
    let text = format!(
        r#"
from opentelemetry.exporter.otlp.proto.{protocol}.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.{protocol}._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
import logging

meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
meters.get_meter("test").create_counter("http.errors").add(12)
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
with tracers.get_tracer("test").start_as_current_span("GET /chat"):
    pass
logs = LoggerProvider()
logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
logging.getLogger("chat").addHandler(LoggingHandler(logger_provider=logs))
logging.getLogger("chat").error("no connection")
for provider in meters, tracers, logs:
    provider.shutdown()
"#
    );
    run_python(&text, dir.path(), &environment);
    comes(&rig, "otlp_metrics", "http.errors");
    comes(&rig, "otlp_traces", "GET /chat");
    comes(&rig, "otlp_logs", "no connection");
    drop((rig.incident("http_errors"), rig.incident("no_connection")));
    let system = if protocol == "grpc" { "otlp_grpc" } else { "otlp" };
    let metrics = rig.squelch.wait_for("metrics", &format!("system=\"{system}\",format=\"otlp_logs\",outcome=\"stored\"}} 1"));
    assert!(!metrics.contains("outcome=\"un") && !metrics.contains("outcome=\"malformed\""), "{metrics}");
}

#[test]
fn the_otlp_exporters_over_http() {
    otlp_sdk("http");
}

#[test]
fn the_otlp_exporters_over_grpc() {
    otlp_sdk("grpc");
}

/// A collector: it receives OTLP, and exports it over gRPC with gzip.
#[test]
fn rotel_exports_to_squelch() {
    let rig = Rig::start("");
    let dir = tempfile::tempdir().unwrap();
    let path = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let agent = String::from_utf8(python().args(["-c", path]).output().unwrap().stdout).unwrap();
    let line = documented::line("OpenTelemetry", "rotel ", rig.squelch.http, 0);
    let (http, grpc) = (free_port(), free_port());
    let receivers = [format!("--otlp-http-endpoint=127.0.0.1:{http}"), format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}")];
    let mut command = Command::new(agent.trim());
    let _rotel = start(command.args(line.split(' ').skip(1)).args(receivers).arg("--batch-timeout=200ms"), dir.path(), "rotel");
    listens(http, dir.path(), "rotel");
    let log = br#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[
        {"timeUnixNano":"1773456430000000000","severityNumber":17,"body":{"stringValue":"no connection"}}]}]}]}"#;
    assert_eq!(request(http, "POST", "/v1/logs", &[("Content-Type", "application/json")], log).status, 200);
    comes(&rig, "otlp_logs", "no connection");
    rig.incident("no_connection");
}

fn listens(port: u16, dir: &std::path::Path, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = || std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        assert!(Instant::now() < deadline, "{name} does not listen on {port}: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A rule that always fires.
const RULE: &str = "groups: [{ name: a, interval: 1s, rules: [{ alert: NoConnection, expr: vector(1), labels: { severity: critical, service: chat } }] }]\n";

#[test]
fn prometheus_writes_samples_and_sends_alerts() {
    let rig = Rig::start("");
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let documented = documented::at("Prometheus, Grafana Agent, Alloy", "yaml", rig.squelch.http).remove(0);
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\nscrape_configs:\n  - job_name: squelch\n    static_configs: [{{ targets: [\"127.0.0.1:{}\"] }}]\n{documented}",
        rig.squelch.http
    );
    std::fs::write(dir.path().join("rules.yml"), RULE).unwrap();
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let mut command = program("prometheus");
    command.current_dir(dir.path()).args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--rules.alert.resend-delay=1s",
    ]);
    let _prometheus = start(command.arg(format!("--web.listen-address=127.0.0.1:{port}")), dir.path(), "prometheus");
    comes(&rig, "prometheus_remote_write", "squelch_incidents_open");
    comes(&rig, "prometheus_alerts", "NoConnection");
    let incident = rig.incident("NoConnection");
    assert_eq!((&incident["severity"], &incident["alerts"][0]["entity"]), (&json!("critical"), &json!("chat")), "{incident:#}");
}

#[test]
fn vmagent_writes_samples_and_vmalert_sends_alerts() {
    let rig = Rig::start("");
    let dir = tempfile::tempdir().unwrap();
    let (metrics, agent, alert) = (free_port(), free_port(), free_port());
    let scrape = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: squelch\n    static_configs: [{{ targets: [\"127.0.0.1:{}\"] }}]\n",
        rig.squelch.http
    );
    std::fs::write(dir.path().join("scrape.yml"), scrape).unwrap();
    std::fs::write(dir.path().join("rules.yml"), RULE).unwrap();
    let options = |begins| {
        let line = documented::line("VictoriaMetrics", begins, rig.squelch.http, 0).replace("8428", &metrics.to_string());
        line.split(' ').skip(1).map(String::from).collect::<Vec<_>>()
    };
    let mut command = program("victoria-metrics");
    command.current_dir(dir.path()).arg("-storageDataPath=data").arg(format!("-httpListenAddr=127.0.0.1:{metrics}"));
    let _metrics = start(&mut command, dir.path(), "victoria-metrics");
    listens(metrics, dir.path(), "victoria-metrics");
    let mut command = program("vmagent");
    command.current_dir(dir.path()).args(options("vmagent")).arg("-remoteWrite.tmpDataPath=agent");
    let _agent = start(command.arg(format!("-httpListenAddr=127.0.0.1:{agent}")), dir.path(), "vmagent");
    let mut command = program("vmalert");
    command.current_dir(dir.path()).args(options("vmalert")).arg("-evaluationInterval=1s");
    let _alert = start(command.arg(format!("-httpListenAddr=127.0.0.1:{alert}")), dir.path(), "vmalert");
    comes(&rig, "prometheus_remote_write", "squelch_incidents_open");
    comes(&rig, "prometheus_alerts", "NoConnection");
    let incident = rig.incident("NoConnection");
    assert_eq!((&incident["severity"], &incident["alerts"][0]["entity"]), (&json!("critical"), &json!("chat")), "{incident:#}");
}

#[test]
fn logger_sends_syslog_over_tcp_and_udp() {
    let syslog = free_port();
    let rig = Rig::start(&format!("intake: {{ syslog_listen: \"127.0.0.1:{syslog}\" }}\n"));
    let dir = tempfile::tempdir().unwrap();
    program("logger");
    let lines = documented::blocks("Syslog", "sh").remove(0);
    assert_eq!(lines.lines().count(), 3);
    for (at, line) in lines.lines().enumerate() {
        sh(&line.replace("5514", &syslog.to_string()).replace("no connection", &format!("no connection {at}")), dir.path());
        comes(&rig, "syslog", &format!("no connection {at}"));
    }
    let stored = rig.stored(3);
    assert!(stored.iter().all(|message| message.subject.as_str() == "events.logs.syslog"));
    assert!(stored.iter().all(|message| message.payload.starts_with(b"<131>1 ")), "{stored:?}");
    rig.incident("no_connection");
}

/// The commands in the document that need nothing but curl.
#[test]
fn curl_sends_a_page_and_a_log_record() {
    let rig = Rig::start("");
    let dir = tempfile::tempdir().unwrap();
    program("curl");
    for heading in ["PagerDuty", "squelch's own formats"] {
        for block in documented::at(heading, "sh", rig.squelch.http) {
            sh(&block.replace("curl ", "curl --silent --show-error --fail "), dir.path());
        }
    }
    comes(&rig, "pagerduty_events", "no connection");
    rig.incident("no connection");
    comes(&rig, "native_json", "no connection");
}
