//! `/metrics` of a running squelch: what Prometheus's own tool has to say about it, and that the documents list exactly what is there.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use crate::support::demo::demo_files;
use crate::support::nats::NatsServer;
use crate::support::process::{Squelch, context, get, runtime};
use crate::support::root;
use crate::support::tools::program;

/// A squelch that has read the demo's events and a line that is none.
fn after_the_demo(server: &NatsServer) -> (Squelch, String) {
    let squelch = Squelch::start(server, "checkpoint: { dir: state, every: 200ms }\n");
    let (mut events, _) = demo_files();
    let number = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    events.extend_from_slice(b"\nno event\n");
    runtime().block_on(async {
        let context = context(server).await;
        let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').collect();
        for lines in lines.chunks(1_000) {
            context.publish("events.mixed.demo", lines.join(&b'\n').into()).await.unwrap().await.unwrap();
        }
    });
    squelch.wait_for("metrics", &format!("squelch_events_total {number}\n"));
    squelch.wait_for("metrics", "squelch_checkpoint_age_seconds");
    let shown = get(squelch.http, "metrics").unwrap();
    let body = shown.split_once("\r\n\r\n").map_or(shown.as_str(), |(_, body)| body).to_string();
    (squelch, body)
}

#[test]
fn promtool_has_no_complaint() {
    let server = NatsServer::start();
    let (squelch, metrics) = after_the_demo(&server);
    let mut check = program("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let done = check.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(done.status.success() && said.is_empty(), "{said}\n{metrics}");
    squelch.stop();
}

#[test]
fn every_metric_is_documented() {
    let server = NatsServer::start();
    let (squelch, metrics) = after_the_demo(&server);
    let served: BTreeSet<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let docs = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let tables = docs.split_once("## Input and output").unwrap().1;
    let cells = tables.lines().filter_map(|line| line.strip_prefix("| `squelch_")?.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split("squelch_")).map(|name| name.trim_end_matches(['`', ',', ' ']));
    let documented: BTreeSet<String> = names.map(|name| format!("squelch_{name}")).collect();
    let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
    assert!(served.len() > 50, "{served:?}");
    assert_eq!(served, documented);
    squelch.stop();
}
