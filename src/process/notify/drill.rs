//! A drill: a marked fake incident that goes the way of a real one, and a report of who was reached after how long.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::io::nats::client::connect;
use crate::io::nats::client::streams::Streams;
use crate::io::nats::notify::broker_clock::BrokerClock;
use crate::io::nats::notify::records::Records;
use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::format_rfc3339;
use crate::notify::incident_view::IncidentView;
use crate::notify::route::{Router, Target};
use crate::process::config::Config;

/// How often the records are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the fake incident looks like.
pub struct Drill {
    /// Its severity.
    pub severity: Severity,
    /// Its environment.
    pub env: String,
    /// The labels of its alert.
    pub labels: BTreeMap<String, String>,
    /// How long to wait for receivers.
    pub within: Duration,
}

/// The report for people, and whether everybody was reached.
pub async fn run(config: &Config, drill: &Drill) -> Result<(String, bool)> {
    let context = jetstream::new(connect::connect(&config.nats).await?);
    let streams = Streams::new(&context, config.nats.replicas);
    streams.output(&config.output).await?;
    let bucket = streams.notified(&config.output.notified).await?;
    let clock = BrokerClock::ask(&bucket).await.map_err(|error| anyhow!(error)).context("cannot ask for the time")?;
    let now_ms = clock.now_ms();
    let id = format!("inc-drill-{now_ms}");
    let first = message(&id, drill, now_ms);
    let incident = IncidentView::of(first.clone())?;
    let router = Router::new(&config.notifiers, &config.routes, config.time_zone);
    let mut wait_for: BTreeMap<String, Records> = BTreeMap::new();
    let mut report = String::new();
    for name in config.notifiers.keys() {
        match router.target(name, &incident, now_ms) {
            Some(Target::Now) => drop(wait_for.insert(name.clone(), Records::new(bucket.clone(), name))),
            Some(Target::After(ms)) => writeln!(report, "{name}: after {} only, not waited for", format_ms(ms))?,
            None => writeln!(report, "{name}: no route leads to it")?,
        }
    }
    if wait_for.is_empty() {
        bail!("no route leads such an incident to anybody: see `squelch route --explain`");
    }
    let subject = format!("{}.{}.{}.drill", config.output.subject, token(&drill.env), drill.severity);
    let publish = async |body: &Value| -> Result<()> {
        context
            .publish(subject.clone(), body.to_string().into())
            .await?
            .await
            .context("the fake incident is not stored")
            .map(drop)
    };
    let begun = Instant::now();
    publish(&first).await?;
    let mut why_not = BTreeMap::new();
    while !wait_for.is_empty() && begun.elapsed() < drill.within {
        sleep(LOOK_EVERY).await;
        for (name, records) in wait_for.clone() {
            let record = records.get(&id).await.map_err(|error| anyhow!(error)).context("a record cannot be read")?.record;
            if record.sent {
                writeln!(report, "{name}: reached after {:.1} s", begun.elapsed().as_secs_f64())?;
                wait_for.remove(&name);
            } else if let Some(why) = record.given_up {
                writeln!(report, "{name}: NOT reached: {why}")?;
                why_not.insert(name.clone(), why);
                wait_for.remove(&name);
            }
        }
    }
    for name in wait_for.keys() {
        let within = format_ms(drill.within.as_millis() as i64);
        writeln!(report, "{name}: NOT reached within {within}: see the log of the squelch that notifies, and its quiet hours")?;
    }
    publish(&end(&first, clock.now_ms())).await?;
    Ok((report, wait_for.is_empty() && why_not.is_empty()))
}

fn message(id: &str, drill: &Drill, now_ms: i64) -> Value {
    let (severity, now) = (drill.severity.as_str(), format_rfc3339(now_ms));
    let entity = drill.labels.get("service").map_or("squelch-drill", String::as_str);
    let summary = "This is a drill: nothing is broken. It goes the way of a real incident, to see who is reached.";
    json!({
        "id": id, "revision": 1, "change": "opened", "status": "open", "severity": severity, "env": drill.env, "drill": true,
        "title": "[DRILL] nothing is broken", "summary": summary, "started_at": now, "updated_at": now, "resolved_at": null,
        "root_cause": { "entity": entity, "score": 1.0, "reasons": ["this is a drill"] },
        "candidates": [], "entities": [entity], "links": [], "merged_into": null,
        "alerts": [{
            "fingerprint": "0000000000000000", "rule": "drill", "status": "firing", "severity": severity, "entity": entity,
            "labels": drill.labels, "value": 1.0, "started_at": now, "ended_at": null, "summary": "[DRILL] nothing is broken",
            "runbook": null, "description": null,
        }],
        "counts": { "firing": 1, "ended": 0, "by_severity": {}, "by_entity": {} },
        "notify": { "send": true, "code": "first_notification", "reason": "a drill" },
        "topology": { "version": 0, "hash": "0000000000000000" },
    })
}

fn end(first: &Value, now_ms: i64) -> Value {
    let mut end = first.clone();
    let now = json!(format_rfc3339(now_ms));
    (end["revision"], end["change"], end["status"]) = (json!(2), json!("resolved"), json!("resolved"));
    (end["updated_at"], end["resolved_at"]) = (now.clone(), now.clone());
    (end["alerts"][0]["status"], end["alerts"][0]["ended_at"]) = (json!("resolved"), now);
    end["notify"] = json!({ "send": true, "code": "resolved", "reason": "the drill is over" });
    end
}

fn token(text: &str) -> String {
    let safe: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
    if safe.is_empty() { "unknown".into() } else { safe }
}
