//! What commands come to, as JSON: the answer that a sender gets, and each silence as it is now. The shapes are a contract; they are only
//! ever added to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::incident::command_answer::CommandAnswer;
use crate::incident::silence::{Silence, SilenceState};
use crate::model::command::SilenceTarget;
use crate::model::command::matcher::Matcher;
use crate::model::duration::format_ms;
use crate::model::time::format_rfc3339;

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnswerMessage {
    /// The command's id: a UUID.
    pub id: String,
    /// What kind of command it was.
    pub command: String,
    /// Who sent it.
    pub by: String,
    /// When it was decided, in event time (RFC 3339, UTC).
    pub at: String,
    /// Whether it did what it asked for.
    pub accepted: bool,
    /// Why not, where it was refused.
    pub reason: Option<String>,
    /// The revisions that follow from it.
    pub incidents: Vec<RevisionReference>,
    /// The silence that it made, changed or ended.
    pub silence: Option<String>,
}

/// A revision of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionReference {
    /// The incident.
    pub id: String,
    /// The number of its revision.
    pub revision: u32,
}

/// A silence as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SilenceMessage {
    /// A UUID.
    pub id: String,
    /// `pending`, `active` or `expired`.
    pub state: String,
    /// Where it is for alerts with these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<MatcherMessage>,
    /// Where it is for an incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Where it is for a node and all that depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The environment of that node; all where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// From when on (RFC 3339, UTC, as all times).
    pub from: String,
    /// Until when; null where it recurs for ever, or ends with its incident.
    pub to: Option<String>,
    /// Only at these times between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<RecurrenceMessage>,
    /// Who made it.
    pub by: String,
    /// Why.
    pub comment: String,
    /// It is for planned work.
    pub maintenance: bool,
    /// When it was made or last changed.
    pub updated_at: String,
}

/// A matcher, as Alertmanager's API has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatcherMessage {
    /// The label.
    pub name: String,
    /// The value.
    pub value: String,
    /// The value is a regular expression.
    pub is_regex: bool,
    /// What is the same matches.
    pub is_equal: bool,
}

/// Times that come again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecurrenceMessage {
    /// When each begins.
    pub cron: String,
    /// How long each lasts: `2h`.
    pub duration: String,
    /// The time zone of the pattern.
    pub time_zone: String,
}

impl From<&CommandAnswer> for AnswerMessage {
    fn from(answer: &CommandAnswer) -> Self {
        let accepted = answer.outcome.as_ref().ok();
        let revisions = accepted.map_or(&[][..], |accepted| &accepted.revisions);
        Self {
            id: answer.id.to_string(),
            command: answer.kind.to_string(),
            by: answer.by.to_string(),
            at: format_rfc3339(answer.at),
            accepted: accepted.is_some(),
            reason: answer.outcome.as_ref().err().cloned(),
            incidents: revisions
                .iter()
                .map(|(id, revision)| RevisionReference { id: id.to_string(), revision: *revision })
                .collect(),
            silence: accepted.and_then(|accepted| accepted.silence).map(|id| id.to_string()),
        }
    }
}

impl From<&Matcher> for MatcherMessage {
    fn from(matcher: &Matcher) -> Self {
        let (name, value) = (matcher.name().to_string(), matcher.value().to_string());
        Self { name, value, is_regex: matcher.op().is_regex(), is_equal: matcher.op().is_equal() }
    }
}

impl SilenceMessage {
    /// A silence in this state.
    pub fn new(silence: &Silence, state: SilenceState) -> Self {
        let (mut matchers, mut incident, mut node, mut of_env) = (Vec::new(), None, None, None);
        match &silence.target {
            SilenceTarget::Matchers(all) => matchers = all.iter().map(MatcherMessage::from).collect(),
            SilenceTarget::Incident(id) => incident = Some(id.to_string()),
            SilenceTarget::Node { name, env } => (node, of_env) = (Some(name.to_string()), env.as_ref().map(ToString::to_string)),
        }
        Self {
            id: silence.id.to_string(),
            state: state.as_str().into(),
            matchers,
            incident,
            node,
            env: of_env,
            from: format_rfc3339(silence.from),
            to: silence.end().map(format_rfc3339),
            recurrence: silence.recurrence.as_ref().map(|it| RecurrenceMessage {
                cron: it.cron().into(),
                duration: format_ms(it.duration_ms()),
                time_zone: it.zone().into(),
            }),
            by: silence.by.to_string(),
            comment: silence.comment.to_string(),
            maintenance: silence.is_maintenance,
            updated_at: format_rfc3339(silence.updated_at),
        }
    }
}

/// The subject of an answer: `<prefix>.<kind>.<id>`, so that its sender can wait for it alone.
pub fn answer_subject(prefix: &str, answer: &CommandAnswer) -> String {
    format!("{prefix}.{}.{}", answer.kind, answer.id)
}
