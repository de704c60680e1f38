//! Alerts and their groups. A group is an incident. An alert that the likeliest cause explains is inhibited by the cause's alert, one under
//! a silence is silenced, and one under maintenance is muted.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use serde_json::{Value, json};

use crate::io::alertmanager::backend::Backend;
use crate::io::alertmanager::query::Params;
use crate::io::alertmanager::reply::{RECEIVER, Reply, bad, ok, time, unavailable};
use crate::model::command::matcher::Matcher;
use crate::model::time::DAY_MS;

/// How long an alert that fires is said to last: clients want an end, and it has none yet.
const LASTS_MS: i64 = DAY_MS;

pub(crate) async fn alerts(State(backend): State<Arc<dyn Backend>>, Query(params): Query<Vec<(String, String)>>) -> Reply {
    let wanted = Wanted::of(&Params(params)).map_err(bad)?;
    let incidents = backend.incidents().await.map_err(unavailable)?;
    let mut all: Vec<Value> = incidents.iter().flat_map(|incident| wanted.alerts(incident)).collect();
    all.sort_by(|a, b| a["fingerprint"].as_str().cmp(&b["fingerprint"].as_str()));
    ok(&Value::Array(all))
}

pub(crate) async fn groups(State(backend): State<Arc<dyn Backend>>, Query(params): Query<Vec<(String, String)>>) -> Reply {
    let wanted = Wanted::of(&Params(params)).map_err(bad)?;
    let incidents = backend.incidents().await.map_err(unavailable)?;
    let groups = incidents.iter().filter_map(|incident| {
        let alerts: Vec<Value> = wanted.alerts(incident).collect();
        let labels = json!({
            "incident": text(incident, "id"), "env": text(incident, "env"), "severity": text(incident, "severity"),
            "title": text(incident, "title"),
        });
        let receiver = json!({"name": RECEIVER, "labels": {}});
        (!alerts.is_empty()).then(|| json!({"labels": labels, "routeLabels": {}, "receiver": receiver, "alerts": alerts}))
    });
    ok(&Value::Array(groups.collect()))
}

/// Which alerts are asked for.
#[derive(Debug)]
struct Wanted {
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
    is_receiver: bool,
    filters: Vec<Matcher>,
}

impl Wanted {
    fn of(params: &Params) -> Result<Self, String> {
        // No alert is ever unprocessed; the flag must be one all the same.
        params.flag("unprocessed")?;
        Ok(Self {
            active: params.flag("active")?,
            silenced: params.flag("silenced")?,
            inhibited: params.flag("inhibited")?,
            muted: params.flag("muted")?,
            is_receiver: params.is_receiver(RECEIVER)?,
            filters: params.matchers("filter")?,
        })
    }

    /// The firing alerts of an incident that are asked for.
    fn alerts(&self, incident: &Value) -> impl Iterator<Item = Value> {
        let alerts = incident["alerts"].as_array().map_or(&[][..], Vec::as_slice);
        let cause = cause(incident, alerts);
        let firing = alerts.iter().filter(|alert| alert["status"] == "firing");
        let shown = firing.map(move |alert| shown(incident, alert, cause));
        shown.filter(move |alert| self.includes(alert))
    }

    fn includes(&self, alert: &Value) -> bool {
        let by = |list: &str| alert["status"][list].as_array().is_some_and(|by| !by.is_empty());
        let matches = |matcher: &Matcher| matcher.matches(alert["labels"][matcher.name()].as_str().unwrap_or_default());
        self.is_receiver
            && (self.active || alert["status"]["state"] != "active")
            && (self.silenced || !by("silencedBy"))
            && (self.inhibited || !by("inhibitedBy"))
            && (self.muted || !by("mutedBy"))
            && self.filters.iter().all(matches)
    }
}

/// The entity that is the likeliest cause and its worst alert, where one fires.
fn cause<'i>(incident: &'i Value, alerts: &'i [Value]) -> Option<(&'i str, &'i str)> {
    let entity = incident["root_cause"]["entity"].as_str()?;
    let of_cause = alerts.iter().filter(|alert| alert["status"] == "firing" && alert["entity"] == entity);
    let worst = of_cause.max_by_key(|alert| (rank(text(alert, "severity")), std::cmp::Reverse(text(alert, "fingerprint"))))?;
    Some((entity, text(worst, "fingerprint")))
}

fn rank(severity: &str) -> usize {
    ["info", "warning", "critical"].iter().position(|known| *known == severity).unwrap_or(0)
}

/// An alert as Alertmanager shows it.
fn shown(incident: &Value, alert: &Value, cause: Option<(&str, &str)>) -> Value {
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    let own = alert["labels"].as_object().into_iter().flatten();
    labels.extend(own.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
    labels.insert("alertname", text(alert, "rule"));
    labels.insert("severity", text(alert, "severity"));
    labels.entry("env").or_insert(text(incident, "env"));
    let notes = [("summary", "summary"), ("description", "description"), ("runbook", "runbook_url")];
    let notes = notes.iter().filter_map(|(field, name)| Some((*name, alert[*field].as_str().filter(|note| !note.is_empty())?)));
    let annotations: BTreeMap<&str, &str> = notes.collect();
    let maintenance: Vec<&str> = incident["silenced"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|silence| silence["maintenance"] == true)
        .map(|silence| text(silence, "id"))
        .collect();
    let by = alert["silenced_by"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let (muted, silenced): (Vec<&str>, Vec<&str>) = by.partition(|id| maintenance.contains(id));
    let inhibited: Vec<&str> = cause
        .filter(|(entity, _)| alert["entity"].as_str().is_some_and(|own| own != *entity))
        .map(|(_, fingerprint)| fingerprint)
        .into_iter()
        .collect();
    let suppressed = !(muted.is_empty() && silenced.is_empty() && inhibited.is_empty());
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": time(&alert["started_at"], 0),
        "endsAt": time(&incident["updated_at"], LASTS_MS),
        "updatedAt": time(&incident["updated_at"], 0),
        "fingerprint": text(alert, "fingerprint"),
        "generatorURL": "",
        "receivers": [{"name": RECEIVER, "labels": {}}],
        "status": {
            "state": if suppressed { "suppressed" } else { "active" },
            "silencedBy": silenced,
            "inhibitedBy": inhibited,
            "mutedBy": muted,
        },
    })
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}
