//! Any HTTP endpoint, signed as Standard Webhooks asks: the id is that of the revision, the same on every try, so that the other side can
//! drop repeats.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use serde::Deserialize;
use serde_json::json;
use serde_saphyr::Spanned;

use crate::model::time::format_rfc3339;
use crate::notify::call::{Answer, Call, HttpRequest, Request, Verdict};
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, Reading, Receiver, Wants};
use crate::notify::receivers::alertmanager_body;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;
use crate::notify::text::{Part, Texts};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to.
    pub url: Option<Spanned<String>>,
    /// The form of the body.
    pub body: WebhookBody,
    /// The body itself, where `body` is `template`.
    pub template: Option<Spanned<String>>,
    /// Its type, where it is a template.
    pub content_type: Option<String>,
    /// Every revision, and not only what a person is to be notified of.
    pub all_revisions: bool,
    /// The key of the signature: `whsec_` and base64. Two, with a space between them, while keys change.
    pub secret: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub secret_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub secret_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub secret_credential: Option<Spanned<String>>,
    /// The value of the header `Authorization`.
    pub authorization: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub authorization_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub authorization_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub authorization_credential: Option<Spanned<String>>,
}

/// The form of the body.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WebhookBody {
    /// The message of the revision, as on NATS.
    #[default]
    Squelch,
    /// The same in a CloudEvent, structured.
    Cloudevents,
    /// As Alertmanager's webhook.
    AlertmanagerV4,
    /// A template of the operator's.
    Template,
}

/// How a key of the signature begins.
const KEY_PREFIX: &str = "whsec_";
/// Bytes of a key, as Standard Webhooks asks.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl WebhookConfig {
    /// The keys of the signature's secret.
    pub fn secret(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "secret",
            inline: self.secret.as_ref(),
            file: self.secret_file.as_ref(),
            env: self.secret_env.as_ref(),
            credential: self.secret_credential.as_ref(),
        }
    }

    /// The keys of the header's secret.
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
    pub fn complain(&self, of: serde_saphyr::Location, all: &mut Vec<PlacedComplaint>) {
        all.extend(url::required(self.url.as_ref(), of, "https://example.com/hook"));
        all.extend(self.secret().place().err());
        all.extend(self.authorization().place().err());
        if self.body == WebhookBody::Template && self.template.is_none() {
            all.push(PlacedComplaint::at(of, "`template` is missing", "body: template needs the template of the body"));
        }
        if let Some(template) = self.template.as_ref().filter(|_| self.body != WebhookBody::Template) {
            all.push(PlacedComplaint::about(template, "`template` is not used", "add body: template, or drop it"));
        }
        if let Some(secret) = &self.secret
            && let Err(error) = signing_keys(&secret.value)
        {
            all.push(PlacedComplaint::about(secret, error, KEY_HINT));
        }
    }
}

/// How a key is made.
pub const KEY_HINT: &str = "make one with: echo whsec_$(openssl rand -base64 32)";

/// The keys that a secret holds.
pub fn signing_keys(secret: &Hidden) -> Result<Vec<hmac::Key>, String> {
    let key = |text: &str| {
        let encoded = text.strip_prefix(KEY_PREFIX).ok_or_else(|| format!("a key of the signature begins with {KEY_PREFIX}"))?;
        let bytes = BASE64.decode(encoded).map_err(|_| format!("what follows {KEY_PREFIX} is no base64"))?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(format!("a key of the signature has 24 to 64 bytes, this one has {}", bytes.len()));
        }
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    };
    secret.0.split_whitespace().map(key).collect()
}

/// An HTTP endpoint.
pub struct Webhook {
    name: String,
    url: String,
    config: WebhookConfig,
    keys: Vec<hmac::Key>,
    authorization: Option<Hidden>,
    texts: Texts,
}

impl Webhook {
    /// With its secrets.
    pub fn new(name: &str, config: &WebhookConfig, keys: Vec<hmac::Key>, authorization: Option<Hidden>, texts: Texts) -> Self {
        let url = config.url.as_ref().map(|url| url.value.clone()).unwrap_or_default();
        Self { name: name.into(), url, config: config.clone(), keys, authorization, texts }
    }

    fn body(&self, incident: &IncidentView) -> (String, Vec<u8>) {
        let json = |value: serde_json::Value| value.to_string().into_bytes();
        let link = self.texts.link(incident);
        match self.config.body {
            WebhookBody::Squelch => ("application/json".into(), json((*incident.body).clone())),
            WebhookBody::Cloudevents => ("application/cloudevents+json".into(), json(cloud_event(incident))),
            WebhookBody::AlertmanagerV4 => {
                ("application/json".into(), json(alertmanager_body::body(&self.name, incident, link.as_deref())))
            }
            WebhookBody::Template => {
                let kind = self.config.content_type.clone().unwrap_or_else(|| "application/json".into());
                match self.texts.own_part(Part::Body, incident) {
                    Some(Ok(text)) => (kind, text.into_bytes()),
                    // The other side gets squelch's own body, and why.
                    failed => {
                        let mut body = (*incident.body).clone();
                        body["template_error"] = json!(failed.and_then(Result::err));
                        ("application/json".into(), json(body))
                    }
                }
            }
        }
    }
}

/// The revision as a CloudEvent.
pub fn cloud_event(incident: &IncidentView) -> serde_json::Value {
    json!({
        "specversion": "1.0",
        "id": message_id(incident),
        "source": "/squelch",
        "type": format!("squelch.incident.{}", incident.change),
        "subject": incident.id,
        "time": format_rfc3339(incident.updated_at),
        "datacontenttype": "application/json",
        "data": *incident.body,
    })
}

/// The id of a revision.
pub fn message_id(incident: &IncidentView) -> String {
    format!("{}-{}", incident.id, incident.revision)
}

impl Receiver for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.config.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        if job.record.is_done("post") {
            return None;
        }
        let (kind, body) = self.body(job.incident);
        let mut headers = vec![("content-type", kind)];
        if !self.keys.is_empty() {
            let (id, timestamp) = (message_id(job.incident), (job.now_ms / 1_000).to_string());
            let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &body].concat();
            let sign = |key| format!("v1,{}", BASE64.encode(hmac::sign(key, &signed)));
            let signatures: Vec<String> = self.keys.iter().map(sign).collect();
            headers.extend([("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signatures.join(" "))]);
        }
        headers.extend(self.authorization.as_ref().map(|value| ("authorization", value.0.clone())));
        let request = HttpRequest { method: "POST", url: self.url.clone(), headers, body };
        Some(Call { step: "post", only_asks: false, request: Request::Http(request) })
    }

    fn read(&self, _: &Job<'_>, _: &Call, answer: &Answer) -> Reading {
        let verdict = match answer {
            // Standard Webhooks: the other side wants nothing any more.
            Answer::Http { status: 410, .. } => Verdict::Misconfigured(answer.in_words()),
            answer => answer.verdict(),
        };
        Reading { verdict, remote: Vec::new() }
    }
}
