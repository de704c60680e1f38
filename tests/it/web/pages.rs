//! The open list, an incident, and what people do there.

use std::process::{Child, Command, Stdio};

use async_nats::jetstream::Context;
use serde_json::{Value, json};

use crate::live::run::{Squelch, context, runtime};
use crate::support::binary;
use crate::support::nats::{NatsServer, free_port};
use crate::web::client::{News, attribute, get, post, send, wait_for};

/// Event time follows the messages, and goes on where none come.
const SETTINGS: &str = "time: { lateness: 0s, idle: 1s }\ncheckpoint: { dir: off }\nnotify: { wait: 0s, hold: 0s }\n";

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Another system's alert, whose labels and texts are as given.
async fn alert(context: &Context, service: &str, status: &str, more: Value) {
    let mut body = json!({"ts": now_ms(), "name": "Down", "status": status, "severity": "critical", "service": service, "env": "production"});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    context.publish("events.alerts.test", body.to_string().into()).await.unwrap().await.unwrap();
}

/// The id of the incident whose line has this word.
fn id_of(port: u16, word: &str) -> String {
    let list = wait_for(port, "/incidents", &|answer| answer.status == 200 && answer.body.contains(word));
    let before = list.body.split(word).next().unwrap();
    attribute(before.rsplit("<li ").next().unwrap(), "id=\"")
}

#[test]
fn an_incident_is_seen_acknowledged_and_silenced_without_a_script() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, SETTINGS);
    let port = squelch.http;
    runtime().block_on(async { alert(&context(&server).await, "web", "firing", json!({})).await });

    let root = send(port, "GET", "/", &[("Accept", "text/html")], "");
    assert_eq!((root.status, root.header("location")), (303, Some("/incidents")));
    assert_eq!(send(port, "GET", "/", &[("Accept", "application/json")], "").header("x-elastic-product"), Some("Elasticsearch"));

    let id = id_of(port, "Down");
    let page = get(port, &format!("/incidents/{id}"));
    assert_eq!(page.status, 200, "{}", page.body);
    for part in
        ["Likeliest cause", "<bdi>web</bdi>", "Notified or not, and why", "No incident like this is known.", "first_notification"]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(page.body.contains("<svg xmlns") && page.body.contains("is-cause"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for inline in [" style=", "<style", "onclick", "<script>"] {
        assert!(!page.body.contains(inline), "{inline} would need another policy");
    }

    // Who acts is asked for once.
    let nobody = post(port, &format!("/incidents/{id}/acknowledge"), "comment=on+it");
    assert_eq!(nobody.status, 400, "{}", nobody.body);
    let done = post(port, &format!("/incidents/{id}/acknowledge"), "comment=on+it&by=ann+%ED%95%9C");
    assert_eq!(done.status, 303, "{}", done.body);
    let kept = done.header("set-cookie").unwrap();
    assert!(kept.contains("HttpOnly") && kept.contains("SameSite=Lax"), "{kept}");
    let after = get(port, done.header("location").unwrap());
    assert!(after.body.contains("Acknowledged.") && after.body.contains("acknowledged by ann 한"), "{}", after.body);
    assert!(after.body.contains(&format!("/incidents/{id}/unacknowledge")), "{}", after.body);
    let cookie = kept.split(';').next().unwrap();
    let noted = send(port, "POST", &format!("/incidents/{id}/note"), &[("Cookie", cookie)], "comment=the+disk+is+full");
    assert_eq!(noted.status, 303, "{}", noted.body);
    let noted = wait_for(port, &format!("/incidents/{id}"), &|page| page.body.contains("the disk is full"));

    // Each revision can still be seen as it was.
    let last: u32 = attribute(&noted.body, "max=\"").parse().unwrap();
    assert!(last >= 3, "{last}");
    let first = get(port, &format!("/incidents/{id}?revision=1"));
    assert_eq!(first.status, 200, "{}", first.body);
    assert!(!first.body.contains("class=\"handled-by\"") && first.body.contains("the newest"), "{}", first.body);

    // A silence shows first what it would hit.
    let preview = get(port, "/silences/new?matchers=service%3Dweb&for=1h");
    assert!(
        preview.body.contains("1 alert would be silenced.") && preview.body.contains("nobody would be notified"),
        "{}",
        preview.body
    );
    assert!(get(port, "/silences/new?matchers=service%3Dother").body.contains("Nothing that is open now would be silenced."));
    let refused = get(port, "/silences/new?matchers=service");
    assert!(refused.body.contains("This cannot be:"), "{}", refused.body);
    let made = post(port, "/silences", "matchers=service%3Dweb&for=1h&by=ann&comment=known");
    assert_eq!((made.status, made.header("location")), (303, Some("/silences?done=silence")), "{}", made.body);
    let list = wait_for(port, "/silences", &|list| list.body.contains("service=web") && list.body.contains(&id));
    let expire = attribute(&list.body, "method=\"post\" action=\"/silences");
    let expired = post(port, &format!("/silences{expire}"), "by=ann");
    assert_eq!(expired.status, 303, "{}", expired.body);
    wait_for(port, "/silences", &|list| list.body.contains("<tr class=\"expired\">"));

    let refused = post(port, "/incidents/inc-0000000000000000/acknowledge", "by=ann");
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("there is no incident"), "{}", refused.body);
    assert_eq!(squelch.stop(), Some(0));
}

#[test]
fn bad_requests_get_a_clear_answer() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, SETTINGS);
    let port = squelch.http;
    runtime().block_on(async { alert(&context(&server).await, "web", "firing", json!({})).await });
    let id = id_of(port, "Down");
    for (path, status) in [
        (format!("/incidents/{id}?revision=999"), 404),
        (format!("/incidents/{id}?revision=1000000000000000000"), 404),
        (format!("/incidents/{id}?revision=99999999999999999999999999"), 404),
        (format!("/incidents/{id}?revision=-1"), 400),
        (format!("/incidents/{id}?revision=x"), 400),
        (format!("/incidents/{id}?revision="), 200),
        ("/incidents/inc-0000000000000000".into(), 404),
        ("/incidents/..%2Fetc".into(), 404),
        (format!("/incidents/inc-{}", "0".repeat(5_000)), 404),
        ("/incidents?page=1000000000000000000".into(), 404),
        ("/incidents?page=99999999999999999999999999".into(), 400),
        ("/incidents?page=0".into(), 400),
        ("/incidents?severity=loud".into(), 400),
        ("/incidents?env=nowhere&q=%00%ff".into(), 200),
        ("/events?page=x".into(), 400),
        (format!("/events?incident={id}&revision=x"), 400),
        ("/silences/new?matchers=%5B&for=never".into(), 200),
        ("/assets/page-0000.css".into(), 404),
    ] {
        let answer = get(port, &path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    for (path, form, status) in [
        (format!("/incidents/{id}/explode"), "by=ann", 404),
        ("/incidents/x/note".into(), "by=ann", 404),
        ("/silences".into(), "by=ann", 409),
        ("/silences".into(), "by=ann&matchers=a%3Db&for=never", 409),
        ("/silences/nonsense/expire".into(), "by=ann", 409),
        (format!("/incidents/{id}/note"), "by=ann&comment=", 409),
    ] {
        let answer = post(port, &path, form);
        assert_eq!(answer.status, status, "{path} {form}: {}", answer.body);
    }
    let long = format!("by=ann&comment={}", "x".repeat(1 << 20));
    assert_eq!(post(port, &format!("/incidents/{id}/note"), &long).status, 413);

    // Another site can neither be this one nor act through its readers' browsers.
    let evil = send(port, "GET", "/incidents", &[("Host", "evil.example.com")], "");
    assert_eq!(evil.status, 403, "{}", evil.body);
    for header in [("Origin", "https://evil.example.com"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = send(port, "POST", &format!("/incidents/{id}/acknowledge"), &[header], "by=eve");
        assert_eq!(answer.status, 403, "{header:?}: {}", answer.body);
    }
    assert_eq!(get(port, &format!("/incidents/{id}/acknowledge")).status, 405);
    assert!(!get(port, &format!("/incidents/{id}")).body.contains("class=\"handled-by\""));

    // What pages load is kept by browsers until it changes.
    let list = get(port, "/incidents");
    let style = attribute(&list.body, "rel=\"stylesheet\" href=\"");
    let file = get(port, &style);
    assert_eq!((file.status, file.header("content-type")), (200, Some("text/css; charset=utf-8")));
    let tag = file.header("etag").unwrap();
    assert_eq!(send(port, "GET", &style, &[("If-None-Match", tag)], "").status, 304);
    let korean = send(port, "GET", "/incidents", &[("Accept-Language", "ko-KR,ko;q=0.9")], "");
    assert!(korean.body.contains("<html lang=\"ko\">") && korean.body.contains("열린 인시던트"), "{}", korean.body);
    assert_eq!(squelch.stop(), Some(0));
}

#[test]
fn texts_of_alerts_are_shown_and_never_obeyed() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, SETTINGS);
    let port = squelch.http;
    let lines = "a line of a stack trace\n".repeat(10_000);
    let annotations = json!({
        "summary": "pay\u{202e}ment <script>alert(1)</script> \"><img src=x onerror=alert(2)> down",
        "description": lines,
        "runbook_url": "javascript:alert(document.cookie)",
    });
    let labels = json!({"customer": "<b onmouseover=alert(3)>", "x\" autofocus onfocus=\"alert(4)": "{{ 7 * 7 }}"});
    runtime().block_on(async {
        alert(&context(&server).await, "web", "firing", json!({"labels": labels, "annotations": annotations})).await;
    });
    let id = id_of(port, "payment");
    for path in ["/incidents".into(), format!("/incidents/{id}"), format!("/silences/new?incident={id}&preview=yes")] {
        let page = get(port, &path);
        assert_eq!(page.status, 200, "{path}");
        for bad in
            ["<script>alert", "<img", "<b onmouseover", "\" autofocus onfocus=\"", "\u{202e}", "href=\"javascript:", ">49<"]
        {
            assert!(!page.body.contains(bad), "{path} has {bad}: {}", page.body);
        }
        assert!(page.body.len() < 100_000, "{path} has {} bytes", page.body.len());
    }
    assert!(get(port, &format!("/incidents/{id}")).body.contains("javascript:alert"), "it is shown as a text");
    assert_eq!(squelch.stop(), Some(0));
}

/// `squelch web` beside a `squelch run`.
struct Alone {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Alone {
    fn start(server: &NatsServer) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = dir.path().join("squelch.yaml");
        let text = format!("nats: {{ servers: [\"{}\"] }}\nhttp: {{ listen: \"127.0.0.1:{port}\" }}\n", server.url());
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child =
            Command::new(binary()).args(["web", "--config"]).arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let alone = Self { child, port, dir };
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        alone
    }

    fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        if code != Some(0) {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap());
        }
        code
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn pages_elsewhere_show_the_same_and_hear_the_news() {
    let server = NatsServer::start();
    let alone = Alone::start(&server);
    // Nothing was ever published: nothing is open.
    wait_for(alone.port, "/incidents", &|list| list.status == 200 && list.body.contains("Nothing is open."));
    let squelch = Squelch::start(&server, SETTINGS);
    let runtime = runtime();
    runtime.block_on(async { alert(&context(&server).await, "web", "firing", json!({})).await });
    let id = id_of(alone.port, "Down");
    let seen = wait_for(alone.port, &format!("/incidents/{id}"), &|page| page.body.contains("first_notification"));
    let there = wait_for(squelch.http, &format!("/incidents/{id}"), &|page| page.body.contains("first_notification"));
    assert_eq!(seen.body, there.body, "a page depends on what was published alone");

    let mut list = News::listen(alone.port, "/events");
    let mut one = News::listen(alone.port, &format!("/events?incident={id}&revision=0"));
    assert_eq!(one.next().unwrap().0, "revision", "what was published before the page listened is news as well");
    runtime.block_on(async { alert(&context(&server).await, "shop", "firing", json!({"severity": "warning"})).await });
    let (line, other) = loop {
        let (event, data) = list.next().unwrap();
        if event == "incident" && data.contains("shop") {
            break (data.clone(), attribute(&data, "id=\""));
        }
    };
    assert!(line.starts_with("<li class=\"incident warning\""), "{line}");
    // Filters count for news as well.
    let mut critical = News::listen(alone.port, "/events?severity=critical");
    runtime.block_on(async {
        let context = context(&server).await;
        alert(&context, "shop", "resolved", json!({"severity": "warning"})).await;
        alert(&context, "web", "resolved", json!({})).await;
    });
    while list.next().unwrap() != ("ended".into(), other.clone()) {}
    loop {
        let (event, data) = critical.next().unwrap();
        assert!(event == "ended" || data.contains(&id), "{event}: {data}");
        if event == "ended" && data == id {
            break;
        }
    }
    // What has ended can still be looked at, and is what happened before the next one like it.
    let ended = wait_for(alone.port, &format!("/incidents/{id}"), &|page| page.body.contains("status resolved"));
    assert!(ended.body.contains("resolved at"), "{}", ended.body);
    let past = get(alone.port, "/past");
    assert!(past.status == 200 && past.body.contains(&id) && past.body.contains(&other), "{}", past.body);
    assert_eq!(squelch.stop(), Some(0));
    assert_eq!(alone.stop(), Some(0), "pages that listen do not hold up the end");
    while list.next().is_some() {}
}
