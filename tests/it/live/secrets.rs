//! Passwords, tokens, seeds and the credentials in addresses are in no log and in no error, on whatever level.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::live::run::get;
use crate::support::nats::{NatsServer, free_port};
use crate::support::{binary, root};

const SECRET: &str = "hunter2-8c1f";

/// What `squelch run` writes with these settings, on the finest level, until it is ready or gives up.
fn said(nats: &str, expect_start: bool) -> String {
    let (dir, http) = (tempfile::tempdir().unwrap(), free_port());
    std::fs::copy(root().join("fixtures/creds/squelch.creds"), dir.path().join("good.creds")).unwrap();
    std::fs::write(dir.path().join("seed.creds"), format!("-----BEGIN USER NKEY SEED-----\n{SECRET}\n")).unwrap();
    let rules = root().join("fixtures/scenarios/cascade/rules");
    let text = format!("rules: {}\nhttp: {{ listen: \"127.0.0.1:{http}\" }}\nnats: {nats}\n", rules.display());
    let config = dir.path().join("squelch.yaml");
    std::fs::write(&config, text).unwrap();
    let log = dir.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["run", "--config"])
        .arg(&config)
        .env("RUST_LOG", "info,async_nats=trace,squelch=trace")
        .stdout(Stdio::null())
        .stderr(file);
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut started = false;
    while child.try_wait().unwrap().is_none() && !started {
        assert!(Instant::now() < deadline, "it neither starts nor gives up");
        started = get(http, "readyz").unwrap_or_default().contains("ready\n");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(child.kill());
    child.wait().unwrap();
    let said = std::fs::read_to_string(log).unwrap();
    assert_eq!(started, expect_start, "{said}");
    said
}

#[test]
fn secrets_are_never_said() {
    let with = |authorization: &str| NatsServer::with(&["-js"], &format!("authorization {{ {authorization} }}"));
    let by_password = with(&format!("user: squelch, password: \"{SECRET}\""));
    let by_token = with(&format!("token: \"{SECRET}\""));
    let (password, token, nobody) = (by_password.port, by_token.port, free_port());
    let cases = [
        (format!("{{ servers: [\"nats://127.0.0.1:{password}\"], user: squelch, password: \"{SECRET}\" }}"), true),
        (format!("{{ servers: [\"nats://127.0.0.1:{password}\"], user: somebody, password: \"{SECRET}\" }}"), false),
        (format!("{{ servers: [\"nats://squelch:{SECRET}@127.0.0.1:{password}\"] }}"), true),
        (format!("{{ servers: [\"squelch:{}@127.0.0.1:{password}\"] }}", SECRET.replace('-', "%2D")), true),
        (format!("{{ servers: [\"nats://127.0.0.1:{nobody}\", \"nats://squelch:{SECRET}@127.0.0.1:{password}\"] }}"), true),
        (format!("{{ servers: [\"nats://{SECRET}@127.0.0.1:{token}\"] }}"), true),
        (format!("{{ servers: [\"nats://{SECRET}-no@127.0.0.1:{token}\"] }}"), false),
        (format!("{{ servers: [\"nats://squelch:{SECRET}@127.0.0.1:{password}\"], token: \"{SECRET}\" }}"), false),
        (format!("{{ servers: [\"nats://{SECRET}@127.0.0.1:{token}\", \"nats://a:{SECRET}@127.0.0.1:{password}\"] }}"), false),
        (format!("{{ servers: [\"nats://somebody:{SECRET}@127.0.0.1:{password}\"] }}"), false),
        (format!("{{ servers: [\"nats://squelch:{SECRET}@127.0.0.1:{nobody}\"] }}"), false),
        (format!("{{ servers: [\"nats://127.0.0.1:{token}\"], token: \"{SECRET}\" }}"), true),
        (format!("{{ servers: [\"nats://127.0.0.1:{token}\"], token: \"{SECRET}-no\" }}"), false),
        (format!("{{ servers: [\"nats://127.0.0.1:{token}\"], creds_file: seed.creds }}"), false),
    ];
    for (nats, expect_start) in cases {
        let said = said(&nats, expect_start);
        assert!(said.lines().count() > 1 || !expect_start, "it says something: {said}");
        assert!(!said.contains(SECRET), "{nats} is said:\n{}", said.lines().find(|line| line.contains(SECRET)).unwrap());
    }
}

/// A server that knows who may sign in by an operator's keys, as hosted ones do.
#[test]
fn a_creds_file_signs_in() {
    let config = std::fs::read_to_string(root().join("fixtures/creds/operator.conf")).unwrap();
    let server = NatsServer::with(&["-js"], &config);
    let creds = std::fs::read_to_string(root().join("fixtures/creds/squelch.creds")).unwrap();
    let seed = creds.lines().find(|line| line.starts_with("SU")).unwrap();
    let with = |more: &str| format!("{{ servers: [\"nats://127.0.0.1:{}\"]{more} }}", server.port);
    let signed_in = said(&with(", creds_file: good.creds"), true);
    assert!(!signed_in.contains(seed), "{signed_in}");
    let refused = said(&with(""), false);
    assert!(refused.contains("refuses the sign-in"), "{refused}");
}
