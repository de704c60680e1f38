//! Floor 2: alerts. Their life from breach to pending, firing and resolved ([`lifecycle`]), and the alerts of other systems
//! ([`external`]), which have the same life from firing on. Pure: no clock, no I/O.

pub mod external;
pub mod external_entity;
pub mod lifecycle;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::fingerprint::Fingerprint;
use crate::model::labels::Labels;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// The environment of alerts that name none.
pub const DEFAULT_ENV: &str = "default";

/// A rule and a label set that once fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The identity: rule and labels.
    pub fingerprint: Fingerprint,
    /// The rule, or what another system calls the alert.
    pub rule: Arc<str>,
    /// Never falls while the alert fires.
    pub severity: Severity,
    /// The environment, from the `env` label.
    pub env: Arc<str>,
    /// The topology node that the alert is about, where the labels name one.
    pub entity: Option<Arc<str>>,
    /// The node that calls the entity, where the alert is about an edge between them.
    pub peer: Option<Arc<str>>,
    /// The labels.
    pub labels: Labels,
    /// The value of the breach with which it fired, or with which its severity last rose. Its texts quote this value.
    pub value: f64,
    /// How far that value departs from what is usual, where the rule computes it.
    pub score: Option<f64>,
    /// The tick of the first breach: when it began, not when `for` had passed.
    pub started_at: TimestampMs,
    /// The time between two evaluations.
    pub period_ms: i64,
    /// How far each evaluation looks back. A longer window shows the same thing later.
    pub window_ms: i64,
    /// When it began to fire.
    pub fired_at: TimestampMs,
    /// When it ended.
    pub ended_at: Option<TimestampMs>,
    /// Why, once it has ended.
    pub end_reason: EndReason,
    /// For a person.
    pub texts: Texts,
}

impl Alert {
    /// Whether it fires now.
    pub fn is_firing(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Why it ended; nothing while it fires.
    pub fn ended_because(&self) -> Option<EndReason> {
        self.ended_at.map(|_| self.end_reason)
    }

    /// The same alert after its end.
    pub fn ended(&self, at: TimestampMs, end_reason: EndReason) -> Self {
        Self { ended_at: Some(at), end_reason, ..self.clone() }
    }

    /// What the alert is about, for people: the entity, else the rule.
    pub fn subject(&self) -> &str {
        self.entity.as_deref().unwrap_or(&self.rule)
    }
}

/// Why an alert ended. Only one of these means that all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndReason {
    /// Its condition no longer holds, or the system that raised it says that it is resolved.
    #[default]
    Recovered,
    /// Another system did not report it any more, and never said that it is resolved.
    Expired,
    /// What is missing stayed away so long that its rule no longer waits for it.
    Forgotten,
    /// Its rule was removed.
    RuleRemoved,
    /// Its rule was changed, and the rule as it is now does not fire for it.
    RuleChanged,
    /// Its rule is suspended because it broke a limit.
    RuleSuspended,
    /// Its rule has as many alerts as it may, and a more severe one took its place.
    Displaced,
    /// A person ended it; the system that reported it did not.
    ResolvedByHand,
}

impl EndReason {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Recovered => "recovered",
            EndReason::Expired => "expired",
            EndReason::Forgotten => "forgotten",
            EndReason::RuleRemoved => "rule_removed",
            EndReason::RuleChanged => "rule_changed",
            EndReason::RuleSuspended => "rule_suspended",
            EndReason::Displaced => "displaced",
            EndReason::ResolvedByHand => "resolved_by_hand",
        }
    }

    /// The reason in a sentence, of an alert of `rule` about `subject`.
    pub fn describe(self, rule: &str, subject: &str) -> String {
        match self {
            EndReason::Recovered => format!("{subject} recovered"),
            EndReason::Expired => format!("{rule} on {subject} was neither repeated nor resolved by the system that reported it"),
            EndReason::Forgotten => format!("{rule} no longer waits for {subject}, which never returned"),
            EndReason::RuleRemoved => format!("the rule {rule} was removed while it fired for {subject}"),
            EndReason::RuleChanged => format!("the rule {rule} was changed while it fired for {subject}"),
            EndReason::RuleSuspended => format!("the rule {rule} was suspended while it fired for {subject}"),
            EndReason::Displaced => {
                format!("{rule} has too many alerts, and a more severe one took the place of that for {subject}")
            }
            EndReason::ResolvedByHand => format!("{rule} on {subject} was ended by hand"),
        }
    }
}

/// What an alert tells a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// One line.
    pub summary: Option<String>,
    /// More.
    pub description: Option<String>,
    /// Where to read on.
    pub runbook: Option<String>,
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It ended.
    Resolved,
    /// It fires at a higher severity than before.
    Escalated,
    /// It began to fire.
    Fired,
}

/// A change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// What happened.
    pub change: Change,
    /// The alert after it.
    pub alert: Arc<Alert>,
}

/// The environment that labels name.
pub fn env_of(labels: &Labels) -> Arc<str> {
    labels.get("env").unwrap_or(DEFAULT_ENV).into()
}

/// The caller that labels name, where the rule says which label does. A node does not call itself.
pub fn peer_of(labels: &Labels, asked: Option<&str>, entity: Option<&str>) -> Option<Arc<str>> {
    asked.and_then(|label| labels.get(label)).filter(|peer| entity.is_some_and(|entity| entity != *peer)).map(Arc::from)
}

/// The topology node that labels name: the asked-for label, else `service`, else `host`.
pub fn entity_of(labels: &Labels, asked: Option<&str>) -> Option<Arc<str>> {
    let value = match asked {
        Some(label) => labels.get(label),
        None => labels.get("service").or_else(|| labels.get("host")),
    };
    value.map(Arc::from)
}
