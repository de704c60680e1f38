//! One incident at one revision: the cause and why, what happened in which order, why the alerts belong together, and every decision to
//! notify people or not.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::model::time::{TimestampMs, format_rfc3339, parse_rfc3339};
use crate::notify::incident_view::IncidentView;
use crate::page::drawing::drawing;
use crate::page::pages::{Frame, Pages, Reader};
use crate::page::past::{Similar, Step};

/// Alerts in the picture of the timeline, the earliest of each entity first.
const TIMELINE_ENTITIES_MAX: usize = 60;
/// How wide the bars of the timeline are in units of the drawing.
const TIMELINE_WIDTH: f64 = 600.0;
/// The height of a line of the timeline.
const LINE_HEIGHT: usize = 22;
/// The least width of a bar: one that lasts for a moment must be seen.
const BAR_WIDTH_MIN: f64 = 4.0;

/// What is known of an incident.
#[derive(Debug)]
pub struct IncidentPage<'a> {
    /// The revision that is shown.
    pub view: &'a IncidentView,
    /// All revisions that are still known, in order.
    pub steps: &'a [Step],
    /// Incidents of before that were alike.
    pub similar: &'a [Similar],
    /// Whether the revision is the newest one.
    pub is_newest: bool,
    /// What a form that was just sent came to.
    pub done: Option<&'a str>,
    /// Why what is shown may be old.
    pub trouble: Option<&'a str>,
}

impl IncidentPage<'_> {
    /// The page.
    pub fn render(&self, pages: &Pages, reader: &Reader) -> String {
        let (view, body) = (self.view, &self.view.body);
        let numbers: Vec<u32> = self.steps.iter().map(|step| step.revision).collect();
        let (first, last) = (numbers.first().copied().unwrap_or(view.revision), numbers.last().copied().unwrap_or(view.revision));
        let before = numbers.iter().rev().find(|number| **number < view.revision);
        let after = numbers.iter().find(|number| **number > view.revision);
        let mut decisions: Vec<&Step> = self.steps.iter().collect();
        decisions.reverse();
        let values = json!({
            "id": view.id, "revision": view.revision, "first": first, "last": last, "before": before, "after": after,
            "is_newest": self.is_newest, "is_open": view.is_open(), "status": body["status"], "severity": view.severity.to_string(),
            "env": view.env, "title": view.title, "summary": view.summary, "started_at": format_rfc3339(view.started_at),
            "updated_at": format_rfc3339(view.updated_at), "resolved_at": view.resolved_at.map(format_rfc3339),
            "merged_into": view.merged_into, "split_from": body["split_from"], "acknowledged": body["acknowledged"],
            "owner": view.owner, "silences": body["silenced"], "notes": body["notes"], "cause": body["root_cause"],
            "others": others(body), "alerts": self.alerts(), "links": links(body), "counts": body["counts"], "left_out": body["left_out"],
            "runbooks": runbooks(body), "timeline": self.timeline(), "decisions": decisions,
            "times_notified": self.steps.iter().filter(|step| step.send).count(), "similar": self.similar, "done": self.done,
            "notify": body["notify"], "matchers": self.matchers(),
        });
        let address = match self.is_newest {
            true => format!("/incidents/{}", view.id),
            false => format!("/incidents/{}?revision={}", view.id, view.revision),
        };
        let listens = format!("/events?incident={}&revision={last}", view.id);
        let listens = if view.is_open() || !self.is_newest { listens.as_str() } else { "" };
        let frame = Frame { title: &view.title, section: "open", address: &address, listens, trouble: self.trouble };
        let drawing = drawing(pages, reader, body);
        pages.page("incident.html", &frame, reader, values, &[("drawing", drawing)])
    }

    /// The alerts as the message lists them, each with whether it is about the cause.
    fn alerts(&self) -> Vec<Json> {
        let body = &self.view.body;
        let marked = list(&body["alerts"]).iter().map(|alert| {
            let mut alert = alert.clone();
            alert["is_cause"] = (!alert["entity"].is_null() && alert["entity"] == body["root_cause"]["entity"]).into();
            alert
        });
        marked.collect()
    }

    /// Labels that all firing alerts share: what a silence is likely to be about.
    fn matchers(&self) -> Vec<String> {
        let firing: Vec<_> = self.view.alerts.iter().filter(|alert| alert.firing).collect();
        let Some(first) = firing.first() else { return Vec::new() };
        let shared = first.labels.iter().filter(|label| firing.iter().all(|alert| alert.labels.contains(label)));
        shared.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// When the alerts of each entity fired, as bars from the first beginning to the time of the revision.
    fn timeline(&self) -> Json {
        let mut entities: BTreeMap<&str, Vec<(TimestampMs, TimestampMs, &Json)>> = BTreeMap::new();
        let (mut from, mut to) = (self.view.started_at, self.view.updated_at);
        for alert in list(&self.view.body["alerts"]) {
            let Some(began) = alert["started_at"].as_str().and_then(parse_rfc3339) else { continue };
            let ended = alert["ended_at"].as_str().and_then(parse_rfc3339).unwrap_or(self.view.updated_at).max(began);
            (from, to) = (from.min(began), to.max(ended));
            entities.entry(alert["entity"].as_str().unwrap_or("–")).or_default().push((began, ended, alert));
        }
        let scale = TIMELINE_WIDTH / (to - from).max(1) as f64;
        let mut lines: Vec<(&str, Vec<_>)> = entities.into_iter().collect();
        for (_, alerts) in &mut lines {
            alerts.sort_by_key(|(began, ended, _)| (*began, *ended));
        }
        // In the order in which they began to suffer.
        lines.sort_by_key(|(entity, alerts)| (alerts.first().map(|(began, ..)| *began), *entity));
        let left_out = lines.len().saturating_sub(TIMELINE_ENTITIES_MAX);
        let cause = self.view.cause.as_deref();
        let shown = lines.iter().take(TIMELINE_ENTITIES_MAX).enumerate().map(|(at, (entity, alerts))| {
            let bars = alerts.iter().map(|(began, ended, alert)| {
                let width = ((ended - began) as f64 * scale).max(BAR_WIDTH_MIN);
                let x = ((began - from) as f64 * scale).min(TIMELINE_WIDTH - width);
                json!({"x": tenths(x), "width": tenths(width), "severity": alert["severity"], "summary": alert["summary"], "rule": alert["rule"],
                    "started_at": alert["started_at"], "ended_at": alert["ended_at"]})
            });
            json!({"entity": entity, "y": at * LINE_HEIGHT, "is_cause": cause == Some(*entity), "bars": bars.collect::<Vec<_>>()})
        });
        let lines: Vec<Json> = shown.collect();
        json!({"height": lines.len() * LINE_HEIGHT, "width": TIMELINE_WIDTH, "lines": lines, "left_out": left_out,
            "from": format_rfc3339(from), "to": format_rfc3339(to)})
    }
}

/// The candidates besides the likeliest one.
fn others(body: &Json) -> Vec<&Json> {
    list(&body["candidates"]).iter().filter(|candidate| candidate["entity"] != body["root_cause"]["entity"]).collect()
}

/// Links of different entities first: that alerts of one entity belong together is least surprising.
fn links(body: &Json) -> Vec<&Json> {
    let mut links: Vec<&Json> = list(&body["links"]).iter().collect();
    links.sort_by_key(|link| link["from"] == link["to"]);
    links
}

/// Where to read on, of the cause's alerts first; each address once.
fn runbooks(body: &Json) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let of_cause = |alert: &&Json| alert["entity"] == body["root_cause"]["entity"];
    let alerts = || list(&body["alerts"]).iter();
    for runbook in alerts().filter(of_cause).chain(alerts()).filter_map(|alert| alert["runbook"].as_str()) {
        if !found.contains(&runbook) {
            found.push(runbook);
        }
    }
    found
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}
