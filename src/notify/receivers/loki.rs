//! Loki: a line a revision, by its push API.

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
pub struct LokiConfig {
    /// Where to: `https://loki.example.com`.
    pub url: Option<Spanned<String>>,
    /// The tenant, `X-Scope-OrgID`.
    pub tenant: Option<String>,
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

impl LokiConfig {
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
        all.extend(url::required(self.url.as_ref(), of, "https://loki.example.com"));
        all.extend(self.authorization().place().err());
    }
}

/// A tenant of Loki.
pub struct Loki {
    url: String,
    tenant: Option<String>,
    authorization: Option<Hidden>,
    all_revisions: bool,
}

impl Loki {
    /// With its secret.
    pub fn new(config: &LokiConfig, authorization: Option<Hidden>) -> Self {
        let url = url::base(config.url.as_ref(), "").to_string();
        Self { url, tenant: config.tenant.clone(), authorization, all_revisions: config.all_revisions }
    }

    /// Labels of few values: each set of them is a stream. All else is in the line.
    fn push(incident: &IncidentView) -> serde_json::Value {
        let env = if incident.env.is_empty() { "unknown" } else { &incident.env };
        let labels = json!({ "job": "squelch", "env": env, "severity": incident.severity.as_str() });
        let line = incident.body.to_string();
        json!({ "streams": [{ "stream": labels, "values": [[format!("{}000000", incident.updated_at), line]] }] })
    }
}

impl Receiver for Loki {
    fn kind(&self) -> &'static str {
        "loki"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let mut headers: Vec<json_request::Header> = Vec::new();
        headers.extend(self.tenant.as_ref().map(|tenant| ("x-scope-orgid", tenant.clone())));
        headers.extend(self.authorization.as_ref().map(|value| ("authorization", value.0.clone())));
        let url = format!("{}/loki/api/v1/push", self.url);
        (!job.record.is_done("push")).then(|| json_request::post("push", url, headers, &Self::push(job.incident)))
    }
}
