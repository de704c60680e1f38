//! An incident revision as the world sees it: one JSON message. The shape is a contract; it is only ever added to.

pub mod alert_update;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::alert::{Alert, EndReason};
use crate::incident::handling::{Acknowledgement, Note};
use crate::incident::link::Link;
use crate::incident::revision::{Candidate, LeftOut, Revision};
use crate::incident::silence::SilenceNotice;
use crate::incident::tally::Tally;
use crate::model::limits::SUBJECT_TOKEN_BYTES_MAX;
use crate::model::time::format_rfc3339;

/// One revision of one incident.
#[derive(Serialize, JsonSchema)]
pub struct IncidentMessage {
    /// The same through all revisions, and in every run over the same events.
    pub id: String,
    /// From 1, rising by one.
    pub revision: u32,
    /// What this revision is about.
    pub change: Change,
    /// Where the incident is in its life.
    pub status: Status,
    /// The loudest of its alerts so far.
    pub severity: Severity,
    /// The environment that all its alerts are of.
    pub env: String,
    /// One line for a person.
    pub title: String,
    /// What a person needs besides the title: how bad, since when, the likeliest cause, and what fails with it.
    pub summary: String,
    /// When the first of its alerts began (RFC 3339, UTC, as all times).
    #[schemars(with = "Time")]
    pub started_at: String,
    /// When this revision was made, in event time.
    #[schemars(with = "Time")]
    pub updated_at: String,
    /// When its last alert ended.
    #[schemars(with = "Option<Time>")]
    pub resolved_at: Option<String>,
    /// The likeliest cause.
    pub root_cause: Option<RootCause>,
    /// The team that owns the likeliest cause, else the first entity that has one: from the lookup `owners`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Possible causes, likeliest first.
    pub candidates: Vec<CandidateMessage>,
    /// The entities that alert, or did, sorted: of more than 200 those that fail, the worst first.
    pub entities: Vec<String>,
    /// Its alerts, the earliest first: of more than 100 the most telling. `counts` has all.
    pub alerts: Vec<AlertMessage>,
    /// What ties the alerts, strongest first: of more than 100 the strongest.
    pub links: Vec<LinkMessage>,
    /// How many alerts there are, whether they are listed or not.
    pub counts: CountsMessage,
    /// The incident that carries on, where this one turned out to be part of it.
    pub merged_into: Option<String>,
    /// The incident that it was part of before it was split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_from: Option<String>,
    /// Whether a person is to be notified of this revision.
    pub notify: Notify,
    /// The dependency graph that the causes of this revision were ranked on.
    pub topology: TopologyMessage,
    /// Who takes care of it: repeats and escalation stop until it gets worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<AcknowledgedMessage>,
    /// The silences and maintenances under which alerts of it fire, the one that lasts longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silenced: Vec<SilencedMessage>,
    /// Who is in charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What people noted, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteMessage>,
    /// Only where something is missing: how many entries of which list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<BTreeMap<String, u64>>,
    /// Only where alerts are missing: how many of which rule, of the twenty rules with the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out_rules: Option<BTreeMap<String, u64>>,
}

/// Who takes care of an incident.
#[derive(Serialize, JsonSchema)]
pub struct AcknowledgedMessage {
    /// Who.
    pub by: String,
    /// Since when.
    #[schemars(with = "Time")]
    pub at: String,
    /// Why, or what is being done.
    pub comment: String,
    /// When that runs out.
    #[schemars(with = "Option<Time>")]
    pub until: Option<String>,
}

/// What silences alerts.
#[derive(Serialize, JsonSchema)]
pub struct SilencedMessage {
    /// The silence: a UUID.
    pub id: String,
    /// Who made it.
    pub by: String,
    /// Until when it holds; null where it ends with the incident.
    #[schemars(with = "Option<Time>")]
    pub until: Option<String>,
    /// Why.
    pub comment: String,
    /// It is for planned work.
    pub maintenance: bool,
}

/// A note.
#[derive(Serialize, JsonSchema)]
pub struct NoteMessage {
    /// Who wrote it.
    pub by: String,
    /// When.
    #[schemars(with = "Time")]
    pub at: String,
    /// What.
    pub text: String,
}

/// How many alerts an incident has.
#[derive(Serialize, JsonSchema)]
pub struct CountsMessage {
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts that have ended.
    pub ended: u64,
    /// The same by severity.
    pub by_severity: BTreeMap<String, TallyMessage>,
    /// The same by entity, of the entities that are listed.
    pub by_entity: BTreeMap<String, TallyMessage>,
}

/// How many alerts fire and how many have ended.
#[derive(Serialize, JsonSchema)]
pub struct TallyMessage {
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts that have ended.
    pub ended: u64,
}

/// Which dependency graph.
#[derive(Serialize, JsonSchema)]
pub struct TopologyMessage {
    /// From 1 at each start of squelch, rising with each change.
    pub version: u64,
    /// Of what the graph says, sixteen hexadecimal digits: the same for the same graph, in every run.
    pub hash: String,
}

/// An entity and what speaks for it as the cause.
#[derive(Serialize, JsonSchema)]
pub struct RootCause {
    /// The topology node.
    pub entity: String,
    /// 0 to 1.
    pub score: f64,
    /// In words, strongest first.
    pub reasons: Vec<String>,
}

/// A possible cause.
#[derive(Serialize, JsonSchema)]
pub struct CandidateMessage {
    /// The topology node.
    pub entity: String,
    /// 0 to 1; only the order within one incident means something.
    pub score: f64,
    /// What speaks for it and against it, in words.
    pub reasons: Vec<String>,
}

/// One alert of the incident.
#[derive(Serialize, JsonSchema)]
pub struct AlertMessage {
    /// The identity: rule and labels. Sixteen hexadecimal digits.
    pub fingerprint: String,
    /// The rule, or what another system calls the alert.
    pub rule: String,
    /// Whether it fires now.
    pub status: AlertStatus,
    /// Its severity.
    pub severity: Severity,
    /// The topology node that it is about.
    pub entity: Option<String>,
    /// Who saw it, where it is about an edge: the node that calls the entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The team that owns the entity: from the lookup `owners`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value when it fired or its severity last rose: the one that the summary tells, also when it has ended.
    pub value: f64,
    /// When its condition first held.
    #[schemars(with = "Time")]
    pub started_at: String,
    /// When it ended.
    #[schemars(with = "Option<Time>")]
    pub ended_at: Option<String>,
    /// Why it ended, where that is no recovery: `expired`, `forgotten`, `rule_removed`,
    /// `rule_changed`, `rule_suspended`, `displaced` or `resolved_by_hand`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_because: Option<&'static str>,
    /// The silences and maintenances under which it fires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silenced_by: Vec<String>,
    /// One line for a person.
    pub summary: Option<String>,
    /// Where to read on.
    pub runbook: Option<String>,
    /// More for a person.
    pub description: Option<String>,
}

/// Why two entities belong to one incident.
#[derive(Serialize, JsonSchema)]
pub struct LinkMessage {
    /// The entity whose alert came to the incident.
    pub from: String,
    /// The entity it was tied to.
    pub to: String,
    /// 0 to 1.
    pub score: f64,
    /// In words.
    pub reason: String,
    /// The version of the dependency graph that this was decided on.
    pub topology_version: u64,
}

/// The decision to notify a person.
#[derive(Serialize, JsonSchema)]
pub struct Notify {
    /// Notified or not.
    pub send: bool,
    /// Why, or why not, for programs: one of the codes in docs/incidents.md.
    pub code: &'static str,
    /// Why, or why not, for people.
    pub reason: String,
}

/// An RFC 3339 time, for the schema only.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Time(#[schemars(extend("format" = "date-time"))] pub String);

/// Stable names; the domain's own enums know nothing of JSON.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident: $($variant:ident),+) => {
        $(#[$doc])*
        #[derive(Serialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        #[expect(missing_docs, reason = "the names are the documentation")]
        pub enum $name { $($variant),+ }
    };
}

names!(/// What a revision is about.
    Change: Opened, Updated, Escalated, Merged, Split, Acknowledged, Silenced, Noted, Resolved, Reopened);
names!(/// Of an incident.
    Status: Open, Resolved, Merged);
names!(/// Of an alert.
    AlertStatus: Firing, Resolved);
names!(/// From quiet to loud.
    Severity: Info, Warning, Critical);

impl From<&Revision> for IncidentMessage {
    fn from(revision: &Revision) -> Self {
        use crate::incident::status::{RevisionChange, Status as DomainStatus};
        Self {
            id: revision.id.to_string(),
            revision: revision.revision,
            change: match revision.change {
                RevisionChange::Opened => Change::Opened,
                RevisionChange::Updated => Change::Updated,
                RevisionChange::Noted => Change::Noted,
                RevisionChange::Silenced => Change::Silenced,
                RevisionChange::Acknowledged => Change::Acknowledged,
                RevisionChange::Escalated => Change::Escalated,
                RevisionChange::Merged => Change::Merged,
                RevisionChange::Split => Change::Split,
                RevisionChange::Resolved => Change::Resolved,
                RevisionChange::Reopened => Change::Reopened,
            },
            status: match revision.status {
                DomainStatus::Open => Status::Open,
                DomainStatus::Resolved => Status::Resolved,
                DomainStatus::Merged => Status::Merged,
            },
            severity: revision.severity.into(),
            env: revision.env.to_string(),
            title: revision.title.clone(),
            summary: revision.summary.clone(),
            started_at: format_rfc3339(revision.started_at),
            updated_at: format_rfc3339(revision.updated_at),
            resolved_at: revision.resolved_at.map(format_rfc3339),
            root_cause: revision.root_cause().map(|cause| RootCause {
                entity: cause.entity.to_string(),
                score: cause.score,
                reasons: cause.reasons.clone(),
            }),
            team: revision.team().map(ToString::to_string),
            candidates: revision.candidates.iter().map(CandidateMessage::from).collect(),
            entities: revision.entity_names().into_iter().map(String::from).collect(),
            alerts: revision.alerts.iter().map(|alert| alert_message(alert, revision)).collect(),
            links: revision.links.iter().map(|link| LinkMessage::from(link.as_ref())).collect(),
            counts: CountsMessage::from(revision),
            merged_into: revision.merged_into.as_ref().map(ToString::to_string),
            split_from: revision.split_from.as_ref().map(ToString::to_string),
            notify: Notify {
                send: revision.decision.is_sent(),
                code: revision.decision.code(),
                reason: revision.decision.to_string(),
            },
            topology: TopologyMessage { version: revision.topology.version, hash: format!("{:016x}", revision.topology.hash) },
            acknowledged: revision.acknowledged.as_ref().map(AcknowledgedMessage::from),
            silenced: revision.silenced.iter().map(SilencedMessage::from).collect(),
            owner: revision.handling.owner.as_ref().map(ToString::to_string),
            notes: revision.handling.notes.iter().map(NoteMessage::from).collect(),
            left_out: left_out(&revision.left_out),
            left_out_rules: left_out_rules(&revision.left_out),
        }
    }
}

impl From<&Revision> for CountsMessage {
    fn from(revision: &Revision) -> Self {
        let all = revision.counts.alerts();
        let by_severity = revision.counts.by_severity.iter();
        Self {
            firing: all.firing,
            ended: all.ended,
            by_severity: by_severity.map(|(severity, tally)| (severity.to_string(), TallyMessage::from(*tally))).collect(),
            by_entity: revision.entities.iter().map(|(entity, tally)| (entity.to_string(), TallyMessage::from(*tally))).collect(),
        }
    }
}

impl From<Tally> for TallyMessage {
    fn from(tally: Tally) -> Self {
        Self { firing: tally.firing, ended: tally.ended }
    }
}

/// How many entries of which list are missing, where any are.
fn left_out(left_out: &LeftOut) -> Option<BTreeMap<String, u64>> {
    let lists = [("alerts", left_out.alerts.values().sum()), ("entities", left_out.entities), ("links", left_out.links)];
    let missing: BTreeMap<String, u64> =
        lists.into_iter().filter(|(_, count)| *count > 0).map(|(list, count)| (list.to_string(), count)).collect();
    (!missing.is_empty()).then_some(missing)
}

fn left_out_rules(left_out: &LeftOut) -> Option<BTreeMap<String, u64>> {
    let rules: BTreeMap<String, u64> =
        left_out.most_left_out().into_iter().map(|(rule, count)| (rule.to_string(), count)).collect();
    (!rules.is_empty()).then_some(rules)
}

impl From<crate::model::severity::Severity> for Severity {
    fn from(severity: crate::model::severity::Severity) -> Self {
        use crate::model::severity::Severity as Domain;
        match severity {
            Domain::Info => Severity::Info,
            Domain::Warning => Severity::Warning,
            Domain::Critical => Severity::Critical,
        }
    }
}

impl From<&Candidate> for CandidateMessage {
    fn from(candidate: &Candidate) -> Self {
        Self { entity: candidate.entity.to_string(), score: candidate.score, reasons: candidate.reasons.clone() }
    }
}

impl From<&Link> for LinkMessage {
    fn from(link: &Link) -> Self {
        Self {
            from: link.from.to_string(),
            to: link.to.to_string(),
            score: link.score,
            reason: link.reason.clone(),
            topology_version: link.topology_version,
        }
    }
}

impl From<&Alert> for AlertMessage {
    fn from(alert: &Alert) -> Self {
        Self {
            fingerprint: alert.fingerprint.to_string(),
            rule: alert.rule.to_string(),
            status: if alert.is_firing() { AlertStatus::Firing } else { AlertStatus::Resolved },
            severity: alert.severity.into(),
            entity: alert.entity.as_ref().map(ToString::to_string),
            peer: alert.peer.as_ref().map(ToString::to_string),
            team: None,
            labels: alert.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            value: alert.value,
            started_at: format_rfc3339(alert.started_at),
            ended_at: alert.ended_at.map(format_rfc3339),
            ended_because: alert.ended_because().filter(|because| *because != EndReason::Recovered).map(EndReason::as_str),
            summary: alert.texts.summary.clone(),
            silenced_by: Vec::new(),
            runbook: alert.texts.runbook.clone(),
            description: alert.texts.description.clone(),
        }
    }
}

/// An alert of a revision, with its team and what silences it.
fn alert_message(alert: &Alert, revision: &Revision) -> AlertMessage {
    let silenced_by = revision.silenced_alerts.get(&alert.fingerprint).map_or(&[][..], Vec::as_slice);
    let team = revision.team_of(alert).map(ToString::to_string);
    AlertMessage { team, silenced_by: silenced_by.iter().map(ToString::to_string).collect(), ..AlertMessage::from(alert) }
}

impl From<&Acknowledgement> for AcknowledgedMessage {
    fn from(it: &Acknowledgement) -> Self {
        let (by, comment) = (it.by.to_string(), it.comment.to_string());
        Self { by, at: format_rfc3339(it.at), comment, until: it.until.map(format_rfc3339) }
    }
}

impl From<&SilenceNotice> for SilencedMessage {
    fn from(notice: &SilenceNotice) -> Self {
        Self {
            id: notice.id.to_string(),
            by: notice.by.to_string(),
            until: notice.until.map(format_rfc3339),
            comment: notice.comment.to_string(),
            maintenance: notice.is_maintenance,
        }
    }
}

impl From<&Note> for NoteMessage {
    fn from(note: &Note) -> Self {
        Self { by: note.by.to_string(), at: format_rfc3339(note.at), text: note.text.to_string() }
    }
}

/// A revision as one line of JSON, without the line break.
pub fn to_json(revision: &Revision) -> String {
    match serde_json::to_string(&IncidentMessage::from(revision)) {
        Ok(line) => line,
        Err(error) => unreachable!("texts and numbers always serialize: {error}"),
    }
}

/// The JSON Schema of the message.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(IncidentMessage).to_value()
}

/// The subject that a revision goes out on: `<prefix>.<env>.<severity>.<service>`, the service being the likeliest cause.
pub fn subject(prefix: &str, revision: &Revision) -> String {
    let service = revision.root_cause().map_or("unknown", |cause| &cause.entity);
    format!("{prefix}.{}.{}.{}", token(&revision.env), revision.severity, token(service))
}

/// The id that lets a server drop a repeated message.
pub fn message_id(revision: &Revision) -> String {
    format!("{}-{}", revision.id, revision.revision)
}

/// A text as one token of a subject; of a long one its beginning.
pub(crate) fn token(text: &str) -> String {
    let safe: String = text
        .chars()
        .take(SUBJECT_TOKEN_BYTES_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect();
    if safe.is_empty() { "unknown".into() } else { safe }
}
