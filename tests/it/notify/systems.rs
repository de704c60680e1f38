//! Systems that keep records: each gets what its API asks for.

use serde_json::{Value, json};

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::stand_in::{Seen, StandIn};
use crate::support::nats::NatsServer;

/// Sends an incident from its first message to its end, with a revision without news between them.
fn life(
    settings: impl Fn(&str) -> String,
    answers: impl Fn(&Seen) -> Result<(u16, String), String> + Send + Sync + 'static,
) -> Vec<Seen> {
    let (server, stand_in) = (NatsServer::start(), StandIn::start(answers));
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &format!("notifiers:\n  it: {}\n", settings(&stand_in.url())));
    notifier.start();
    let first = Revision::new("inc-0000000000000001", "critical");
    for revision in [first.clone(), first.next(), first.next().resolved()] {
        incidents.publish(&revision);
        incidents.wait_until_done("it");
    }
    stand_in.check();
    notifier.stop();
    assert!(!notifier.log().contains("s3cret"), "a secret stands in no log");
    stand_in.seen()
}

fn needs(what: &str, condition: bool) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("wrong: {what}")) }
}

#[test]
fn elasticsearch_takes_documents_by_bulk_and_knows_them_again() {
    let seen = life(
        |url| format!("{{ elasticsearch: {{ url: \"{url}\", authorization: \"ApiKey s3cret\" }} }}"),
        |seen| {
            needs("path", seen.path == "/_bulk")?;
            needs(
                "type",
                seen.header("content-type") == "application/x-ndjson" && seen.header("authorization") == "ApiKey s3cret",
            )?;
            let text = String::from_utf8_lossy(&seen.body).to_string();
            needs("the last line ends", text.ends_with('\n') && text.lines().count() == 2)?;
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            needs("create", lines[0]["create"]["_index"] == "squelch-incidents" && lines[0]["create"]["_id"].is_string())?;
            needs("ECS", lines[1]["event"]["kind"] == "alert" && lines[1]["@timestamp"].is_string())?;
            // The second document is there already: that is success.
            let status = if lines[1]["squelch"]["incident"]["status"] == "resolved" { 409 } else { 201 };
            Ok((200, json!({ "errors": status == 409, "items": [{ "create": { "status": status } }] }).to_string()))
        },
    );
    assert_eq!(seen.len(), 2);
}

#[test]
fn splunk_takes_events() {
    let seen = life(
        |url| format!("{{ splunk_hec: {{ url: \"{url}\", token: s3cret, index: main }} }}"),
        |seen| {
            needs("path", seen.path == "/services/collector/event" && seen.header("authorization") == "Splunk s3cret")?;
            let event = seen.json();
            needs("event", event["event"]["id"].is_string() && event["time"].is_f64() && event["index"] == "main")?;
            Ok((200, r#"{"text":"Success","code":0}"#.into()))
        },
    );
    assert_eq!(seen.len(), 2);
}

#[test]
fn loki_takes_lines() {
    let seen = life(
        |url| format!("{{ loki: {{ url: \"{url}\", tenant: ops, all_revisions: true }} }}"),
        |seen| {
            needs("path", seen.path == "/loki/api/v1/push" && seen.header("x-scope-orgid") == "ops")?;
            let stream = &seen.json()["streams"][0];
            needs("labels", stream["stream"]["job"] == "squelch")?;
            let value = stream["values"][0].as_array().ok_or("values")?;
            needs("nanoseconds", value[0].as_str().is_some_and(|at| at.len() == 19) && value[1].is_string())?;
            Ok((204, String::new()))
        },
    );
    assert_eq!(seen.len(), 3, "all revisions");
}

#[test]
fn datadog_takes_events_that_belong_together() {
    let seen = life(
        |url| format!("{{ datadog: {{ url: \"{url}\", api_key: s3cret }} }}"),
        |seen| {
            needs("path", seen.path == "/api/v1/events" && seen.header("dd-api-key") == "s3cret")?;
            let event = seen.json();
            needs("title", event["title"].as_str().is_some_and(|title| !title.is_empty() && title.chars().count() <= 100))?;
            needs("text", event["text"].as_str().is_some_and(|text| text.chars().count() <= 4_000))?;
            needs("key", event["aggregation_key"] == "inc-0000000000000001")?;
            needs("kind", ["error", "warning", "info", "success"].contains(&event["alert_type"].as_str().unwrap_or_default()))?;
            Ok((202, r#"{"status":"ok"}"#.into()))
        },
    );
    assert_eq!(seen.iter().map(|seen| seen.json()["alert_type"].clone()).collect::<Vec<_>>(), ["error", "success"]);
}

#[test]
fn new_relic_takes_flat_events() {
    let seen = life(
        |url| format!("{{ newrelic: {{ url: \"{url}\", account_id: 1234567, api_key: s3cret }} }}"),
        |seen| {
            needs("path", seen.path == "/v1/accounts/1234567/events" && seen.header("api-key") == "s3cret")?;
            let events = seen.json();
            let event = events[0].as_object().ok_or("no object")?;
            needs("flat", event.values().all(|value| !value.is_object() && !value.is_array() && !value.is_null()))?;
            needs("type", event["eventType"] == "SquelchIncident")?;
            Ok((200, r#"{"success":true}"#.into()))
        },
    );
    assert_eq!(seen.len(), 2);
}

#[test]
fn grafana_gets_one_annotation_with_its_end() {
    let seen = life(
        |url| format!("{{ grafana: {{ url: \"{url}\", token: s3cret }} }}"),
        |seen| {
            needs("token", seen.header("authorization") == "Bearer s3cret")?;
            let annotation = seen.json();
            needs("time", annotation["time"].is_i64() && annotation["text"].is_string())?;
            match seen.path.as_str() {
                "/api/annotations" => Ok((200, r#"{"message":"Annotation added","id":17}"#.into())),
                "/api/annotations/17" => Ok((200, r#"{"message":"Annotation patched"}"#.into())),
                other => Err(format!("there is no {other}")),
            }
        },
    );
    assert_eq!(seen.iter().filter(|seen| seen.path == "/api/annotations").count(), 1);
    assert_eq!(seen.last().unwrap().json()["timeEnd"], 1_773_457_150_000_i64);
}

#[test]
fn teams_gets_cards() {
    let seen = life(
        |url| format!("{{ teams: {{ url: \"{url}/workflows/s3cret\" }} }}"),
        |seen| {
            needs("size", seen.body.len() <= 28_000)?;
            let card = &seen.json()["attachments"][0];
            needs("type", card["contentType"] == "application/vnd.microsoft.card.adaptive")?;
            needs("card", card["content"]["type"] == "AdaptiveCard" && card["content"]["body"][0]["text"].is_string())?;
            Ok((202, String::new()))
        },
    );
    assert_eq!(seen.len(), 2);
}

#[test]
fn alertmanagers_form_cloud_events_and_templates() {
    let of = |body: &'static str, check: fn(&Value) -> Result<(), String>| {
        let seen = life(
            move |url| format!("{{ webhook: {{ url: \"{url}\", {body} }} }}"),
            move |seen| check(&seen.json()).map(|()| (200, String::new())),
        );
        assert_eq!(seen.len(), 2, "{body}");
        seen
    };
    of("body: alertmanager_v4", |body| {
        let keys = [
            "version",
            "groupKey",
            "truncatedAlerts",
            "status",
            "receiver",
            "groupLabels",
            "commonLabels",
            "commonAnnotations",
            "externalURL",
            "alerts",
        ];
        needs("keys", keys.iter().all(|key| !body[key].is_null()) && body["version"] == "4")?;
        let alert = &body["alerts"][0];
        needs(
            "alert",
            alert["labels"]["alertname"] == "error_rate" && alert["startsAt"].is_string() && alert["endsAt"].is_string(),
        )
    });
    of("body: cloudevents", |body| {
        needs("cloud event", body["specversion"] == "1.0" && body["id"].is_string() && body["data"]["id"].is_string())
    });
    let seen =
        of("body: template, template: '{\"text\": {{ title | tojson }}}'", |body| needs("template", body["text"].is_string()));
    assert_eq!(seen[0].json(), json!({"text": "inc-0000000000000001: checkout fails"}));
    // A template that fails on this incident: the whole message goes out, and says so.
    let seen = of("body: template, template: '{{ title.no.such.thing }}'", |body| needs("id", body["id"].is_string()));
    assert!(seen[0].json()["template_error"].is_string(), "{}", seen[0].json());
}
