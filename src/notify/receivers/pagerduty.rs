//! PagerDuty, by its Events API v2: one key an incident, so that a repeat opens nothing. Infos are change events, which notify nobody.
//! The end, and a merge, resolve the key; an acknowledgement in squelch acknowledges it.

use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::Spanned;

use crate::model::severity::Severity;
use crate::model::time::format_rfc3339;
use crate::notify::call::{Answer, Call, HttpRequest, Request, Verdict};
use crate::notify::incident_view::{IncidentView, ViewStatus};
use crate::notify::receiver::{Job, News, Reading, Receiver, Wants};
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;
use crate::notify::text::{Part, Texts, runbooks, shortened_chars};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PagerDutyConfig {
    /// The integration key of a service.
    pub routing_key: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub routing_key_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub routing_key_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub routing_key_credential: Option<Spanned<String>>,
    /// The secret of a V3 webhook subscription: who acknowledges in PagerDuty then acknowledges the incident.
    pub webhook_secret: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub webhook_secret_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub webhook_secret_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub webhook_secret_credential: Option<Spanned<String>>,
    /// Another region, or a relay: <https://events.eu.pagerduty.com>.
    pub url: Option<Spanned<String>>,
    /// Template of the summary.
    pub title: Option<Spanned<String>>,
    /// Template of the details.
    pub text: Option<Spanned<String>>,
}

/// Characters of a summary.
const SUMMARY_CHARS_MAX: usize = 1_024;
/// Characters of `source`, `component` and the like.
const FIELD_CHARS_MAX: usize = 255;
/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 512_000;
/// How long to wait after a 429, at least: PagerDuty counts by the minute.
const BUSY_MS: i64 = 30_000;
const URL: &str = "https://events.pagerduty.com";
/// What the record remembers: that the key is open, and that it was acknowledged from here.
const TRIGGERED: &str = "triggered";
const ACKNOWLEDGED: &str = "acknowledged";

impl PagerDutyConfig {
    /// The keys of the secret.
    pub fn secret(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "routing_key",
            inline: self.routing_key.as_ref(),
            file: self.routing_key_file.as_ref(),
            env: self.routing_key_env.as_ref(),
            credential: self.routing_key_credential.as_ref(),
        }
    }

    /// The keys of the webhooks' secret.
    pub fn webhook_secret(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "webhook_secret",
            inline: self.webhook_secret.as_ref(),
            file: self.webhook_secret_file.as_ref(),
            env: self.webhook_secret_env.as_ref(),
            credential: self.webhook_secret_credential.as_ref(),
        }
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: serde_saphyr::Location, all: &mut Vec<PlacedComplaint>) {
        all.extend(self.webhook_secret().place().err());
        match self.secret().place() {
            Err(complaint) => all.push(complaint),
            Ok(None) => {
                let hint = "set routing_key_file, routing_key_env or routing_key_credential to where it is";
                all.push(PlacedComplaint::at(of, "`routing_key` is missing", hint));
            }
            Ok(Some(_)) => {}
        }
        all.extend(self.url.as_ref().and_then(|address| url::complaint("url", address)));
    }
}

/// A service of PagerDuty.
pub struct PagerDuty {
    key: Hidden,
    url: String,
    texts: Texts,
}

impl PagerDuty {
    /// With its key.
    pub fn new(config: &PagerDutyConfig, key: Hidden, texts: Texts) -> Self {
        let url = url::base(config.url.as_ref(), URL);
        Self { key, url: url.into(), texts }
    }

    fn event(&self, action: &str, incident: &IncidentView) -> Vec<u8> {
        let mut event = json!({
            "routing_key": self.key.0,
            "event_action": action,
            "dedup_key": incident.id,
        });
        if action != "acknowledge" {
            event["client"] = json!("squelch");
            event["links"] = self.links(incident);
            event["payload"] = self.payload(incident);
            event["payload"]["severity"] = json!(severity(incident.severity));
            event["payload"]["component"] = incident.cause.as_deref().map_or(Value::Null, field);
            event["payload"]["group"] = field(&incident.env);
            event["payload"]["class"] = incident.alerts.first().map_or(Value::Null, |alert| field(&alert.rule));
        }
        bounded(event)
    }

    fn change(&self, incident: &IncidentView) -> Vec<u8> {
        let payload = self.payload(incident);
        bounded(json!({ "routing_key": self.key.0, "payload": payload, "links": self.links(incident) }))
    }

    fn payload(&self, incident: &IncidentView) -> Value {
        let source = incident.cause.as_ref().or(incident.entities.first()).map_or(incident.env.as_str(), String::as_str);
        let source = if source.is_empty() { "squelch" } else { source };
        json!({
            "summary": shortened_chars(&self.texts.render(Part::Title, incident), SUMMARY_CHARS_MAX),
            "source": field(source),
            "timestamp": format_rfc3339(incident.started_at),
            "custom_details": {
                "summary": self.texts.render(Part::Text, incident),
                "incident": incident.id,
                "revision": incident.revision,
                "reason": incident.reason,
                "entities": incident.entities,
                "candidates": incident.body["candidates"],
                "counts": incident.body["counts"],
                "alerts": incident.body["alerts"],
            },
        })
    }

    fn links(&self, incident: &IncidentView) -> Value {
        let page = self.texts.link(incident).map(|link| json!({ "href": link, "text": "The incident in squelch" }));
        let survivor = incident.merged_into.as_ref().map(|id| {
            let survivor = IncidentView { id: id.clone(), ..incident.clone() };
            (id, self.texts.link(&survivor))
        });
        let survivor = survivor.and_then(|(id, link)| Some(json!({ "href": link?, "text": format!("It is part of {id}") })));
        let runbooks = runbooks(incident).into_iter().map(|runbook| json!({ "href": runbook, "text": "Runbook" }));
        page.into_iter().chain(survivor).chain(runbooks).collect()
    }

    fn call(&self, step: &'static str, path: &str, body: Vec<u8>) -> Option<Call> {
        let headers = vec![("content-type", "application/json".to_string())];
        let request = HttpRequest { method: "POST", url: format!("{}{path}", self.url), headers, body };
        Some(Call { step, only_asks: false, request: Request::Http(request) })
    }
}

impl Receiver for PagerDuty {
    fn kind(&self) -> &'static str {
        "pagerduty"
    }

    fn for_people(&self) -> bool {
        true
    }

    fn wants(&self) -> Wants {
        // Of edits only acknowledgements count.
        Wants { edits: true, past: false, all: false }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let Job { incident, record, .. } = job;
        let is_set = |key: &str| record.remote.get(key).is_some_and(|value| !value.is_empty());
        let triggered = is_set(TRIGGERED);
        let to_do = |step: &str| !record.is_done(step);
        if incident.status != ViewStatus::Open {
            return if triggered && to_do("resolve") {
                self.call("resolve", "/v2/enqueue", self.event("resolve", incident))
            } else {
                None
            };
        }
        if job.news != News::Edit && to_do("event") {
            return if incident.severity == Severity::Info && !triggered {
                self.call("event", "/v2/change/enqueue", self.change(incident))
            } else {
                self.call("event", "/v2/enqueue", self.event("trigger", incident))
            };
        }
        let acknowledge = triggered && incident.acknowledged_by.is_some() && !is_set(ACKNOWLEDGED);
        if acknowledge && to_do("acknowledge") {
            return self.call("acknowledge", "/v2/enqueue", self.event("acknowledge", incident));
        }
        None
    }

    fn read(&self, job: &Job<'_>, call: &Call, answer: &Answer) -> Reading {
        let verdict = match answer.verdict() {
            Verdict::Retry { why, after_ms, unknown } if matches!(answer, Answer::Http { status: 429, .. }) => {
                Verdict::Retry { why, after_ms: Some(after_ms.unwrap_or(0).max(BUSY_MS)), unknown }
            }
            verdict => verdict,
        };
        let paged = matches!(&call.request, Request::Http(request) if request.url.ends_with("/v2/enqueue"));
        let remote = match call.step {
            "event" if paged => vec![(TRIGGERED, "yes".to_string()), (ACKNOWLEDGED, String::new())],
            "acknowledge" => vec![(ACKNOWLEDGED, job.incident.acknowledged_by.clone().unwrap_or_default())],
            "resolve" => vec![(TRIGGERED, String::new()), (ACKNOWLEDGED, String::new())],
            _ => Vec::new(),
        };
        Reading { remote: if verdict == Verdict::Done { remote } else { Vec::new() }, verdict }
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn field(text: &str) -> Value {
    Value::String(shortened_chars(text, FIELD_CHARS_MAX))
}

/// What is too long for PagerDuty goes without its details, and says so.
fn bounded(mut event: Value) -> Vec<u8> {
    let text = event.to_string();
    if text.len() <= REQUEST_BYTES_MAX {
        return text.into_bytes();
    }
    event["payload"]["custom_details"] =
        json!({ "left_out": format!("the details are left out: {} bytes, PagerDuty takes {REQUEST_BYTES_MAX}", text.len()) });
    event.to_string().into_bytes()
}
