//! `squelch explain INCIDENT` over what is on a real nats-server: what is left of an incident, and what it says where nothing is.

use std::process::{Command, Output};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context, stream};

use crate::support::nats::{NatsServer, free_port};
use crate::support::{binary, root};

const ID: &str = "inc-8739eb3836269ee0";

fn explain(url: &str, id: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    Command::new(binary()).current_dir(dir.path()).args(["explain", id, "--nats", url]).output().unwrap()
}

/// What it says on stdout, having exited with `code`.
fn says(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(if code == 2 { output.stderr } else { output.stdout }).unwrap()
}

/// The cascade's revisions: seven of one incident.
fn cascade() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("fixtures/scenarios/cascade/expected.jsonl")).unwrap();
    text.lines().map(String::from).collect()
}

async fn publish(context: &Context, id: &str, revision: usize, body: &str) {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("{id}-{revision}").as_str());
    let subject = "incidents.production.critical.postgres";
    context.publish_with_headers(subject, headers, body.to_string().into()).await.unwrap().await.unwrap();
}

#[test]
fn what_is_left_of_an_incident_is_told() {
    let server = NatsServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let context = runtime.block_on(async { jetstream::new(async_nats::connect(server.url()).await.unwrap()) });
    let config = stream::Config { name: "INCIDENTS".into(), subjects: vec!["incidents.>".into()], ..Default::default() };
    runtime.block_on(async {
        context.create_stream(config).await.unwrap();
        for i in 0..2_500 {
            // Others, also one whose id begins alike.
            let other = if i % 2 == 0 { "inc-0000000000000000".into() } else { format!("{ID}0") };
            publish(&context, &other, i, "no JSON, and nobody reads it").await;
        }
        for (i, line) in cascade().iter().enumerate() {
            publish(&context, ID, i + 1, line).await;
        }
    });
    let whole = says(explain(&server.url(), ID), 0);
    assert_eq!(whole, std::fs::read_to_string(root().join("tests/it/cli/help/explain_incident.expected")).unwrap());

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("squelch.yaml"), format!("nats: {{ servers: [\"{}\"] }}\n", server.url())).unwrap();
    let configured = Command::new(binary()).current_dir(dir.path()).args(["explain", ID]).output().unwrap();
    assert_eq!(says(configured, 0), whole, "squelch.yaml of the current folder is read");

    let none = says(explain(&server.url(), "inc-1111111111111111"), 1);
    assert!(none.contains("there is no inc-1111111111111111") && none.contains("2507") && none.contains("INCIDENTS"), "{none}");

    runtime.block_on(async {
        let stream = context.get_stream("INCIDENTS").await.unwrap();
        stream.purge().sequence(2_504).await.unwrap();
    });
    let rest = says(explain(&server.url(), ID), 0);
    assert!(rest.contains("3 revisions before these are no longer stored") && rest.contains(" r7 "), "{rest}");

    runtime.block_on(async {
        context.get_stream("INCIDENTS").await.unwrap().purge().await.unwrap();
        // As squelch makes it: the client's own way does not work with a 2.9 server.
        let wanted = stream::Config {
            name: "KV_squelch_incidents".into(),
            subjects: vec!["$KV.squelch_incidents.>".into()],
            max_messages_per_subject: 1,
            allow_rollup: true,
            allow_direct: true,
            ..Default::default()
        };
        context.create_stream(wanted).await.unwrap();
        let bucket = context.get_key_value("squelch_incidents").await.unwrap();
        bucket.put(ID, cascade()[3].clone().into()).await.unwrap();
    });
    let newest = says(explain(&server.url(), ID), 0);
    assert!(newest.contains("3 revisions before these are no longer stored"), "{newest}");
    assert!(newest.contains("open at 00:05:00, 3 alerts firing") && newest.contains(" r4 "), "{newest}");
}

#[test]
fn what_is_missing_is_named() {
    let nobody = says(explain(&format!("nats://127.0.0.1:{}", free_port()), ID), 2);
    assert!(nobody.contains("no NATS server answers"), "{nobody}");

    let bare = NatsServer::with(&[], "");
    let without = says(explain(&bare.url(), ID), 2);
    assert!(without.contains("JetStream off"), "{without}");

    let server = NatsServer::start();
    let empty = says(explain(&server.url(), ID), 2);
    assert!(empty.contains("stream INCIDENTS does not exist") && empty.contains("output.stream"), "{empty}");

    let rule = Command::new(binary()).current_dir(root()).args(["explain", "host_cpu_high"]).output().unwrap();
    assert!(says(rule, 0).starts_with("rule "), "a rule needs no server");
}
