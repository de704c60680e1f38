//! New Relic: a custom event a revision, flat, by its Event API.

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
use crate::notify::text::shortened_chars;

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NewRelicConfig {
    /// The account.
    pub account_id: Option<Spanned<u64>>,
    /// Another region: `https://insights-collector.eu01.nr-data.net`.
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

impl NewRelicConfig {
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
        if self.account_id.is_none() {
            all.push(PlacedComplaint::at(of, "`account_id` is missing", "write for example account_id: 1234567"));
        }
        all.extend(self.api_key().required(of));
    }
}

/// Characters of an attribute.
const VALUE_CHARS_MAX: usize = 4_000;
const URL: &str = "https://insights-collector.newrelic.com";

/// An account of New Relic.
pub struct NewRelic {
    url: String,
    api_key: Hidden,
    all_revisions: bool,
}

impl NewRelic {
    /// With its key.
    pub fn new(config: &NewRelicConfig, api_key: Hidden) -> Self {
        let url = url::base(config.url.as_ref(), URL);
        let account = config.account_id.as_ref().map_or(0, |account| account.value);
        Self { url: format!("{url}/v1/accounts/{account}/events"), api_key, all_revisions: config.all_revisions }
    }

    fn event(incident: &IncidentView) -> serde_json::Value {
        let text = |text: &str| json!(shortened_chars(text, VALUE_CHARS_MAX));
        let mut event = json!({
            "eventType": "SquelchIncident",
            "timestamp": incident.updated_at,
            "incident": incident.id,
            "revision": incident.revision,
            "change": incident.change,
            "open": incident.is_open(),
            "severity": incident.severity.as_str(),
            "environment": incident.env,
            "title": text(&incident.title),
            "summary": text(&incident.summary),
            "entities": text(&incident.entities.join(", ")),
            "reason": text(&incident.reason),
        });
        if let Some(cause) = &incident.cause {
            event["cause"] = text(cause);
        }
        json!([event])
    }
}

impl Receiver for NewRelic {
    fn kind(&self) -> &'static str {
        "newrelic"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let headers = vec![("api-key", self.api_key.0.clone())];
        (!job.record.is_done("event")).then(|| json_request::post("event", self.url.clone(), headers, &Self::event(job.incident)))
    }
}
