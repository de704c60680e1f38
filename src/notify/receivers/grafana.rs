//! Grafana: an annotation an incident, which gets its end when the incident does.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use serde_saphyr::{Location, Spanned};

use crate::notify::call::{Answer, Call, Request, Verdict};
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, News, Reading, Receiver, Wants};
use crate::notify::receivers::json_request;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;
use crate::notify::text::{Part, Texts};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GrafanaConfig {
    /// Where to: `https://grafana.example.com`.
    pub url: Option<Spanned<String>>,
    /// The dashboard; all of the organisation where it is not set.
    pub dashboard_uid: Option<String>,
    /// The token.
    pub token: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub token_file: Option<Spanned<PathBuf>>,
    /// A variable of the environment that holds it.
    pub token_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub token_credential: Option<Spanned<String>>,
}

impl GrafanaConfig {
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
        all.extend(url::required(self.url.as_ref(), of, "https://grafana.example.com"));
        all.extend(self.token().place().err());
    }
}

/// What the record remembers.
const ID: &str = "id";

/// An organisation of Grafana.
pub struct Grafana {
    url: String,
    dashboard_uid: Option<String>,
    token: Hidden,
    texts: Texts,
}

impl Grafana {
    /// With its token.
    pub fn new(config: &GrafanaConfig, token: Hidden, texts: Texts) -> Self {
        let url = url::base(config.url.as_ref(), "").to_string();
        Self { url, dashboard_uid: config.dashboard_uid.clone(), token, texts }
    }

    fn annotation(&self, incident: &IncidentView) -> serde_json::Value {
        let text = format!("{}\n{}", self.texts.render(Part::Title, incident), self.texts.render(Part::Text, incident));
        let mut tags = vec!["squelch".to_string(), incident.env.clone(), incident.severity.to_string()];
        tags.extend(incident.cause.clone());
        tags.retain(|tag| !tag.is_empty());
        let mut annotation = json!({ "time": incident.started_at, "tags": tags, "text": text });
        if let Some(end) = incident.resolved_at {
            annotation["timeEnd"] = json!(end);
        }
        annotation
    }
}

impl Receiver for Grafana {
    fn kind(&self) -> &'static str {
        "grafana"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: true, past: true, all: false }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        if job.record.is_done("annotation") {
            return None;
        }
        let headers = vec![("authorization", format!("Bearer {}", self.token.0))];
        let annotation = self.annotation(job.incident);
        match job.record.remote.get(ID).filter(|id| !id.is_empty()) {
            None if job.news == News::Edit => None,
            None => {
                let mut annotation = annotation;
                if let Some(dashboard) = &self.dashboard_uid {
                    annotation["dashboardUID"] = json!(dashboard);
                }
                Some(json_request::post("annotation", format!("{}/api/annotations", self.url), headers, &annotation))
            }
            Some(id) => {
                let url = format!("{}/api/annotations/{id}", self.url);
                Some(json_request::send("annotation", "PATCH", url, headers, &annotation))
            }
        }
    }

    fn read(&self, _: &Job<'_>, call: &Call, answer: &Answer) -> Reading {
        let posted = matches!(&call.request, Request::Http(request) if request.method == "POST");
        let id = match answer {
            Answer::Http { status: 200, body, .. } if posted => serde_json::from_slice::<serde_json::Value>(body).ok(),
            // Somebody deleted it: a new one takes its place.
            Answer::Http { status: 404, .. } if !posted => {
                return Reading { verdict: Verdict::WasDone(false), remote: vec![(ID, String::new())] };
            }
            _ => None,
        };
        let id = id.and_then(|body| body["id"].as_u64());
        Reading { verdict: answer.verdict(), remote: id.map(|id| vec![(ID, id.to_string())]).unwrap_or_default() }
    }
}
