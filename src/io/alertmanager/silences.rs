//! Silences: each is a silence or a maintenance of squelch, and whatever changes one is a command.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::io::alertmanager::backend::{Backend, Outcome};
use crate::io::alertmanager::query::Params;
use crate::io::alertmanager::reply::{Refusal, Reply, bad, ok, refusal, time, unavailable};
use crate::model::command::{CommandId, CommandKind};
use crate::model::time::{EARLIEST_MS, TimestampMs, parse_rfc3339};

/// A silence as clients send it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    matchers: Vec<PostedMatcher>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    /// `null` is sent by clients of before there was such a field.
    #[serde(default)]
    is_equal: Option<bool>,
}

pub(crate) async fn all(State(backend): State<Arc<dyn Backend>>, Query(params): Query<Vec<(String, String)>>) -> Reply {
    let params = Params(params);
    let filters = params.matchers("filter").map_err(bad)?;
    let wanted = ["active", "pending", "expired"].map(|state| params.flag(state).map(|on| (state, on)));
    let wanted: Vec<(&str, bool)> = wanted.into_iter().collect::<Result<_, _>>().map_err(bad)?;
    let mut silences: Vec<Value> = backend.silences().await.map_err(unavailable)?.iter().map(shown).collect();
    silences.retain(|silence| {
        let is_wanted = wanted.iter().any(|(state, on)| *on && silence["status"]["state"] == *state);
        let value = |name: &str| {
            let matchers = silence["matchers"].as_array().into_iter().flatten();
            matchers.filter(|matcher| matcher["name"] == name).find_map(|matcher| matcher["value"].as_str())
        };
        is_wanted && filters.iter().all(|filter| filter.matches(value(filter.name()).unwrap_or_default()))
    });
    // Active ones by their end, then pending ones by their start, then expired ones, the latest first. Times are of one width.
    let text = |silence: &Value, field: &str| silence[field].as_str().unwrap_or_default().to_string();
    silences.sort_by_cached_key(|silence| match silence["status"]["state"].as_str() {
        Some("active") => (0, text(silence, "endsAt"), Reverse(String::new())),
        Some("pending") => (1, text(silence, "startsAt"), Reverse(String::new())),
        _ => (2, String::new(), Reverse(text(silence, "endsAt"))),
    });
    ok(&Value::Array(silences))
}

pub(crate) async fn one(State(backend): State<Arc<dyn Backend>>, Path(id): Path<String>) -> Reply {
    ok(&shown(&find(&*backend, &id).await?))
}

pub(crate) async fn delete(State(backend): State<Arc<dyn Backend>>, Path(id): Path<String>) -> Reply {
    let silence = find(&*backend, &id).await?;
    if silence["state"] != "expired" {
        let fields = Map::from_iter([("by".into(), "api".into()), ("silence".into(), id.into())]);
        let Outcome { refused, .. } = backend.send(CommandKind::Expire, fields).await.map_err(unavailable)?;
        // It may have ended by itself meanwhile.
        if let Some(reason) = refused.filter(|reason| !reason.contains("ended at")) {
            return Err(bad(reason));
        }
    }
    Ok(StatusCode::OK.into_response())
}

pub(crate) async fn post(State(backend): State<Arc<dyn Backend>>, body: Bytes) -> Reply {
    let posted: Posted = serde_json::from_slice(&body).map_err(bad)?;
    let (starts, ends) = (moment(posted.starts_at.as_ref()).map_err(bad)?, moment(posted.ends_at.as_ref()).map_err(bad)?);
    let ends = ends.ok_or_else(|| bad("endsAt in body is required"))?;
    if starts.is_some_and(|starts| starts >= ends) {
        return Err(bad("Failed to create silence: start time must be before end time"));
    }
    if posted.created_by.trim().is_empty() {
        return Err(bad("createdBy in body is required"));
    }
    let matchers: Vec<Value> = posted.matchers.iter().map(matcher).collect();
    let mut fields = Map::from_iter([
        ("by".into(), posted.created_by.into()),
        ("comment".into(), posted.comment.into()),
        ("to".into(), ends.into()),
        ("matchers".into(), matchers.clone().into()),
    ]);
    fields.extend(starts.map(|starts| ("from".to_string(), starts.into())));
    let mut kind = CommandKind::Silence;
    if let Some(id) = posted.id.filter(|id| !id.is_empty()) {
        let known = find(&*backend, &id).await?;
        // What was maintenance stays maintenance.
        kind = if known["maintenance"] == true { CommandKind::Maintenance } else { kind };
        let same = known["matchers"].as_array() == Some(&matchers);
        let began = known["from"].as_str().and_then(parse_rfc3339);
        let stays = known["state"] == "pending" || starts.is_none() || starts == began;
        match known["state"].as_str() {
            Some("expired") => {}
            _ if same && stays => drop(fields.insert("silence".into(), id.into())),
            _ => drop(fields.insert("replaces".into(), id.into())),
        }
    }
    match backend.send(kind, fields).await.map_err(unavailable)? {
        Outcome { refused: Some(reason), .. } => Err(bad(reason)),
        Outcome { silence, .. } => ok(&json!({"silenceID": silence.unwrap_or_default()})),
    }
}

/// A silence as it is shown to squelch's own clients.
async fn find(backend: &dyn Backend, id: &str) -> Result<Value, Refusal> {
    let missing = || refusal(StatusCode::NOT_FOUND, "silence not found");
    let id: CommandId = id.parse().map_err(|_| missing())?;
    let silences = backend.silences().await.map_err(unavailable)?;
    silences.into_iter().find(|silence| silence["id"] == *id.to_string()).ok_or_else(missing)
}

fn matcher(posted: &PostedMatcher) -> Value {
    let PostedMatcher { name, value, is_regex, is_equal } = posted;
    json!({"name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal.unwrap_or(true)})
}

/// A time that clients send. What lies before all events is one that was not set.
fn moment(text: Option<&String>) -> Result<Option<TimestampMs>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let at = parse_rfc3339(text).ok_or_else(|| format!("{text:?} is no RFC 3339 time"))?;
    Ok(Some(at).filter(|at| *at >= EARLIEST_MS))
}

/// A silence as Alertmanager shows it. What is for an incident or a node has a matcher that says so.
fn shown(silence: &Value) -> Value {
    let mut matchers = silence["matchers"].as_array().cloned().unwrap_or_default();
    for target in ["incident", "node", "env"] {
        let value = silence[target].as_str();
        matchers.extend(value.map(|value| json!({"name": target, "value": value, "isRegex": false, "isEqual": true})));
    }
    json!({
        "id": silence["id"],
        "status": {"state": silence["state"]},
        "matchers": matchers,
        "startsAt": time(&silence["from"], 0),
        "endsAt": time(&silence["to"], 0),
        "updatedAt": time(&silence["updated_at"], 0),
        "createdBy": silence["by"],
        "comment": silence["comment"],
        "annotations": {},
    })
}
