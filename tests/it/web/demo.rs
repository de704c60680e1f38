//! `make demo`: the recorded night, live, until somebody ends it.

use std::process::{Command, Stdio};

use crate::support::nats::free_port;
use crate::support::{binary, root};
use crate::web::client::{attribute, get, wait_for};

#[test]
fn the_night_is_published_and_its_outage_is_on_a_page() {
    let (http, nats) = (free_port(), free_port());
    let mut command = Command::new(root().join("scripts/demo"));
    command.arg(binary()).env("DEMO_SPEED", "2000").env("DEMO_PORT", http.to_string()).env("DEMO_NATS_PORT", nats.to_string());
    let mut demo = command.stdout(Stdio::null()).spawn().unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", http)).is_err() {
        assert!(demo.try_wait().unwrap().is_none(), "the demo has ended");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let past = wait_for(http, "/past", &|past| past.status == 200 && past.body.contains("cause: <bdi>prod-node-5"));
    let before = past.body.split("cause: <bdi>prod-node-5").next().unwrap();
    let id = attribute(&before[before.rfind("href=\"/incidents/").unwrap()..], "/incidents/");
    let page = get(http, &format!("/incidents/{id}"));
    assert_eq!(page.status, 200, "{}", page.body);
    for part in [">postgres<", ">web-client<", "class=\"edge\"", "depends on"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(page.body.len() < 1 << 20, "{} bytes", page.body.len());
    assert!(Command::new("kill").arg(demo.id().to_string()).status().unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    assert!(std::net::TcpStream::connect(("127.0.0.1", http)).is_err(), "squelch has ended with the demo");
    assert!(std::net::TcpStream::connect(("127.0.0.1", nats)).is_err(), "and so has nats-server");
}
