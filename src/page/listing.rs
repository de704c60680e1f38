//! Lists of incidents: which belong on a page, in which order, and the line that each gets.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::model::limits::PAGE_INCIDENTS_MAX;
use crate::model::severity::Severity;
use crate::model::time::format_rfc3339;
use crate::notify::incident_view::IncidentView;
use crate::page::pages::{Frame, Pages, Reader};
use crate::page::past::Past;
use crate::page::text::in_address;

/// Which incidents are wanted: as the address of the page says it, so that a view can be sent to somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this environment.
    pub env: Option<String>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// With this word in title, cause, entities or labels.
    pub word: Option<String>,
    /// The page, from 1.
    pub page: usize,
}

impl Wanted {
    /// What the fields of a query ask for. A field that means nothing is an error that says what is possible.
    pub fn of(fields: &[(String, String)]) -> Result<Self, String> {
        let field = |name: &str| {
            let value = fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value.trim());
            value.filter(|value| !value.is_empty())
        };
        let severity =
            field("severity").map(|text| text.parse().map_err(|_| format!("{text:?} is no severity: info, warning or critical")));
        let page = field("page").map(|text| match text.parse::<usize>() {
            Ok(page) if page > 0 => Ok(page),
            _ => Err(format!("{text:?} is no page: pages are numbered from 1")),
        });
        Ok(Self {
            env: field("env").map(String::from),
            severity: severity.transpose()?,
            word: field("q").map(str::to_lowercase),
            page: page.transpose()?.unwrap_or(1),
        })
    }

    /// Whether an incident is wanted.
    pub fn includes(&self, view: &IncidentView) -> bool {
        self.env.as_ref().is_none_or(|env| *env == view.env)
            && self.severity.is_none_or(|severity| view.severity >= severity)
            && self.word.as_ref().is_none_or(|word| mentions(view, word))
    }

    /// The address of a page of the same list.
    fn address(&self, page: usize) -> String {
        let severity = self.severity.map(|severity| severity.to_string());
        let fields = [("env", self.env.as_deref()), ("severity", severity.as_deref()), ("q", self.word.as_deref())];
        let mut query: Vec<String> =
            fields.iter().filter_map(|(name, value)| Some(format!("{name}={}", in_address((*value)?)))).collect();
        if page > 1 {
            query.push(format!("page={page}"));
        }
        if query.is_empty() { "/incidents".into() } else { format!("/incidents?{}", query.join("&")) }
    }
}

fn mentions(view: &IncidentView, word: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(word);
    let labels = || view.alerts.iter().flat_map(|alert| alert.labels.iter().map(|(_, value)| value));
    has(&view.title)
        || has(&view.id)
        || view.entities.iter().any(|entity| has(entity))
        || view.alerts.iter().any(|alert| has(&alert.rule))
        || labels().any(|value| has(value))
}

/// The open incidents that are wanted. `None`: there is no such page.
pub fn open_incidents(
    pages: &Pages,
    reader: &Reader,
    wanted: &Wanted,
    mut open: Vec<Arc<IncidentView>>,
    past: &Past,
    trouble: Option<&str>,
) -> Option<String> {
    let mut envs: Vec<String> = open.iter().map(|view| view.env.clone()).collect();
    envs.sort();
    envs.dedup();
    let all = open.len();
    open.retain(|view| wanted.includes(view));
    // The worst first, and of those the newest; what somebody takes care of comes last.
    open.sort_by(|a, b| {
        let rank = |view: &IncidentView| (view.acknowledged_by.is_none(), view.severity, view.started_at);
        rank(b).cmp(&rank(a)).then_with(|| a.id.cmp(&b.id))
    });
    let pages_of_list = open.len().div_ceil(PAGE_INCIDENTS_MAX).max(1);
    if wanted.page > pages_of_list {
        return None;
    }
    let shown = open.iter().skip((wanted.page - 1) * PAGE_INCIDENTS_MAX).take(PAGE_INCIDENTS_MAX);
    let rows: String = shown.map(|view| row(pages, reader, view, past)).collect();
    let address = wanted.address(wanted.page);
    let values = json!({
        "count": open.len(), "all": all, "envs": envs, "env": wanted.env, "severity": wanted.severity.map(|severity| severity.to_string()),
        "word": wanted.word, "page": wanted.page, "pages": pages_of_list, "is_filtered": wanted != &Wanted { page: wanted.page, ..Wanted::default() },
        "before": (wanted.page > 1).then(|| wanted.address(wanted.page - 1)),
        "after": (wanted.page < pages_of_list).then(|| wanted.address(wanted.page + 1)),
    });
    let title = format!("{} ({})", reader.language.text("Open incidents"), open.len());
    // News of what is not asked for would only disturb.
    let listens = address.replacen("/incidents", "/events", 1);
    let frame = Frame { title: &title, section: "open", address: &address, listens: &listens, trouble };
    Some(pages.page("incidents.html", &frame, reader, values, &[("rows", rows)]))
}

/// The newest incidents that are known, open or not.
pub fn past_incidents(pages: &Pages, reader: &Reader, past: &Past, trouble: Option<&str>) -> String {
    let mut all: Vec<_> = past.all().collect();
    all.sort_by_key(|(id, incident)| (Reverse(incident.started_at), *id));
    let lines = all.into_iter().take(PAGE_INCIDENTS_MAX).map(|(id, incident)| {
        json!({
            "id": id, "title": incident.title, "severity": incident.severity.to_string(), "env": incident.env, "cause": incident.cause,
            "status": incident.status_name(), "started_at": format_rfc3339(incident.started_at),
            "resolved_at": incident.resolved_at.map(format_rfc3339), "notified": incident.steps.iter().filter(|step| step.send).count(),
        })
    });
    let values = json!({"incidents": lines.collect::<Vec<_>>()});
    let frame = Frame { title: reader.language.text("Past incidents"), section: "past", address: "/past", listens: "", trouble };
    pages.page("past.html", &frame, reader, values, &[])
}

/// The line of one incident.
pub fn row(pages: &Pages, reader: &Reader, view: &IncidentView, past: &Past) -> String {
    pages.part("incident_row.html", reader, line(view, past))
}

/// What a line shows.
fn line(view: &IncidentView, past: &Past) -> Json {
    let body = &view.body;
    let firing =
        body["counts"]["firing"].as_u64().unwrap_or_else(|| view.alerts.iter().filter(|alert| alert.firing).count() as u64);
    let silence = body["silenced"].as_array().and_then(|silences| silences.first());
    json!({
        "id": view.id, "revision": view.revision, "severity": view.severity.to_string(), "title": view.title, "env": view.env,
        "cause": view.cause, "status": body["status"], "started_at": format_rfc3339(view.started_at),
        "resolved_at": view.resolved_at.map(format_rfc3339), "firing": firing, "entities": view.entities.len(),
        "acknowledged": body["acknowledged"], "owner": view.owner, "silence": silence.cloned().unwrap_or_default(),
        "notified": past.times_notified(view), "send": view.send, "reason": view.reason,
    })
}
