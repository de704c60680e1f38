//! PagerDuty's V3 webhooks: somebody acknowledges or resolves a page there.
//!
//! What PagerDuty did because squelch asked for it comes back as well. Only what a user did is a reply, or each resolve would answer itself.

use ring::hmac;
use serde::Deserialize;

use crate::notify::replies::{ReadReplies, Reply, ReplyAction, ReplyError, SignedRequest, is_signed, key};
use crate::notify::settings::secret::Hidden;

const SIGNATURE: &str = "x-pagerduty-signature";

/// Reads the webhooks of one subscription.
pub struct PagerDutyReplies {
    key: hmac::Key,
}

#[derive(Deserialize)]
struct Webhook {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    event_type: String,
    agent: Option<Agent>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize)]
struct Agent {
    #[serde(rename = "type")]
    kind: String,
    summary: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    incident_key: Option<String>,
}

impl PagerDutyReplies {
    /// With the secret that PagerDuty showed when the subscription was made.
    pub fn new(secret: &Hidden) -> Self {
        Self { key: key(secret) }
    }
}

impl ReadReplies for PagerDutyReplies {
    fn read(&self, request: &SignedRequest<'_>) -> Result<Vec<Reply>, ReplyError> {
        let given = (request.header)(SIGNATURE).unwrap_or_default();
        // Several while the secret is rotated.
        let given = given.split(',').filter_map(|one| one.trim().strip_prefix("v1="));
        if !is_signed(&self.key, request.body, given) {
            return Err(ReplyError::Unsigned("PagerDuty"));
        }
        let Webhook { event } =
            serde_json::from_slice(request.body).map_err(|error| ReplyError::Unreadable(error.to_string()))?;
        let action = match event.event_type.as_str() {
            "incident.acknowledged" => ReplyAction::Acknowledge,
            "incident.unacknowledged" => ReplyAction::Unacknowledge,
            "incident.resolved" => ReplyAction::Resolve,
            _ => return Ok(Vec::new()),
        };
        let user = event.agent.filter(|agent| agent.kind.starts_with("user"));
        let reply = user.zip(event.data.incident_key).map(|(user, incident)| Reply {
            id: event.id,
            by: user.summary.unwrap_or_else(|| "a user of PagerDuty".into()),
            incident,
            action,
        });
        Ok(reply.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notify::replies::tests::signature;

    fn read(body: &[u8], signatures: &str) -> Result<Vec<Reply>, ReplyError> {
        let header = |name: &str| (name == SIGNATURE).then_some(signatures);
        PagerDutyReplies::new(&Hidden("s3cret".into())).read(&SignedRequest { header: &header, body, now_ms: 0 })
    }

    fn signed(event_type: &str, agent: &str) -> Result<Vec<Reply>, ReplyError> {
        let body = json!({"event": {
            "id": "01BPVKNNQZ8R", "event_type": event_type, "resource_type": "incident", "occurred_at": "2026-03-14T02:49:00Z",
            "agent": {"id": "PLH1HKV", "type": agent, "summary": "Kim Lee", "html_url": "https://example.pagerduty.com/users/PLH1HKV"},
            "client": null,
            "data": {"id": "PGR0VU2", "type": "incident", "incident_key": "inc-1", "status": "acknowledged"},
        }});
        let body = body.to_string();
        read(body.as_bytes(), &format!("v1=00, v1={}", signature("s3cret", body.as_bytes())))
    }

    #[test]
    fn what_a_user_does_is_a_reply() {
        let of = |action| vec![Reply { id: "01BPVKNNQZ8R".into(), by: "Kim Lee".into(), incident: "inc-1".into(), action }];
        assert_eq!(signed("incident.acknowledged", "user_reference"), Ok(of(ReplyAction::Acknowledge)));
        assert_eq!(signed("incident.unacknowledged", "user_reference"), Ok(of(ReplyAction::Unacknowledge)));
        assert_eq!(signed("incident.resolved", "user_reference"), Ok(of(ReplyAction::Resolve)));
        assert_eq!(signed("incident.resolved", "inbound_integration_reference"), Ok(Vec::new()), "squelch resolved it");
        assert_eq!(signed("incident.priority_updated", "user_reference"), Ok(Vec::new()));
        let ping = br#"{"event": {"id": "x", "event_type": "pagey.ping", "agent": null, "data": {"message": "Hello"}}}"#;
        assert_eq!(read(ping, &format!("v1={}", signature("s3cret", ping))), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        let body = br#"{"event": {}}"#;
        for wrong in ["", "v1=", "v1=zz", &format!("v1={}", signature("other", body)), &signature("s3cret", body)] {
            assert_eq!(read(body, wrong), Err(ReplyError::Unsigned("PagerDuty")), "{wrong}");
        }
        let right = format!("v1={}", signature("s3cret", body));
        assert!(matches!(read(body, &right), Err(ReplyError::Unreadable(_))));
    }
}
