//! One command, from its JSON. What makes a message a command is its subject alone, `events.commands.<kind>`, or the recording that it
//! stands in; no field of an event can. The kind in the body must be that of the subject: who may send which kind is granted by subject.
//!
//! What is no JSON object with a sender is rejected as any bad input is. A command that can be read and asks for what cannot be goes on
//! to the engine, which answers with the reason.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::io::decode::rejection::RejectReason;
use crate::io::decode::time_check::TimeCheck;
use crate::model::command::matcher::{MatchOp, Matcher};
use crate::model::command::recurrence::Recurrence;
use crate::model::command::{Action, Command, CommandId, CommandKind, Limit, SilenceRequest, SilenceTarget};
use crate::model::duration;
use crate::model::fingerprint::Fingerprint;
use crate::model::limits::{ALERTS_PER_COMMAND_MAX, COMMAND_BYTES_MAX, COMMAND_TEXT_CHARS_MAX, MATCHERS_PER_SILENCE_MAX};
use crate::model::time::{EARLIEST_MS, LATEST_MS, TimestampMs, parse_rfc3339};

/// The token of a subject that makes a message a command: the second one.
pub const COMMANDS: &str = "commands";

/// Why a message is a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOrigin {
    /// Its subject names the kind.
    Subject(CommandKind),
    /// Its subject is that of commands and names no kind.
    UnknownSubject,
    /// It stands in a recording of commands.
    Recording,
}

impl CommandOrigin {
    /// Whether messages on this subject are commands: its second token says so.
    pub fn of_subject(subject: &str) -> Option<Self> {
        let mut tokens = subject.split('.').skip(1);
        if tokens.next() != Some(COMMANDS) {
            return None;
        }
        let kind = tokens.next().and_then(|token| token.parse().ok()).filter(|_| tokens.next().is_none());
        Some(kind.map_or(CommandOrigin::UnknownSubject, CommandOrigin::Subject))
    }
}

/// A command as JSON. An unknown field is an error: a misspelt one would change what the command does.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CommandBody {
    command: Option<String>,
    id: Option<String>,
    by: String,
    #[serde(alias = "ts")]
    at: Option<Time>,
    comment: String,
    incident: Option<String>,
    until: Option<Time>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    matchers: Vec<MatcherBody>,
    node: Option<String>,
    env: Option<String>,
    from: Option<Time>,
    to: Option<Time>,
    cron: Option<String>,
    duration: Option<String>,
    time_zone: Option<String>,
    replaces: Option<String>,
    silence: Option<String>,
    owner: Option<String>,
    with: Option<String>,
    into: Option<String>,
    alert: Option<String>,
    alerts: Vec<String>,
}

/// A matcher: as text, or as Alertmanager's API has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MatcherBody {
    Text(String),
    Parts(MatcherParts),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatcherParts {
    name: String,
    value: String,
    #[serde(rename = "isRegex", default)]
    is_regex: bool,
    #[serde(rename = "isEqual", default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

/// A time: RFC 3339 or Unix milliseconds.
#[derive(Clone, Copy, Debug)]
struct Time(TimestampMs);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Whole(i64),
            Text(String),
        }
        let ms = match Form::deserialize(deserializer)? {
            Form::Whole(ms) => ms,
            Form::Text(text) => parse_rfc3339(&text).or_else(|| text.parse().ok()).ok_or_else(|| {
                D::Error::custom(format!("{text:?} is no time: it must be RFC 3339 with a zone, or Unix milliseconds"))
            })?,
        };
        if (EARLIEST_MS..=LATEST_MS).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err(D::Error::custom(format!("{ms} is no time in Unix milliseconds: it lies before 1973 or after 9999")))
        }
    }
}

/// Reads a command before it is sent: what is wrong with it is known at once.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(bytes: &[u8], kind: CommandKind) -> Result<Command, String> {
    let anytime = TimeCheck { received_at: None, future_ms: 0 };
    decode(bytes, CommandOrigin::Subject(kind), &anytime).map_err(|reason| reason.to_string())
}

/// When a command was sent, if that can be read.
pub(crate) fn time_of(bytes: &[u8]) -> Option<TimestampMs> {
    let body: CommandBody = serde_json::from_slice(bytes).ok()?;
    body.at.map(|at| at.0)
}

/// Reads one command.
pub(crate) fn decode(bytes: &[u8], origin: CommandOrigin, time_check: &TimeCheck) -> Result<Command, RejectReason> {
    let reject = |why: String| RejectReason::Command(why);
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(reject(format!("a command of {} bytes, the limit is {COMMAND_BYTES_MAX}", bytes.len())));
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(reject("a command is a JSON object".into()));
    }
    let body: CommandBody = serde_json::from_slice(bytes).map_err(|error| reject(error.to_string()))?;
    let named = body.command.as_deref().map(str::parse::<CommandKind>).transpose().map_err(|error| reject(error.to_string()))?;
    let kind = match (origin, named) {
        (CommandOrigin::UnknownSubject, _) => {
            return Err(reject("the subject names no command: use for example events.commands.acknowledge".into()));
        }
        (CommandOrigin::Subject(kind), Some(named)) if kind != named => {
            return Err(reject(format!("`command` is {named}, and the subject is that of {kind}: they must agree")));
        }
        (CommandOrigin::Subject(kind), _) | (CommandOrigin::Recording, Some(kind)) => kind,
        (CommandOrigin::Recording, None) => return Err(reject("no `command` field".into())),
    };
    if body.by.trim().is_empty() {
        return Err(reject("`by` is missing: a command says who sends it".into()));
    }
    for (name, text) in [("by", &body.by), ("comment", &body.comment)] {
        if text.chars().count() > COMMAND_TEXT_CHARS_MAX {
            return Err(reject(format!("`{name}` is longer than {COMMAND_TEXT_CHARS_MAX} characters")));
        }
    }
    let given = body.id.as_deref().map(str::parse::<CommandId>).transpose().map_err(|error| reject(format!("`id`: {error}")))?;
    let stamp = time_check.received_at.map_or_else(String::new, |at| at.to_string());
    let id = given.unwrap_or_else(|| CommandId::derived([bytes, stamp.as_bytes()]));
    let at = body.at.map(|at| at.0);
    if let Some(at) = at {
        time_check.check(at)?;
    }
    let action = action(kind, &body);
    let (by, comment) = (body.by.trim().into(), body.comment.as_str().into());
    Ok(Command { id, kind, by, at: at.or(time_check.received_at), comment, action })
}

fn action(kind: CommandKind, body: &CommandBody) -> Result<Action, String> {
    let incident = || needed("incident", body.incident.as_ref()).map(|incident| incident.as_str().into());
    match kind {
        CommandKind::Acknowledge => {
            let until = limit(("until", body.until), body)?;
            Ok(Action::Acknowledge { incident: incident()?, until })
        }
        CommandKind::Unacknowledge => Ok(Action::Unacknowledge { incident: incident()? }),
        CommandKind::Silence | CommandKind::Maintenance => silence(body).map(Action::Silence),
        CommandKind::Expire => Ok(Action::Expire { silence: id("silence", needed("silence", body.silence.as_ref())?)? }),
        CommandKind::Note if body.comment.trim().is_empty() => Err("`comment` is missing: it is the note".into()),
        CommandKind::Note => Ok(Action::Note { incident: incident()? }),
        CommandKind::Owner => {
            let owner = body.owner.as_deref().map(str::trim).filter(|owner| !owner.is_empty());
            if owner.is_some_and(|owner| owner.chars().count() > COMMAND_TEXT_CHARS_MAX) {
                return Err(format!("`owner` is longer than {COMMAND_TEXT_CHARS_MAX} characters"));
            }
            Ok(Action::Owner { incident: incident()?, owner: owner.map(Into::into) })
        }
        CommandKind::Merge => {
            Ok(Action::Merge { incident: incident()?, with: needed("with", body.with.as_ref())?.as_str().into() })
        }
        CommandKind::Split if body.alerts.is_empty() => Err("`alerts` is missing: the fingerprints of those that leave".into()),
        CommandKind::Split if body.alerts.len() > ALERTS_PER_COMMAND_MAX => {
            Err(format!("{} alerts in one command, the limit is {ALERTS_PER_COMMAND_MAX}", body.alerts.len()))
        }
        CommandKind::Split => {
            let alerts = body.alerts.iter().map(|alert| fingerprint(alert)).collect::<Result<_, _>>()?;
            Ok(Action::Split { incident: incident()?, alerts })
        }
        CommandKind::Move => {
            let alert = fingerprint(needed("alert", body.alert.as_ref())?)?;
            Ok(Action::Move { alert, into: needed("into", body.into.as_ref())?.as_str().into() })
        }
        CommandKind::Resolve => Ok(Action::Resolve { incident: incident()? }),
    }
}

fn silence(body: &CommandBody) -> Result<SilenceRequest, String> {
    let target = target(body)?;
    let to = limit(("to", body.to), body)?;
    let recurrence = match (&body.cron, &body.duration) {
        (Some(cron), Some(lasts)) => {
            let duration_ms = duration::parse_ms(lasts).map_err(|error| format!("`duration`: {error}"))?;
            let zone = body.time_zone.as_deref().unwrap_or("UTC");
            Some(Recurrence::new(cron, zone, duration_ms).map_err(|error| error.to_string())?)
        }
        (Some(_), None) => return Err("`duration` is missing: a recurring silence says how long it lasts each time".into()),
        (None, Some(_)) => return Err("`duration` goes with `cron`: for a silence that comes once set `for`".into()),
        (None, None) => None,
    };
    let ends = recurrence.is_some() || to != Limit::None || matches!(target, SilenceTarget::Incident(_));
    if !ends {
        return Err("the silence has no end: set `to` or `for`".into());
    }
    let replaces = body.replaces.as_deref().map(|text| id("replaces", text)).transpose()?;
    let edits = body.silence.as_deref().map(|text| id("silence", text)).transpose()?;
    Ok(SilenceRequest { target, from: body.from.map(|from| from.0), to, recurrence, edits, replaces })
}

fn target(body: &CommandBody) -> Result<SilenceTarget, String> {
    match (body.matchers.as_slice(), &body.incident, &body.node) {
        ([], Some(incident), None) => Ok(SilenceTarget::Incident(incident.as_str().into())),
        ([], None, Some(node)) => {
            Ok(SilenceTarget::Node { name: node.as_str().into(), env: body.env.as_deref().map(Into::into) })
        }
        ([], None, None) => Err("nothing to silence: set `matchers`, `incident` or `node`".into()),
        (matchers, None, None) if matchers.len() > MATCHERS_PER_SILENCE_MAX => {
            Err(format!("{} matchers, the limit is {MATCHERS_PER_SILENCE_MAX}", matchers.len()))
        }
        (matchers, None, None) => {
            let matchers = matchers.iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
            // A silence of everything is a mistake, and nobody notices it.
            if matchers.iter().all(|matcher| matcher.matches("")) {
                return Err("the matchers match every alert: at least one of them must not match an empty value".into());
            }
            Ok(SilenceTarget::Matchers(matchers))
        }
        _ => Err("`matchers`, `incident` and `node` exclude each other: set one of them".into()),
    }
}

fn matcher(body: &MatcherBody) -> Result<Matcher, String> {
    let read = match body {
        MatcherBody::Text(text) => text.parse(),
        MatcherBody::Parts(it) => Matcher::new(&it.name, MatchOp::of_flags(it.is_regex, it.is_equal), &it.value),
    };
    read.map_err(|error| error.to_string())
}

fn limit((name, until): (&str, Option<Time>), body: &CommandBody) -> Result<Limit, String> {
    match (until, &body.lasts) {
        (Some(_), Some(_)) => Err(format!("`{name}` and `for` exclude each other: set one of them")),
        (Some(until), None) => Ok(Limit::Until(until.0)),
        (None, Some(lasts)) => match duration::parse_ms(lasts) {
            Ok(0) => Err("`for` must be more than 0".into()),
            Ok(duration_ms) => Ok(Limit::For(duration_ms)),
            Err(error) => Err(format!("`for`: {error}")),
        },
        (None, None) => Ok(Limit::None),
    }
}

fn needed<'b>(name: &str, text: Option<&'b String>) -> Result<&'b String, String> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| format!("`{name}` is missing"))
}

fn id(name: &str, text: &str) -> Result<CommandId, String> {
    text.parse().map_err(|error| format!("`{name}`: {error}"))
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let digits = Some(text).filter(|text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.map(Fingerprint).ok_or_else(|| format!("{text:?} is no fingerprint: it has sixteen hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: CommandKind, body: &str) -> Result<Command, RejectReason> {
        let check = TimeCheck { received_at: Some(1_773_446_500_000), future_ms: 300_000 };
        decode(body.as_bytes(), CommandOrigin::Subject(kind), &check)
    }

    #[test]
    fn only_the_second_token_makes_a_command() {
        let of = CommandOrigin::of_subject;
        assert_eq!(of("events.commands.silence"), Some(CommandOrigin::Subject(CommandKind::Silence)));
        for unknown in ["events.commands", "events.commands.shout", "events.commands.silence.x"] {
            assert_eq!(of(unknown), Some(CommandOrigin::UnknownSubject), "{unknown}");
        }
        for event in ["events.metrics.commands.silence", "commands.silence", "events.command.silence", "commands"] {
            assert_eq!(of(event), None, "{event}");
        }
    }

    #[test]
    fn what_has_no_sender_or_another_kind_is_rejected() {
        let ack = CommandKind::Acknowledge;
        for (body, why) in [
            ("{}", "`by` is missing"),
            (r#"{"by":"  "}"#, "`by` is missing"),
            ("[]", "a JSON object"),
            ("", "a JSON object"),
            ("{", "EOF"),
            (r#"{"by":"ann","command":"silence"}"#, "they must agree"),
            (r#"{"by":"ann","command":"shout"}"#, "unknown command"),
            (r#"{"by":"ann","untill":5}"#, "unknown field"),
            (r#"{"by":"ann","id":"x"}"#, "no UUID"),
            (r#"{"by":"ann","at":"2026-03-15T00:00:00Z"}"#, "ahead of the broker's clock"),
            (r#"{"by":"ann","at":5}"#, "no time"),
        ] {
            let error = read(ack, body).expect_err(body).to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_done_goes_on_with_its_reason() {
        for (kind, fields, why) in [
            (CommandKind::Acknowledge, "", "`incident` is missing"),
            (CommandKind::Silence, "", "nothing to silence"),
            (CommandKind::Silence, r#","matchers":["a=b"]"#, "no end"),
            (CommandKind::Silence, r#","matchers":["a=~.*"],"for":"1h""#, "match every alert"),
            (CommandKind::Silence, r#","matchers":["a"],"for":"1h""#, "no matcher"),
            (CommandKind::Silence, r#","node":"db","incident":"inc-1","for":"1h""#, "exclude each other"),
            (CommandKind::Silence, r#","node":"db","for":"1h","to":1773446500000"#, "exclude each other"),
            (CommandKind::Maintenance, r#","node":"db","cron":"0 2 * * *""#, "`duration` is missing"),
            (CommandKind::Maintenance, r#","node":"db","cron":"0 2 * *","duration":"1h""#, "no cron pattern"),
            (CommandKind::Note, r#","incident":"inc-1""#, "`comment` is missing"),
            (CommandKind::Expire, r#","silence":"x""#, "no UUID"),
            (CommandKind::Split, r#","incident":"inc-1","alerts":["x"]"#, "no fingerprint"),
        ] {
            let body = format!("{{\"by\":\"ann\"{fields}}}");
            let command = read(kind, &body).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert!(command.action.as_ref().is_err_and(|reason| reason.contains(why)), "{body}: {:?}", command.action);
        }
    }

    #[test]
    fn the_id_follows_from_the_text_where_none_is_given() {
        let body = r#"{"by":"ann","incident":"inc-1","at":1773446400000}"#;
        let one = read(CommandKind::Acknowledge, body).unwrap();
        assert_eq!(one.id, read(CommandKind::Acknowledge, body).unwrap().id);
        assert_ne!(one.id, read(CommandKind::Acknowledge, &body.replace("ann", "bob")).unwrap().id);
        assert_eq!((one.by.as_ref(), one.at), ("ann", Some(1_773_446_400_000)));
    }
}
