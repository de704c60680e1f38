//! The strictness that clients of Alertmanager rely on, asked of the router with a squelch of the test's own behind it.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use super::backend::{Backend, Outcome};
use super::router;
use crate::model::command::CommandKind;

const ACTIVE: &str = "7d5c2f0e-3a52-5d1b-9c55-000000000001";
const EXPIRED: &str = "7d5c2f0e-3a52-5d1b-9c55-000000000002";

/// One incident: `db` is the cause, `web` depends on it, `mail` is silenced and `shop` is under maintenance.
#[derive(Default)]
struct Known {
    sent: Mutex<Vec<(CommandKind, Map<String, Value>)>>,
    refuses: Option<String>,
}

fn alert(fingerprint: &str, entity: &str, silenced_by: &[&str]) -> Value {
    json!({
        "fingerprint": fingerprint, "rule": "Down", "status": "firing", "severity": "critical", "entity": entity,
        "labels": {"service": entity}, "value": 1.0, "started_at": "2026-03-14T02:00:00Z", "ended_at": null,
        "summary": format!("{entity} is down"), "runbook": null, "description": null, "silenced_by": silenced_by,
    })
}

fn silence(id: &str, state: &str) -> Value {
    json!({
        "id": id, "state": state, "matchers": [{"name": "service", "value": "mail", "isRegex": false, "isEqual": true}],
        "from": "2026-03-14T02:00:00Z", "to": "2026-03-14T04:00:00Z", "by": "ann", "comment": "known", "maintenance": false,
        "updated_at": "2026-03-14T02:00:00Z",
    })
}

impl Backend for Known {
    fn incidents(&self) -> BoxFuture<'_, Result<Vec<Value>, String>> {
        let maintenance = "7d5c2f0e-3a52-5d1b-9c55-000000000003";
        let incident = json!({
            "id": "inc-0123456789abcdef", "revision": 3, "status": "open", "severity": "critical", "env": "production",
            "title": "db is down", "updated_at": "2026-03-14T02:01:00.500Z", "root_cause": {"entity": "db"},
            "alerts": [
                alert("000000000000000b", "db", &[]), alert("000000000000000a", "web", &[]),
                alert("000000000000000c", "mail", &[ACTIVE]), alert("000000000000000d", "shop", &[maintenance]),
            ],
            "silenced": [{"id": ACTIVE, "maintenance": false}, {"id": maintenance, "maintenance": true}],
        });
        async move { Ok(vec![incident]) }.boxed()
    }

    fn silences(&self) -> BoxFuture<'_, Result<Vec<Value>, String>> {
        async { Ok(vec![silence(EXPIRED, "expired"), silence(ACTIVE, "active")]) }.boxed()
    }

    fn send(&self, kind: CommandKind, fields: Map<String, Value>) -> BoxFuture<'_, Result<Outcome, String>> {
        self.sent.lock().unwrap().push((kind, fields));
        let outcome = Outcome { refused: self.refuses.clone(), silence: Some(ACTIVE.into()) };
        async move { Ok(outcome) }.boxed()
    }

    fn configuration(&self, nobody: &str) -> String {
        json!({"route": {"receiver": nobody}, "receivers": [{"name": nobody}]}).to_string()
    }

    fn started_at(&self) -> String {
        "2026-03-14T00:00:00.000Z".into()
    }
}

fn ask(known: &Arc<Known>, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
    let answer = async {
        let response = router(Arc::clone(known) as Arc<dyn Backend>, true).oneshot(request).await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(headers.get("access-control-allow-origin").unwrap(), "*");
        assert_eq!(headers.get("cache-control").unwrap(), "no-store");
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
    };
    futures::executor::block_on(answer)
}

fn get(path: &str) -> Value {
    let (status, body) = ask(&Arc::default(), Method::GET, path, "");
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.iter().any(has_null),
        Value::Object(all) => all.values().any(has_null),
        _ => false,
    }
}

/// Of each alert the entity and the state.
fn states(alerts: &Value) -> Vec<String> {
    let one = |alert: &Value| {
        format!("{} {}", alert["labels"]["service"].as_str().unwrap(), alert["status"]["state"].as_str().unwrap())
    };
    alerts.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn nothing_is_ever_null_and_times_end_with_z() {
    for path in ["status", "receivers", "alerts", "alerts/groups", "silences", &format!("silence/{ACTIVE}")] {
        let body = get(&format!("/api/v2/{path}"));
        assert!(!has_null(&body), "{path}: {body}");
    }
    let alerts = get("/api/v2/alerts");
    assert_eq!(alerts[0]["startsAt"], "2026-03-14T02:00:00.000Z");
    assert_eq!(alerts[0]["updatedAt"], "2026-03-14T02:01:00.500Z");
    assert_eq!(alerts[0]["labels"]["alertname"], "Down");
}

#[test]
fn alerts_say_what_suppresses_them() {
    let alerts = get("/api/v2/alerts");
    assert_eq!(states(&alerts), ["web suppressed", "db active", "mail suppressed", "shop suppressed"]);
    let by = |at: usize, list: &str| alerts[at]["status"][list].as_array().unwrap().len();
    assert_eq!(alerts[0]["status"]["inhibitedBy"], json!(["000000000000000b"]));
    assert_eq!((by(2, "silencedBy"), by(2, "mutedBy"), by(3, "silencedBy"), by(3, "mutedBy")), (1, 0, 0, 1));
}

#[test]
fn parameters_exclude_and_what_is_empty_is_absent() {
    let of = |query: &str| states(&get(&format!("/api/v2/alerts?{query}")));
    assert_eq!(of("inhibited=false&silenced=false&receiver="), ["db active"]);
    assert_eq!(of("active=false&filter=service%3Dmail"), ["mail suppressed"]);
    assert_eq!(of("filter=service%3D~%22we.*%22&filter=severity%3Dcritical"), ["web suppressed"]);
    assert_eq!(of("receiver=other").len(), 0);
    let groups = get("/api/v2/alerts/groups?muted=false");
    assert_eq!((groups.as_array().unwrap().len(), &groups[0]["labels"]["incident"]), (1, &"inc-0123456789abcdef".into()));
    assert_eq!(groups[0]["alerts"].as_array().unwrap().len(), 3);
    assert_eq!(get("/api/v2/alerts/groups?receiver=other"), json!([]));
    for bad in ["alerts?active=maybe", "alerts?filter=nonsense", "silences?active=1x", "alerts/groups?receiver=("] {
        let (status, body) = ask(&Arc::default(), Method::GET, &format!("/api/v2/{bad}"), "");
        assert_eq!((status, body.is_string()), (StatusCode::BAD_REQUEST, true), "{bad}: {body}");
    }
}

#[test]
fn silences_are_listed_filtered_and_found() {
    let ids = |query: &str| -> Vec<String> {
        let all = get(&format!("/api/v2/silences{query}"));
        all.as_array().unwrap().iter().map(|silence| silence["id"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(ids(""), [ACTIVE, EXPIRED], "expired ones come last");
    assert_eq!(ids("?expired=false&filter=service%3Dmail"), [ACTIVE]);
    assert_eq!(ids("?filter=service%3Dweb").len(), 0);
    for id in ["7d5c2f0e-3a52-5d1b-9c55-00000000000f", "nonsense"] {
        let (status, body) = ask(&Arc::default(), Method::GET, &format!("/api/v2/silence/{id}"), "");
        assert_eq!((status, body.is_string()), (StatusCode::NOT_FOUND, true), "{body}");
    }
}

type Sent = Vec<(CommandKind, Map<String, Value>)>;

fn posted(fields: &str) -> (StatusCode, Value, Sent) {
    let known = Arc::new(Known::default());
    let body = format!(
        r#"{{"matchers":[{{"name":"service","value":"mail","isRegex":false,"isEqual":true}}],"createdBy":"ann","comment":"c",{fields}}}"#
    );
    let (status, body) = ask(&known, Method::POST, "/api/v2/silences", &body);
    let sent = known.sent.lock().unwrap().clone();
    (status, body, sent)
}

#[test]
fn a_posted_silence_becomes_a_command() {
    let (status, body, sent) = posted(r#""startsAt":"0001-01-01T00:00:00.000Z","endsAt":"2026-03-14T05:00:00.000Z""#);
    assert_eq!((status, body), (StatusCode::OK, json!({"silenceID": ACTIVE})));
    let (kind, fields) = &sent[0];
    assert_eq!(
        (*kind, &fields["by"], fields.get("from"), &fields["to"]),
        (CommandKind::Silence, &json!("ann"), None, &json!(1_773_464_400_000_i64))
    );
}

#[test]
fn an_edit_keeps_its_id_only_where_it_stays_the_same_silence() {
    let edit = |id: &str, starts: &str, matcher: &str| {
        let known = Arc::new(Known::default());
        let body = json!({
            "id": id, "createdBy": "ann", "comment": "c", "startsAt": starts, "endsAt": "2026-03-14T09:00:00Z",
            "matchers": [{"name": "service", "value": matcher, "isRegex": false}],
        });
        let (status, _) = ask(&known, Method::POST, "/api/v2/silences", &body.to_string());
        let sent = known.sent.lock().unwrap().first().map(|(_, fields)| fields.clone()).unwrap_or_default();
        (status.as_u16(), sent.contains_key("silence"), sent.contains_key("replaces"))
    };
    let began = "2026-03-14T02:00:00.000Z";
    assert_eq!(edit(ACTIVE, began, "mail"), (200, true, false));
    assert_eq!(edit(ACTIVE, "2026-03-14T03:00:00Z", "mail"), (200, false, true), "another beginning");
    assert_eq!(edit(ACTIVE, began, "shop"), (200, false, true), "other alerts");
    assert_eq!(edit(EXPIRED, began, "mail"), (200, false, false), "one that has ended is another");
    assert_eq!(edit("7d5c2f0e-3a52-5d1b-9c55-00000000000f", began, "mail").0, 404);
}

#[test]
fn a_silence_that_cannot_be_is_answered_with_400_and_a_text() {
    for fields in [
        r#""startsAt":"2026-03-14T05:00:00Z","endsAt":"2026-03-14T05:00:00Z""#,
        r#""startsAt":"2026-03-14T05:00:00Z""#,
        r#""endsAt":"nonsense""#,
    ] {
        let (status, body, sent) = posted(fields);
        assert_eq!((status, body.is_string(), sent.len()), (StatusCode::BAD_REQUEST, true, 0), "{fields}: {body}");
    }
    let known = Arc::new(Known { refuses: Some("it would end before it begins".into()), ..Known::default() });
    let body = r#"{"matchers":[],"createdBy":"ann","comment":"","endsAt":"2026-03-14T05:00:00Z"}"#;
    let (status, body) = ask(&known, Method::POST, "/api/v2/silences", body);
    assert_eq!((status, body), (StatusCode::BAD_REQUEST, json!("it would end before it begins")));
}

#[test]
fn deleting_ends_what_has_not_ended() {
    for (id, status, commands) in [(ACTIVE, 200, 1), (EXPIRED, 200, 0), ("7d5c2f0e-3a52-5d1b-9c55-00000000000f", 404, 0)] {
        let known = Arc::new(Known::default());
        let (got, _) = ask(&known, Method::DELETE, &format!("/api/v2/silence/{id}"), "");
        let sent = known.sent.lock().unwrap();
        assert_eq!((got.as_u16(), sent.len()), (status, commands), "{id}");
        assert!(sent.iter().all(|(kind, fields)| *kind == CommandKind::Expire && fields["silence"] == id));
    }
}

#[test]
fn there_is_no_page_for_everything() {
    let known: Arc<Known> = Arc::default();
    for path in ["/alertmanager/api/v2/status", "/api/v1/status/buildinfo", "/"] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response =
            futures::executor::block_on(router(Arc::clone(&known) as Arc<dyn Backend>, true).oneshot(request)).unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let (status, _) = ask(&known, Method::OPTIONS, "/api/v2/silences", "");
    assert_eq!(status, StatusCode::OK, "a preflight");
}

#[test]
fn where_others_reach_it_nothing_is_changed() {
    let known: Arc<Known> = Arc::default();
    for (method, path, status) in [
        (Method::POST, "/api/v2/silences".to_string(), StatusCode::FORBIDDEN),
        (Method::DELETE, format!("/api/v2/silence/{ACTIVE}"), StatusCode::FORBIDDEN),
        (Method::GET, "/api/v2/silences".to_string(), StatusCode::OK),
    ] {
        let request = Request::builder().method(method).uri(&path).body(Body::from("{}")).unwrap();
        let router = router(Arc::clone(&known) as Arc<dyn Backend>, false);
        assert_eq!(futures::executor::block_on(router.oneshot(request)).unwrap().status(), status, "{path}");
    }
    assert!(known.sent.lock().unwrap().is_empty());
}
