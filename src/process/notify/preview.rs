//! What each receiver would be sent of an incident: the real requests, made without their secrets and not sent.

use std::fmt::Write as _;

use anyhow::Result;

use crate::model::time::TimestampMs;
use crate::notify::call::{Call, Request};
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, News};
use crate::notify::record::{Pending, Record};
use crate::notify::route::Target;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, ReadSecret, SecretKeys};
use crate::process::config::Config;
use crate::process::notify::build::{self, Built};

/// Stands for every secret: none is read.
struct NoSecrets;

/// What is shown in the place of a secret.
const HIDDEN: &str = "(hidden)";
/// Headers that hold a secret, or are made from one.
const SECRET_HEADERS: [&str; 4] = ["authorization", "webhook-signature", "dd-api-key", "api-key"];
/// More steps than any message has.
const STEPS_MAX: usize = 20;

impl ReadSecret for NoSecrets {
    fn read(&self, keys: SecretKeys<'_>) -> Result<Option<Hidden>, PlacedComplaint> {
        let stand_in = match keys.key {
            // What is read as a key or as an address must look like one.
            "secret" => "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "url" | "webhook" => "https://(hidden)",
            _ => HIDDEN,
        };
        Ok(keys.place()?.map(|_| Hidden(stand_in.into())))
    }
}

/// The text for people: each receiver that the routes lead to, with its requests.
pub fn preview(config: &Config, incident: &IncidentView, at_ms: TimestampMs) -> Result<String> {
    let mut text = String::new();
    for built in build::receivers_with(config, &NoSecrets)? {
        let kind = built.receiver.kind();
        let when = match built.policy.router.target(&built.name, incident, at_ms) {
            None if built.receiver.wants().all => "every revision".to_string(),
            None => {
                writeln!(text, "# {} ({kind}): no route leads to it\n", built.name)?;
                continue;
            }
            Some(Target::Now) => "at once".to_string(),
            Some(Target::After(ms)) => format!("after {} unless acknowledged", crate::model::duration::format_ms(ms)),
        };
        writeln!(text, "# {} ({kind}): {when}", built.name)?;
        for call in calls(&built, incident, at_ms) {
            text.push_str(&shown(&call));
        }
        text.push('\n');
    }
    Ok(text)
}

/// The requests of the first message of an incident.
fn calls(built: &Built, incident: &IncidentView, now_ms: TimestampMs) -> Vec<Call> {
    let mut record = Record { pending: Some(Pending { revision: incident.revision, ..Pending::default() }), ..Record::default() };
    let mut calls = Vec::new();
    while calls.len() < STEPS_MAX
        && let Some(call) = built.receiver.next(&Job { incident, news: News::First, record: &record, now_ms })
    {
        record.pending.get_or_insert_default().done.insert(call.step.into());
        calls.push(call);
    }
    calls
}

fn shown(call: &Call) -> String {
    match &call.request {
        Request::Http(request) => {
            let headers: String = request
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}\n", if SECRET_HEADERS.contains(name) { HIDDEN } else { value }))
                .collect();
            format!("{} {}\n{headers}\n{}\n", request.method, request.url, body(&request.body))
        }
        Request::Mail(mail) => {
            let reply = mail.in_reply_to.as_ref().map_or(String::new(), |first| format!("In-Reply-To: {first}\n"));
            let (from, to, subject) = (&mail.from, mail.to.join(", "), &mail.subject);
            format!("From: {from}\nTo: {to}\nSubject: {subject}\nMessage-ID: {}\n{reply}\n{}\n", mail.message_id, mail.text)
        }
        Request::Publish(message) => {
            format!("PUBLISH {}\nNats-Msg-Id: {}\n\n{}\n", message.subject, message.message_id, body(&message.body))
        }
    }
}

fn body(bytes: &[u8]) -> String {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(bytes).trim_end().to_string(),
    }
}
