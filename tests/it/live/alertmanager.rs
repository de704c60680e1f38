//! Debian's amtool against a running squelch, in place of an Alertmanager.

use std::process::Command;

use serde_json::{Value, json};

use crate::live::run::{Squelch, context, runtime};
use crate::support::nats::NatsServer;
use crate::support::tools::program;

/// What amtool prints for these arguments.
fn amtool(squelch: &Squelch, arguments: &[&str]) -> String {
    let (done, text) = tried(squelch, arguments);
    assert!(done, "amtool {arguments:?}: {text}\n{}", squelch.log());
    text
}

fn tried(squelch: &Squelch, arguments: &[&str]) -> (bool, String) {
    let mut command: Command = program("amtool");
    let url = format!("--alertmanager.url=http://127.0.0.1:{}", squelch.http);
    let done = command.arg(url).args(arguments).env("HOME", squelch.dir.path()).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    (done.status.success(), if done.status.success() { text } else { text + &String::from_utf8_lossy(&done.stderr) })
}

fn ids(squelch: &Squelch, more: &[&str]) -> Vec<String> {
    let arguments = [&["silence", "query", "-q"][..], more].concat();
    amtool(squelch, &arguments).lines().map(String::from).collect()
}

#[test]
fn amtool_finds_an_alertmanager() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, "time: { lateness: 0s, idle: 1h }\ncheckpoint: { dir: off }\n");
    runtime().block_on(async {
        let context = context(&server).await;
        let now_ms = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let alert = json!({"ts": now_ms(), "name": "Down", "status": "firing", "severity": "critical", "service": "web"});
        context.publish("events.alerts.test", alert.to_string().into()).await.unwrap().await.unwrap();
        // Time goes on: an alert is handled at the end of its second.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let later = json!({"ts": now_ms(), "body": "all is well"});
        context.publish("events.logs.test", later.to_string().into()).await.unwrap().await.unwrap();
    });
    squelch.wait_for("metrics", "squelch_incidents_open 1");
    let shown = loop {
        let shown = amtool(&squelch, &["alert", "query", "-o", "json"]);
        if shown.contains("Down") {
            break shown;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let alerts: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&alerts[0]["labels"]["service"], &alerts[0]["status"]["state"]), (&"web".into(), &"active".into()));

    let id = amtool(&squelch, &["silence", "add", "service=web", "--duration=1h", "--comment=known", "--author=ann"]);
    let id = id.trim();
    assert_eq!(ids(&squelch, &[]), [id]);
    assert_eq!(ids(&squelch, &["service=web"]), [id]);
    assert_eq!(ids(&squelch, &["service=other"]), [""; 0]);
    let silenced = amtool(&squelch, &["alert", "query", "--silenced", "-o", "json"]);
    let silenced: Value = serde_json::from_str(&silenced).unwrap();
    assert_eq!((&silenced[0]["status"]["state"], &silenced[0]["status"]["silencedBy"][0]), (&"suppressed".into(), &id.into()));

    let updated = amtool(&squelch, &["silence", "update", "--duration=3h", "--comment=longer", id]);
    assert!(updated.contains("longer"), "{updated}");
    assert_eq!(ids(&squelch, &[]), [id], "the same silence lasts longer");

    let exported = amtool(&squelch, &["silence", "query", "-o", "json"]);
    amtool(&squelch, &["silence", "expire", id]);
    assert_eq!(ids(&squelch, &[]), [""; 0]);
    assert_eq!(ids(&squelch, &["--expired"]), [id]);
    let (done, why) = tried(&squelch, &["silence", "expire", "7d5c2f0e-3a52-5d1b-9c55-00000000000f"]);
    assert!(!done && why.contains("404"), "{why}");

    let file = squelch.dir.path().join("silences.json");
    let mut import: Value = serde_json::from_str(&exported).unwrap();
    import[0]["id"] = "".into();
    std::fs::write(&file, import.to_string()).unwrap();
    amtool(&squelch, &["silence", "import", file.to_str().unwrap()]);
    assert_eq!(ids(&squelch, &[]).len(), 1);

    let routes = amtool(&squelch, &["config", "routes", "show"]);
    assert!(routes.contains("receiver: squelch"), "{routes}");
    assert_eq!(amtool(&squelch, &["config", "routes", "test", "service=web"]).trim(), "squelch");
    assert_eq!(squelch.stop(), Some(0));
}

#[test]
fn amtool_shows_who_is_notified() {
    let server = NatsServer::start();
    let settings = "\
        checkpoint: { dir: off }\ntime_zone: Asia/Seoul\nnotifiers:\n  \
          oncall: { webhook: { url: \"http://127.0.0.1:9/oncall\" } }\n  chat: { webhook: { url: \"http://127.0.0.1:9/chat\" } }\n  night: { webhook: { url: \"http://127.0.0.1:9/night\" } }\n\
        routes:\n  \
          - { match: { time: { from: \"22:00\", to: \"07:00\" } }, to: [night], continue: true }\n  \
          - { match: { severity: critical, env: \"prod*\" }, to: [oncall, chat], escalate: [{ after: 10m, to: [night] }] }\n  \
          - { match: { severity: [warning, info], labels: { path: 'a\"b\\c' } }, to: [chat] }\n";
    let squelch = Squelch::start(&server, settings);
    squelch.wait_for("readyz", "ready");
    let routes = amtool(&squelch, &["config", "routes", "show"]);
    for wanted in
        ["{env=~\"prod.*\",severity=\"critical\"}  continue: true  receiver: oncall", "receiver: chat", "receiver: night"]
    {
        assert!(routes.contains(wanted), "{wanted} is not in\n{routes}");
    }
    let test = |labels: &[&str]| amtool(&squelch, &[&["config", "routes", "test"], labels].concat()).trim().to_string();
    assert_eq!(test(&["severity=critical", "env=production"]), "night,oncall,chat");
    assert_eq!(test(&["severity=info", r#"path=a\"b\\c"#]), "night,chat");
    assert_eq!(test(&["severity=critical", "env=staging"]), "night");
    assert!(amtool(&squelch, &["config", "show"]).contains("Asia/Seoul"));
}
