//! A subject on NATS that a stream holds: for whoever subscribes there and nowhere else.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::notify::call::{Call, Publish, Request};
use crate::notify::receiver::{Job, Receiver, Wants};
use crate::notify::receivers::webhook::{cloud_event, message_id};
use crate::notify::settings::complaint::PlacedComplaint;

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSubjectConfig {
    /// The subject, without wildcards.
    pub subject: Option<Spanned<String>>,
    /// The form of the body.
    pub body: NatsBody,
    /// Every revision, and not only what a person is to be notified of.
    pub all_revisions: bool,
}

/// The form of the body.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum NatsBody {
    /// The message of the revision.
    #[default]
    Squelch,
    /// The same in a CloudEvent.
    Cloudevents,
}

impl NatsSubjectConfig {
    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: Location, all: &mut Vec<PlacedComplaint>) {
        let is_subject = |text: &str| {
            let bad = |c: char| c.is_whitespace() || c.is_control() || "*>".contains(c);
            !text.starts_with('$') && text.split('.').all(|token| !token.is_empty() && !token.contains(bad))
        };
        match &self.subject {
            None => all.push(PlacedComplaint::at(of, "`subject` is missing", "write for example subject: pages.payments")),
            Some(subject) if !is_subject(&subject.value) => {
                let message = format!("{:?} is no subject to publish on", subject.value);
                all.push(PlacedComplaint::about(subject, message, "write for example pages.payments, without wildcards"));
            }
            Some(_) => {}
        }
    }
}

/// A subject.
pub struct NatsSubject {
    subject: String,
    config: NatsSubjectConfig,
}

impl NatsSubject {
    /// As set.
    pub fn new(config: &NatsSubjectConfig) -> Self {
        let subject = config.subject.as_ref().map(|subject| subject.value.clone()).unwrap_or_default();
        Self { subject, config: config.clone() }
    }
}

impl Receiver for NatsSubject {
    fn kind(&self) -> &'static str {
        "nats"
    }

    fn for_people(&self) -> bool {
        false
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: self.config.all_revisions }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        if job.record.is_done("publish") {
            return None;
        }
        let incident = job.incident;
        let (kind, body) = match self.config.body {
            NatsBody::Squelch => ("application/json", incident.body.to_string()),
            NatsBody::Cloudevents => ("application/cloudevents+json", cloud_event(incident).to_string()),
        };
        let publish = Publish {
            subject: self.subject.clone(),
            // The subject may be in a stream that holds the incidents as well.
            message_id: format!("{}-{}", self.subject, message_id(incident)),
            headers: vec![("Content-Type", kind.to_string())],
            body: body.into_bytes(),
        };
        Some(Call { step: "publish", only_asks: false, request: Request::Publish(publish) })
    }
}
