//! Several incidents in one message: what the rate limit or the quiet hours held back. A digest looks like an incident, so that every receiver
//! can send it.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::model::limits::DIGEST_LINES_MAX;
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, format_rfc3339};
use crate::notify::incident_view::IncidentView;
use crate::notify::record::{DigestMember, WaitingFor};

/// How the id of a digest begins.
pub const ID_BEGINS: &str = "digest-";

/// The digest of these incidents, the worst first; `None` of none.
pub fn view(receiver: &str, incidents: &[IncidentView], why: WaitingFor, now_ms: TimestampMs) -> Option<IncidentView> {
    let mut worst_first: Vec<&IncidentView> = incidents.iter().collect();
    worst_first.sort_by_key(|incident| (std::cmp::Reverse(incident.severity), incident.started_at, &incident.id));
    let severity = worst_first.first()?.severity;
    let env = &worst_first.first()?.env;
    let env = if worst_first.iter().all(|incident| incident.env == *env) { env.as_str() } else { "" };
    let lines: Vec<String> = worst_first.iter().take(DIGEST_LINES_MAX).map(|incident| line(incident, env)).collect();
    let more = worst_first.len().saturating_sub(DIGEST_LINES_MAX);
    let more = if more > 0 { format!("\n… and {more} more") } else { String::new() };
    let (title, reason) = match why {
        WaitingFor::QuietHours => ("during the quiet hours", "the quiet hours are over"),
        _ => ("at once", "more incidents than the limit of this receiver allows one by one"),
    };
    let started_at = worst_first.iter().map(|incident| incident.started_at).min().unwrap_or(now_ms);
    let entities: Vec<&String> =
        worst_first.iter().filter_map(|incident| incident.cause.as_ref()).take(DIGEST_LINES_MAX).collect();
    let body = json!({
        "id": id(receiver, incidents),
        "revision": 1,
        "change": "opened",
        "status": "open",
        "severity": severity.as_str(),
        "env": env,
        "title": format!("{} incidents {title}", worst_first.len()),
        "summary": format!("{}{more}", lines.join("\n")),
        "started_at": format_rfc3339(started_at),
        "updated_at": format_rfc3339(now_ms),
        "resolved_at": null,
        "root_cause": null,
        "candidates": [],
        "entities": entities,
        "alerts": [],
        "links": [],
        "merged_into": null,
        "notify": { "send": true, "code": "digest", "reason": reason },
        "incidents": worst_first.iter().map(|incident| incident.id.as_str()).collect::<Vec<_>>(),
    });
    IncidentView::of(body).ok()
}

/// The members, as the record keeps them.
pub fn members(incidents: &[IncidentView], sequence_of: impl Fn(&str) -> u64) -> Vec<DigestMember> {
    let member = |incident: &IncidentView| DigestMember {
        incident: incident.id.clone(),
        revision: incident.revision,
        sequence: sequence_of(&incident.id),
    };
    incidents.iter().map(member).collect()
}

fn line(incident: &IncidentView, env: &str) -> String {
    let mark = match (incident.is_open(), incident.severity) {
        (false, _) => "over".to_string(),
        (true, Severity::Info) => "info".to_string(),
        (true, severity) => severity.to_string(),
    };
    let env = if env.is_empty() && !incident.env.is_empty() { format!(" in {}", incident.env) } else { String::new() };
    format!("• {mark}{env}: {} ({})", incident.title, incident.id)
}

fn id(receiver: &str, incidents: &[IncidentView]) -> String {
    let mut names: Vec<String> = incidents.iter().map(|incident| format!("{}/{}", incident.id, incident.revision)).collect();
    names.sort();
    let hash = Sha256::digest(format!("{receiver}/{}", names.join("/")));
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{ID_BEGINS}{hex}")
}
