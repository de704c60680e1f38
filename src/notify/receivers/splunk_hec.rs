//! Splunk: an event a revision, by its HTTP Event Collector.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use serde_saphyr::{Location, Spanned};

use crate::notify::call::Call;
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, Receiver, Wants};
use crate::notify::receivers::json_request;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SplunkHecConfig {
    /// Where to: `https://splunk.example.com:8088`.
    pub url: Option<Spanned<String>>,
    /// The index; that of the token where it is not set.
    pub index: Option<String>,
    /// Every revision, and not only what a person is to be notified of.
    pub all_revisions: bool,
    /// The token.
    pub token: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub token_file: Option<Spanned<PathBuf>>,
    /// A variable of the environment that holds it.
    pub token_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub token_credential: Option<Spanned<String>>,
}

impl SplunkHecConfig {
    /// The keys of the secret.
    pub fn token(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "token",
            inline: self.token.as_ref(),
            file: self.token_file.as_ref(),
            env: self.token_env.as_ref(),
            credential: self.token_credential.as_ref(),
        }
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: Location, all: &mut Vec<PlacedComplaint>) {
        all.extend(url::required(self.url.as_ref(), of, "https://splunk.example.com:8088"));
        all.extend(self.token().place().err());
    }
}

/// A collector of Splunk.
pub struct SplunkHec {
    url: String,
    index: Option<String>,
    token: Hidden,
    all_revisions: bool,
}

impl SplunkHec {
    /// With its token.
    pub fn new(config: &SplunkHecConfig, token: Hidden) -> Self {
        let url = url::base(config.url.as_ref(), "").to_string();
        Self { url, index: config.index.clone(), token, all_revisions: config.all_revisions }
    }

    fn event(&self, incident: &IncidentView) -> serde_json::Value {
        let mut event = json!({
            "time": incident.updated_at as f64 / 1e3,
            "source": "squelch",
            "sourcetype": "squelch:incident",
            "event": *incident.body,
        });
        if let Some(index) = &self.index {
            event["index"] = json!(index);
        }
        event
    }
}

impl Receiver for SplunkHec {
    fn kind(&self) -> &'static str {
        "splunk_hec"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let headers = vec![("authorization", format!("Splunk {}", self.token.0))];
        let url = format!("{}/services/collector/event", self.url);
        (!job.record.is_done("event")).then(|| json_request::post("event", url, headers, &self.event(job.incident)))
    }
}
