//! Slack's interactivity: somebody presses a button below a message.

use ring::hmac;
use serde::Deserialize;

use crate::notify::replies::{ReadReplies, Reply, ReplyAction, ReplyError, SignedRequest, is_signed, key};
use crate::notify::settings::secret::Hidden;

/// The action of the button that acknowledges.
pub const ACKNOWLEDGE: &str = "acknowledge";
/// The action of the button that silences.
pub const SILENCE: &str = "silence_1h";

const SIGNATURE: &str = "x-slack-signature";
const TIMESTAMP: &str = "x-slack-request-timestamp";
/// How far a request's time may be from now, in seconds: what Slack's documents recommend against replays.
const STALE_S: i64 = 300;

/// Reads the requests of one app.
pub struct SlackReplies {
    key: hmac::Key,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    user: User,
    #[serde(default)]
    actions: Vec<Action>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    name: Option<String>,
    username: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    action_ts: String,
}

impl SlackReplies {
    /// With the app's signing secret.
    pub fn new(secret: &Hidden) -> Self {
        Self { key: key(secret) }
    }
}

impl ReadReplies for SlackReplies {
    fn read(&self, request: &SignedRequest<'_>) -> Result<Vec<Reply>, ReplyError> {
        let header = |name: &str| (request.header)(name).unwrap_or_default();
        let timestamp = header(TIMESTAMP);
        let signed = [b"v0:", timestamp.as_bytes(), b":", request.body].concat();
        if !is_signed(&self.key, &signed, header(SIGNATURE).strip_prefix("v0=").into_iter()) {
            return Err(ReplyError::Unsigned("Slack"));
        }
        let unreadable = |error: String| ReplyError::Unreadable(error);
        let sent_s: i64 = timestamp.parse().map_err(|_| unreadable(format!("{TIMESTAMP} is {timestamp:?}")))?;
        let apart_s = request.now_ms.div_euclid(1_000).saturating_sub(sent_s);
        if apart_s.saturating_abs() > STALE_S {
            return Err(ReplyError::Stale(apart_s));
        }
        let mut form = form_urlencoded::parse(request.body);
        let (_, payload) =
            form.find(|(name, _)| name == "payload").ok_or_else(|| unreadable("it has no field payload".into()))?;
        let Payload { user, actions } = serde_json::from_str(&payload).map_err(|error| unreadable(error.to_string()))?;
        let by = user.name.or(user.username).or(user.id).unwrap_or_else(|| "a user of Slack".into());
        let replies = actions.into_iter().filter_map(|pressed| {
            // Buttons that open a page come too.
            let action = match pressed.action_id.as_str() {
                ACKNOWLEDGE => ReplyAction::Acknowledge,
                SILENCE => ReplyAction::SilenceForAnHour,
                _ => return None,
            };
            let id = format!("{} {} {}", pressed.action_ts, pressed.action_id, pressed.value);
            Some(Reply { id, by: by.clone(), incident: pressed.value, action })
        });
        Ok(replies.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::replies::tests::signature;

    const NOW_S: i64 = 1_773_456_430;

    fn read(body: &str, timestamp: &str, secret: &str) -> Result<Vec<Reply>, ReplyError> {
        let given = format!("v0={}", signature(secret, format!("v0:{timestamp}:{body}").as_bytes()));
        let header = |name: &str| match name {
            SIGNATURE => Some(given.as_str()),
            TIMESTAMP => Some(timestamp),
            _ => None,
        };
        let request = SignedRequest { header: &header, body: body.as_bytes(), now_ms: NOW_S * 1_000 };
        SlackReplies::new(&Hidden("8f742231b10e8888abcd99yyyzzz85a5".into())).read(&request)
    }

    fn pressed(action: &str) -> String {
        let payload = format!(
            r#"{{"type":"block_actions","user":{{"id":"U1","username":"kim","name":"kim"}},"actions":[{{"action_id":"{action}","block_id":"b","value":"inc-1","type":"button","action_ts":"1773456430.1"}}]}}"#
        );
        form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload).finish()
    }

    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

    #[test]
    fn a_button_is_a_reply() {
        let now = NOW_S.to_string();
        let of = |action: &str, reply| {
            let id = format!("1773456430.1 {action} inc-1");
            Ok(vec![Reply { id, by: "kim".into(), incident: "inc-1".into(), action: reply }])
        };
        assert_eq!(read(&pressed(ACKNOWLEDGE), &now, SECRET), of(ACKNOWLEDGE, ReplyAction::Acknowledge));
        assert_eq!(read(&pressed(SILENCE), &now, SECRET), of(SILENCE, ReplyAction::SilenceForAnHour));
        assert_eq!(read(&pressed("Open"), &now, SECRET), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_signed_or_was_kept_is_refused() {
        let now = NOW_S.to_string();
        assert_eq!(read(&pressed(ACKNOWLEDGE), &now, "other"), Err(ReplyError::Unsigned("Slack")));
        let old = (NOW_S - 301).to_string();
        assert_eq!(read(&pressed(ACKNOWLEDGE), &old, SECRET), Err(ReplyError::Stale(301)));
        for wrong in ["", "payload=%7B", "other=1"] {
            assert!(matches!(read(wrong, &now, SECRET), Err(ReplyError::Unreadable(_))), "{wrong}");
        }
        assert!(matches!(read(&pressed(ACKNOWLEDGE), "soon", SECRET), Err(ReplyError::Unreadable(_))));
    }
}
