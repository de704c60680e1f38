//! `/metrics` of a running squelch: what Prometheus's own tool has to say about it, and that the documents list exactly what is there.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use crate::support::demo::outage_lines;
use crate::support::nats::NatsServer;
use crate::support::process::{Squelch, context, get, runtime};
use crate::support::root;
use crate::support::tools::program;

#[test]
fn metrics_are_as_prometheus_asks_and_as_documented() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, "checkpoint: { dir: state, every: 200ms }\n");
    let lines = outage_lines();
    runtime().block_on(async {
        let context = context(&server).await;
        let messages = lines.chunks(1_000).map(|lines| lines.join(&b'\n')).chain([b"no event".to_vec()]);
        for message in messages {
            context.publish("events.mixed.demo", message.into()).await.unwrap().await.unwrap();
        }
    });
    squelch.wait_for("metrics", &format!("squelch_events_total {}\n", lines.len()));
    squelch.wait_for("metrics", "squelch_rejected_total{reason=\"json\"} 1\n");
    squelch.wait_for("metrics", "squelch_checkpoint_age_seconds");
    let shown = get(squelch.http, "metrics").unwrap();
    let (_, metrics) = shown.split_once("\r\n\r\n").unwrap();
    checked_by_promtool(metrics);
    documented(metrics);
    squelch.stop();
}

fn checked_by_promtool(metrics: &str) {
    let mut check = program("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let done = check.wait_with_output().unwrap();
    let reported = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(done.status.success() && reported.is_empty(), "{reported}\n{metrics}");
}

fn documented(metrics: &str) {
    let served: BTreeSet<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let docs = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let tables = docs.split_once("## Input and output").unwrap().1;
    let cells = tables.lines().filter_map(|line| line.strip_prefix("| `squelch_")?.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split("squelch_")).map(|name| name.trim_end_matches(['`', ',', ' ']));
    let documented: BTreeSet<String> = names.map(|name| format!("squelch_{name}")).collect();
    let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
    assert!(served.len() > 50, "{served:?}");
    assert_eq!(served, documented);
}
