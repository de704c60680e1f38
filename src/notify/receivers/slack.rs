//! Slack. With a bot's token: one message an incident, edited without sound, and news in its thread. With an incoming webhook: a message for each
//! news, since those cannot be edited.
//!
//! Slack has no key by which it drops repeats. So each message carries metadata with the incident and the revision, and after a crash between
//! sending and recording it is looked for before it is sent again.

use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::Spanned;

use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, format_rfc3339};
use crate::notify::call::{Answer, Call, HttpRequest, Request, Verdict};
use crate::notify::incident_view::{IncidentView, ViewStatus};
use crate::notify::receiver::{Job, News, Reading, Receiver, Wants};
use crate::notify::replies::slack::{ACKNOWLEDGE, SILENCE};
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::settings::url;
use crate::notify::text::{Part, Texts, runbooks, shortened_chars};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SlackConfig {
    /// A bot's token, `xoxb-…`.
    pub token: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub token_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub token_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub token_credential: Option<Spanned<String>>,
    /// Where to: `#alerts`, or the channel's id.
    pub channel: Option<Spanned<String>>,
    /// The address of an incoming webhook, in place of token and channel. It is a secret.
    pub webhook: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub webhook_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub webhook_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub webhook_credential: Option<Spanned<String>>,
    /// The signing secret of the app: its messages then have buttons that acknowledge and silence.
    pub signing_secret: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub signing_secret_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub signing_secret_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub signing_secret_credential: Option<Spanned<String>>,
    /// Who is mentioned where it is critical: `<!here>`, `<!subteam^S012345>`.
    pub mention: Option<String>,
    /// A relay in place of <https://slack.com/api>.
    pub url: Option<Spanned<String>>,
    /// Template of the title.
    pub title: Option<Spanned<String>>,
    /// Template of the text.
    pub text: Option<Spanned<String>>,
}

/// Characters of a header block.
const HEADER_CHARS_MAX: usize = 150;
/// Characters of a section: all blocks of a message together must stay under 13,200.
const SECTION_CHARS_MAX: usize = 2_900;
/// Characters of what a phone shows.
const TEXT_CHARS_MAX: usize = 1_000;
/// Characters of a button's URL.
const BUTTON_URL_CHARS_MAX: usize = 3_000;
/// By which a message of ours is known.
const EVENT_TYPE: &str = "squelch_incident";
const URL: &str = "https://slack.com/api";
/// Messages looked through at once for one that may have been sent.
const LOOK_MESSAGES: u32 = 200;
/// A message that may have been sent is not older than the first try by more than this: clocks differ.
const LOOK_BEFORE_MS: i64 = 300_000;
/// What the record remembers.
const CHANNEL: &str = "channel";
const TS: &str = "ts";
const CURSOR: &str = "cursor";
/// Errors of Slack that go away by themselves.
const FOR_NOW: [&str; 6] =
    ["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];
/// Errors that somebody must mend in the settings, or in Slack.
const MISCONFIGURED: [&str; 19] = [
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "org_login_required",
    "team_access_not_granted",
    "access_denied",
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "restricted_action",
    "restricted_action_read_only_channel",
    "channel_is_archived",
    "no_service",
    "action_prohibited",
];
/// Errors that say that the message which is to be edited is gone.
const GONE: [&str; 4] = ["message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"];

impl SlackConfig {
    /// The keys of the token.
    pub fn token(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "token",
            inline: self.token.as_ref(),
            file: self.token_file.as_ref(),
            env: self.token_env.as_ref(),
            credential: self.token_credential.as_ref(),
        }
    }

    /// The keys of the webhook's address.
    pub fn webhook(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "webhook",
            inline: self.webhook.as_ref(),
            file: self.webhook_file.as_ref(),
            env: self.webhook_env.as_ref(),
            credential: self.webhook_credential.as_ref(),
        }
    }

    /// The keys of the signing secret.
    pub fn signing_secret(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "signing_secret",
            inline: self.signing_secret.as_ref(),
            file: self.signing_secret_file.as_ref(),
            env: self.signing_secret_env.as_ref(),
            credential: self.signing_secret_credential.as_ref(),
        }
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: serde_saphyr::Location, all: &mut Vec<PlacedComplaint>) {
        all.extend(self.url.as_ref().and_then(|address| url::complaint("url", address)));
        all.extend(self.signing_secret().place().err());
        match (self.token().place(), self.webhook().place()) {
            (Err(complaint), _) | (_, Err(complaint)) => all.push(complaint),
            (Ok(Some(_)), Ok(Some(_))) => {
                all.push(PlacedComplaint::at(
                    of,
                    "`token` and `webhook` exclude each other",
                    "a token does more: drop the webhook",
                ));
            }
            (Ok(None), Ok(None)) => {
                let hint = "set token_file and channel; or webhook_file for an incoming webhook, which cannot edit messages";
                all.push(PlacedComplaint::at(of, "this receiver has neither `token` nor `webhook`", hint));
            }
            (Ok(Some(_)), Ok(None)) if self.channel.is_none() => {
                all.push(PlacedComplaint::at(of, "`channel` is missing", "write for example channel: \"#alerts\", in quotes"));
            }
            (Ok(None), Ok(Some(_))) => {
                if let Some(channel) = &self.channel {
                    let hint = "an incoming webhook has a channel of its own";
                    all.push(PlacedComplaint::about(channel, "`channel` has no effect with `webhook`", hint));
                }
            }
            (Ok(Some(_)), Ok(None)) => {}
        }
    }
}

/// How messages get to Slack.
pub enum SlackWay {
    /// By the Web API.
    Bot {
        /// The token.
        token: Hidden,
        /// The channel.
        channel: String,
    },
    /// By an incoming webhook.
    Webhook(Hidden),
}

/// A channel of Slack.
pub struct Slack {
    way: SlackWay,
    url: String,
    mention: Option<String>,
    /// Whether somebody reads which buttons are pressed.
    has_buttons: bool,
    texts: Texts,
}

impl Slack {
    /// With its secret.
    pub fn new(config: &SlackConfig, way: SlackWay, texts: Texts) -> Self {
        let url = url::base(config.url.as_ref(), URL).to_string();
        let has_buttons = matches!(config.signing_secret().place(), Ok(Some(_)));
        Self { way, url, mention: config.mention.clone(), has_buttons, texts }
    }

    fn post(&self, method: &'static str, step: &'static str, token: &Hidden, body: &Value) -> Call {
        let headers = vec![
            ("content-type", "application/json; charset=utf-8".to_string()),
            ("authorization", format!("Bearer {}", token.0)),
        ];
        let url = format!("{}/{method}", self.url);
        let request = HttpRequest { method: "POST", url, headers, body: body.to_string().into_bytes() };
        Call { step, only_asks: false, request: Request::Http(request) }
    }

    fn ask(&self, query: String, step: &'static str, token: &Hidden) -> Call {
        let headers = vec![("authorization", format!("Bearer {}", token.0))];
        let request = HttpRequest { method: "GET", url: format!("{}/{query}", self.url), headers, body: Vec::new() };
        Call { step, only_asks: true, request: Request::Http(request) }
    }

    /// The message of the channel, as it is now.
    fn root(&self, incident: &IncidentView, with_sound: bool) -> Value {
        let title = self.texts.render(Part::Title, incident);
        let mut text = escaped(&self.texts.render(Part::Text, incident));
        if let Some(mention) = self.mention.as_ref().filter(|_| with_sound && incident.severity == Severity::Critical) {
            text = format!("{mention} {text}");
        }
        let mut blocks = vec![
            json!({ "type": "header", "text": { "type": "plain_text", "text": shortened_chars(&format!("{} {title}", mark(incident)), HEADER_CHARS_MAX) } }),
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": shortened_chars(&text, SECTION_CHARS_MAX) } }),
            json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": context(incident) }] }),
        ];
        let buttons = self.buttons(incident);
        if !buttons.is_empty() {
            blocks.push(json!({ "type": "actions", "elements": buttons }));
        }
        json!({ "text": shortened_chars(&escaped(&title), TEXT_CHARS_MAX), "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
    }

    /// Few: what one can do now, and where one can look.
    fn buttons(&self, incident: &IncidentView) -> Vec<Value> {
        let button = |name: &str, action: &str, key: &str, value: &str| json!({ "type": "button", "text": { "type": "plain_text", "text": name }, "action_id": action, key: value });
        let can_act = self.has_buttons && incident.is_open();
        let acknowledge = (can_act && incident.acknowledged_by.is_none()).then_some(("Acknowledge", ACKNOWLEDGE));
        let acts = acknowledge.into_iter().chain(can_act.then_some(("Silence 1 h", SILENCE)));
        let page = self.texts.link(incident).map(|link| ("Open", link));
        let links = page.into_iter().chain(runbooks(incident).into_iter().next().map(|link| ("Runbook", link)));
        let links = links.filter(|(_, link)| link.chars().count() <= BUTTON_URL_CHARS_MAX);
        acts.map(|(name, action)| button(name, action, "value", &incident.id))
            .chain(links.map(|(name, link)| button(name, name, "url", &link)))
            .collect()
    }

    /// What is new, for the thread.
    fn news(&self, incident: &IncidentView) -> Value {
        let mention = self
            .mention
            .as_deref()
            .filter(|_| incident.severity == Severity::Critical)
            .map_or(String::new(), |it| format!("{it} "));
        let title = escaped(&self.texts.render(Part::Title, incident));
        let text = format!("{mention}*{title}*\n{}", escaped(&self.texts.render(Part::Text, incident)));
        json!({ "text": shortened_chars(&text, SECTION_CHARS_MAX), "unfurl_links": false, "unfurl_media": false })
    }

    fn next_of_bot(&self, job: &Job<'_>, token: &Hidden, channel: &str) -> Option<Call> {
        let Job { incident, news, record, .. } = job;
        let remote = |key: &str| record.remote.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let id = remote(CHANNEL);
        let since_ms = record.pending.as_ref().map_or(job.now_ms, |pending| pending.since_ms);
        let Some(ts) = remote(TS) else {
            if record.is_done("post") || *news == News::Edit {
                return None;
            }
            if record.is_unknown("post") {
                let name = channel.trim_start_matches('#');
                let Some(id) = id.or(Some(name).filter(|name| is_channel_id(name))) else {
                    let cursor = remote(CURSOR).unwrap_or_default();
                    let query = format!(
                        "conversations.list?types=public_channel,private_channel&exclude_archived=true&limit=1000&cursor={}",
                        encoded(cursor)
                    );
                    return Some(self.ask(query, "find_channel", token));
                };
                let oldest = (since_ms - LOOK_BEFORE_MS) / 1_000;
                let query =
                    format!("conversations.history?channel={id}&oldest={oldest}&limit={LOOK_MESSAGES}&include_all_metadata=true");
                return Some(self.ask(query, "find_post", token));
            }
            let mut body = self.root(incident, *news != News::Close);
            body["channel"] = json!(id.unwrap_or(channel));
            body["metadata"] = metadata(incident);
            return Some(self.post("chat.postMessage", "post", token, &body));
        };
        if record.is_done("post") {
            return None;
        }
        let id = id.unwrap_or(channel);
        if !record.is_done("edit") {
            let mut body = self.root(incident, false);
            body["channel"] = json!(id);
            body["ts"] = json!(ts);
            body["metadata"] = metadata(incident);
            return Some(self.post("chat.update", "edit", token, &body));
        }
        if *news != News::Update || record.is_done("thread") {
            return None;
        }
        if record.is_unknown("thread") {
            let query = format!("conversations.replies?channel={id}&ts={ts}&limit={LOOK_MESSAGES}&include_all_metadata=true");
            return Some(self.ask(query, "find_thread", token));
        }
        let mut body = self.news(incident);
        body["channel"] = json!(id);
        body["thread_ts"] = json!(ts);
        body["metadata"] = metadata(incident);
        Some(self.post("chat.postMessage", "thread", token, &body))
    }

    fn read_of_bot(&self, job: &Job<'_>, call: &Call, answer: &Answer, channel: &str) -> Reading {
        let body = match ok_body(answer) {
            Ok(body) => body,
            Err(Verdict::Final(error)) if GONE.contains(&error.as_str()) => {
                // Somebody deleted it: a new one takes its place.
                return Reading { verdict: Verdict::WasDone(false), remote: vec![(TS, String::new())] };
            }
            Err(verdict) => return Reading { verdict, remote: Vec::new() },
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let incident = job.incident;
        match call.step {
            "post" => {
                Reading { verdict: Verdict::Done, remote: vec![(CHANNEL, text(&body["channel"])), (TS, text(&body["ts"]))] }
            }
            "find_channel" => {
                let name = channel.trim_start_matches('#');
                let found = body["channels"].as_array().into_iter().flatten().find(|channel| channel["name"] == name);
                let cursor = text(&body["response_metadata"]["next_cursor"]);
                match found {
                    Some(found) => asked(vec![(CHANNEL, text(&found["id"])), (CURSOR, String::new())]),
                    None if !cursor.is_empty() => asked(vec![(CURSOR, cursor)]),
                    None => {
                        Reading { verdict: Verdict::Misconfigured(format!("there is no channel {channel}")), remote: Vec::new() }
                    }
                }
            }
            "find_post" => {
                let mine = |message: &&Value| {
                    let metadata = &message["metadata"];
                    metadata["event_type"] == EVENT_TYPE && metadata["event_payload"]["incident"] == incident.id.as_str()
                };
                let found = body["messages"].as_array().into_iter().flatten().find(mine);
                let remote = found.map(|found| vec![(TS, text(&found["ts"])), (CHANNEL, query_value(call, "channel"))]);
                // A message that is there may show an older revision: it is edited.
                Reading { verdict: Verdict::WasDone(false), remote: remote.unwrap_or_default() }
            }
            "find_thread" => {
                let mine = |message: &Value| {
                    let metadata = &message["metadata"];
                    message["thread_ts"] != message["ts"] && metadata["event_payload"]["revision"] == incident.revision
                };
                let found = body["messages"].as_array().into_iter().flatten().any(mine);
                Reading { verdict: Verdict::WasDone(found), remote: Vec::new() }
            }
            _ => Reading { verdict: Verdict::Done, remote: Vec::new() },
        }
    }
}

impl Receiver for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn for_people(&self) -> bool {
        true
    }

    fn wants(&self) -> Wants {
        Wants { edits: matches!(self.way, SlackWay::Bot { .. }), past: true, all: false }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        match &self.way {
            SlackWay::Bot { token, channel } => self.next_of_bot(job, token, channel),
            SlackWay::Webhook(_) if job.record.is_done("post") => None,
            SlackWay::Webhook(address) => {
                let body = self.root(job.incident, job.news != News::Close).to_string().into_bytes();
                let headers = vec![("content-type", "application/json".to_string())];
                let request = HttpRequest { method: "POST", url: address.0.clone(), headers, body };
                Some(Call { step: "post", only_asks: false, request: Request::Http(request) })
            }
        }
    }

    fn read(&self, job: &Job<'_>, call: &Call, answer: &Answer) -> Reading {
        match &self.way {
            SlackWay::Bot { channel, .. } => self.read_of_bot(job, call, answer, channel),
            SlackWay::Webhook(_) => {
                let verdict = match answer {
                    Answer::Http { status: 400..=499, body, .. } => of_error(&String::from_utf8_lossy(body), answer),
                    answer => answer.verdict(),
                };
                Reading { verdict, remote: Vec::new() }
            }
        }
    }
}

/// The next question may be asked: whether the step was done is still unknown.
fn asked(remote: Vec<(&'static str, String)>) -> Reading {
    Reading { verdict: Verdict::AskOn, remote }
}

/// The body of an answer that says `ok`. HTTP 200 alone says nothing.
fn ok_body(answer: &Answer) -> Result<Value, Verdict> {
    let Answer::Http { status: 200, body, .. } = answer else { return Err(answer.verdict()) };
    let unreadable =
        || Verdict::Retry { why: format!("no answer of Slack's: {}", answer.in_words()), after_ms: None, unknown: true };
    let body: Value = serde_json::from_slice(body).map_err(|_| unreadable())?;
    match (body["ok"].as_bool(), body["error"].as_str()) {
        (Some(true), _) => Ok(body),
        (Some(false), Some(error)) => Err(of_error(error, answer)),
        _ => Err(unreadable()),
    }
}

fn of_error(error: &str, answer: &Answer) -> Verdict {
    let error = error.trim();
    if FOR_NOW.contains(&error) || matches!(answer, Answer::Http { status: 429, .. }) {
        let after_ms = match answer {
            Answer::Http { retry_after_s, .. } => retry_after_s.map(|seconds| seconds.saturating_mul(1_000)),
            _ => None,
        };
        return Verdict::Retry { why: error.into(), after_ms, unknown: false };
    }
    if MISCONFIGURED.contains(&error) {
        return Verdict::Misconfigured(format!("Slack answers {error}"));
    }
    Verdict::Final(error.into())
}

fn metadata(incident: &IncidentView) -> Value {
    json!({ "event_type": EVENT_TYPE, "event_payload": { "incident": incident.id, "revision": incident.revision } })
}

fn mark(incident: &IncidentView) -> &'static str {
    match (incident.status, incident.severity) {
        (ViewStatus::Resolved | ViewStatus::Merged, _) => "✅",
        (ViewStatus::Open, Severity::Critical) => "🔴",
        (ViewStatus::Open, Severity::Warning) => "🟠",
        (ViewStatus::Open, Severity::Info) => "🔵",
    }
}

fn context(incident: &IncidentView) -> String {
    let mut parts = vec![format!("since {}", date(incident.started_at))];
    parts.extend(incident.resolved_at.map(|at| format!("ended {}", date(at))));
    parts.push(format!("`{}`", escaped(&incident.id)));
    shortened_chars(&parts.join(" · "), SECTION_CHARS_MAX)
}

/// A time that Slack shows in the reader's zone.
fn date(at_ms: TimestampMs) -> String {
    format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{}>", at_ms / 1_000, format_rfc3339(at_ms))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn is_channel_id(name: &str) -> bool {
    name.len() >= 9 && name.starts_with(['C', 'G', 'D']) && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn query_value(call: &Call, key: &str) -> String {
    let Request::Http(request) = &call.request else { return String::new() };
    let query = request.url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_string()
}
