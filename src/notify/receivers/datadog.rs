//! Datadog: events, those of one incident together by their key.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use serde_saphyr::{Location, Spanned};

use crate::model::severity::Severity;
use crate::notify::call::Call;
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, Receiver, Wants};
use crate::notify::receivers::json_request;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;
use crate::notify::text::{Part, Texts, shortened_chars};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DatadogConfig {
    /// Another site: `https://api.datadoghq.eu`.
    pub url: Option<Spanned<String>>,
    /// Every revision, and not only what a person is to be notified of.
    pub all_revisions: bool,
    /// The API key.
    pub api_key: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub api_key_file: Option<Spanned<PathBuf>>,
    /// A variable of the environment that holds it.
    pub api_key_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub api_key_credential: Option<Spanned<String>>,
}

impl DatadogConfig {
    /// The keys of the secret.
    pub fn api_key(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "api_key",
            inline: self.api_key.as_ref(),
            file: self.api_key_file.as_ref(),
            env: self.api_key_env.as_ref(),
            credential: self.api_key_credential.as_ref(),
        }
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: Location, all: &mut Vec<PlacedComplaint>) {
        all.extend(self.url.as_ref().and_then(|address| url::complaint("url", address)));
        all.extend(self.api_key().required(of));
    }
}

/// Characters of a title.
const TITLE_CHARS_MAX: usize = 100;
/// Characters of a text.
const TEXT_CHARS_MAX: usize = 4_000;
/// Characters of the key that ties events together.
const KEY_CHARS_MAX: usize = 100;
const URL: &str = "https://api.datadoghq.com";

/// An organisation of Datadog.
pub struct Datadog {
    url: String,
    api_key: Hidden,
    all_revisions: bool,
    texts: Texts,
}

impl Datadog {
    /// With its key.
    pub fn new(config: &DatadogConfig, api_key: Hidden, texts: Texts) -> Self {
        let url = url::base(config.url.as_ref(), URL).to_string();
        Self { url, api_key, all_revisions: config.all_revisions, texts }
    }

    fn event(&self, incident: &IncidentView) -> serde_json::Value {
        let kind = match (incident.is_open(), incident.severity) {
            (false, _) => "success",
            (true, Severity::Critical) => "error",
            (true, Severity::Warning) => "warning",
            (true, Severity::Info) => "info",
        };
        let mut tags =
            vec!["source:squelch".to_string(), format!("env:{}", incident.env), format!("severity:{}", incident.severity)];
        tags.extend(incident.cause.as_ref().map(|cause| format!("service:{cause}")));
        json!({
            "title": shortened_chars(&self.texts.render(Part::Title, incident), TITLE_CHARS_MAX),
            "text": shortened_chars(&self.texts.render(Part::Text, incident), TEXT_CHARS_MAX),
            "alert_type": kind,
            "aggregation_key": shortened_chars(&incident.id, KEY_CHARS_MAX),
            "date_happened": incident.updated_at / 1_000,
            "priority": "normal",
            "tags": tags,
        })
    }
}

impl Receiver for Datadog {
    fn kind(&self) -> &'static str {
        "datadog"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let headers = vec![("dd-api-key", self.api_key.0.clone())];
        let url = format!("{}/api/v1/events", self.url);
        (!job.record.is_done("event")).then(|| json_request::post("event", url, headers, &self.event(job.incident)))
    }
}
