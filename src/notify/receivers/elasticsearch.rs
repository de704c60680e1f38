//! Elasticsearch and OpenSearch: a document a revision, in the fields of ECS, by `_bulk` with `create`: what was there before is not
//! written again.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};

use crate::model::severity::Severity;
use crate::model::time::format_rfc3339;
use crate::notify::call::{Answer, Call, HttpRequest, Request, Verdict};
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, Reading, Receiver, Wants};
use crate::notify::receivers::webhook::message_id;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// Where to: `https://elastic.example.com:9200`.
    pub url: Option<Spanned<String>>,
    /// The index or data stream; `squelch-incidents` where it is not set.
    pub index: Option<Spanned<String>>,
    /// Every revision, and not only what a person is to be notified of.
    pub all_revisions: bool,
    /// The value of the header `Authorization`.
    pub authorization: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub authorization_file: Option<Spanned<PathBuf>>,
    /// A variable of the environment that holds it.
    pub authorization_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub authorization_credential: Option<Spanned<String>>,
}

/// The index where none is set.
const INDEX: &str = "squelch-incidents";

impl ElasticsearchConfig {
    /// The keys of the secret.
    pub fn authorization(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "authorization",
            inline: self.authorization.as_ref(),
            file: self.authorization_file.as_ref(),
            env: self.authorization_env.as_ref(),
            credential: self.authorization_credential.as_ref(),
        }
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: Location, all: &mut Vec<PlacedComplaint>) {
        all.extend(url::required(self.url.as_ref(), of, "https://elastic.example.com:9200"));
        let is_index = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
        };
        if let Some(index) = self.index.as_ref().filter(|index| !is_index(&index.value)) {
            let message = format!("{:?} is no name of an index", index.value);
            all.push(PlacedComplaint::about(index, message, "use small letters, digits, -, _ and ."));
        }
        all.extend(self.authorization().place().err());
    }
}

/// An index of Elasticsearch or OpenSearch.
pub struct Elasticsearch {
    url: String,
    index: String,
    authorization: Option<Hidden>,
    all_revisions: bool,
}

impl Elasticsearch {
    /// With its secret.
    pub fn new(config: &ElasticsearchConfig, authorization: Option<Hidden>) -> Self {
        let url = url::base(config.url.as_ref(), "").to_string();
        let index = config.index.as_ref().map_or(INDEX, |index| index.value.as_str()).to_string();
        Self { url, index, authorization, all_revisions: config.all_revisions }
    }
}

fn document(incident: &IncidentView) -> Value {
    let severity = match incident.severity {
        Severity::Critical => 90,
        Severity::Warning => 60,
        Severity::Info => 20,
    };
    json!({
        "@timestamp": format_rfc3339(incident.updated_at),
        "message": incident.title,
        "event": {
            "kind": "alert",
            "id": message_id(incident),
            "action": incident.change,
            "severity": severity,
            "start": format_rfc3339(incident.started_at),
            "end": incident.resolved_at.map(format_rfc3339),
            "reason": incident.summary,
            "module": "squelch",
            "dataset": "squelch.incident",
        },
        "service": { "name": incident.cause, "environment": incident.env },
        "log": { "level": incident.severity.as_str() },
        "squelch": { "incident": *incident.body },
    })
}

impl Receiver for Elasticsearch {
    fn kind(&self) -> &'static str {
        "elasticsearch"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        if job.record.is_done("bulk") {
            return None;
        }
        let action = json!({ "create": { "_index": self.index, "_id": message_id(job.incident) } });
        let body = format!("{action}\n{}\n", document(job.incident)).into_bytes();
        let mut headers = vec![("content-type", "application/x-ndjson".to_string())];
        headers.extend(self.authorization.as_ref().map(|value| ("authorization", value.0.clone())));
        let request = HttpRequest { method: "POST", url: format!("{}/_bulk", self.url), headers, body };
        Some(Call { step: "bulk", only_asks: false, request: Request::Http(request) })
    }

    fn read(&self, _: &Job<'_>, _: &Call, answer: &Answer) -> Reading {
        Reading { verdict: verdict(answer), remote: Vec::new() }
    }
}

/// The status of the one document counts, and not that of the request.
fn verdict(answer: &Answer) -> Verdict {
    let Answer::Http { status: 200, body, retry_after_s } = answer else { return answer.verdict() };
    let unreadable =
        || Verdict::Retry { why: format!("no answer to _bulk: {}", answer.in_words()), after_ms: None, unknown: true };
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return unreadable() };
    let item = &body["items"][0]["create"];
    match item["status"].as_u64().and_then(|status| u16::try_from(status).ok()) {
        // The document is there already.
        Some(409) => Verdict::Done,
        Some(status) => {
            let error = item["error"].to_string().into_bytes();
            let error = if (200..300).contains(&status) { Vec::new() } else { error };
            Answer::Http { status, retry_after_s: *retry_after_s, body: error }.verdict()
        }
        None => unreadable(),
    }
}
