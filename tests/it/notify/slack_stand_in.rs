//! A stand-in of Slack's Web API: one channel with its messages and threads. It checks tokens, schema and limits, and answers as Slack does:
//! with HTTP 200 and `ok: false` where something is wrong.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::notify::stand_in::{Seen, StandIn};

pub const TOKEN: &str = "xoxb-0123456789-secret";
pub const CHANNEL: &str = "C0123456789";

/// What is in the channel: messages and replies, in order.
#[derive(Clone, Default)]
pub struct Channel(Arc<Mutex<Vec<Value>>>);

impl Channel {
    /// Messages that are no reply.
    pub fn roots(&self) -> Vec<Value> {
        self.0.lock().unwrap().iter().filter(|message| message["thread_ts"].is_null()).cloned().collect()
    }

    /// Replies in all threads.
    pub fn replies(&self) -> Vec<Value> {
        self.0.lock().unwrap().iter().filter(|message| !message["thread_ts"].is_null()).cloned().collect()
    }

    /// Somebody deletes all messages.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A running stand-in and its channel.
pub fn slack() -> (StandIn, Channel) {
    let channel = Channel::default();
    let messages = channel.clone();
    (StandIn::start(move |seen| answer(seen, &messages.0)), channel)
}

fn answer(seen: &Seen, messages: &Mutex<Vec<Value>>) -> Result<(u16, String), String> {
    let say = |body: Value| Ok((200, body.to_string()));
    let refuse = |error: &str| say(json!({ "ok": false, "error": error }));
    if seen.header("authorization") != format!("Bearer {TOKEN}") {
        return refuse("invalid_auth");
    }
    let (method, query) = seen.path.trim_start_matches('/').split_once('?').unwrap_or((seen.path.trim_start_matches('/'), ""));
    let parameter = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
    let mut messages = messages.lock().unwrap();
    match method {
        "chat.postMessage" | "chat.update" => {
            let mut message = seen.json();
            check_message(&message)?;
            if ![CHANNEL, "#alerts"].contains(&message["channel"].as_str().unwrap_or_default()) {
                return refuse("channel_not_found");
            }
            if method == "chat.update" {
                let Some(old) = messages.iter_mut().find(|old| old["ts"] == message["ts"]) else {
                    return refuse("message_not_found");
                };
                *old = message.clone();
                return say(json!({ "ok": true, "channel": CHANNEL, "ts": message["ts"] }));
            }
            if !message["thread_ts"].is_null() && !messages.iter().any(|root| root["ts"] == message["thread_ts"]) {
                return Err("a reply to no message".into());
            }
            let ts = format!("1773456430.{:06}", messages.len() + 1);
            message["ts"] = json!(ts);
            messages.push(message);
            say(json!({ "ok": true, "channel": CHANNEL, "ts": ts }))
        }
        "conversations.list" => {
            // Two pages: the channel is on the second one.
            if parameter("cursor").is_empty() {
                return say(json!({ "ok": true, "channels": [{ "id": "C0000000000", "name": "general" }],
                                   "response_metadata": { "next_cursor": "dGVhbTpDMDI=" } }));
            }
            say(
                json!({ "ok": true, "channels": [{ "id": CHANNEL, "name": "alerts" }], "response_metadata": { "next_cursor": "" } }),
            )
        }
        "conversations.history" if parameter("channel") == CHANNEL && parameter("include_all_metadata") == "true" => {
            let roots: Vec<&Value> = messages.iter().rev().filter(|message| message["thread_ts"].is_null()).collect();
            say(json!({ "ok": true, "messages": roots, "has_more": false }))
        }
        "conversations.replies" if parameter("channel") == CHANNEL && parameter("include_all_metadata") == "true" => {
            let ts = parameter("ts");
            let thread: Vec<Value> = messages
                .iter()
                .filter(|message| message["ts"] == ts || message["thread_ts"] == ts)
                .map(|message| {
                    let mut message = message.clone();
                    message["thread_ts"] = json!(ts);
                    message
                })
                .collect();
            say(json!({ "ok": true, "messages": thread, "has_more": false }))
        }
        other => Err(format!("there is no {other}")),
    }
}

/// The published limits of a message and its blocks, and the unwritten one of all blocks together.
pub fn check_message(message: &Value) -> Result<(), String> {
    let within = |text: &Value, what: &str, max: usize| match text.as_str() {
        Some(text) if !text.is_empty() && text.chars().count() <= max => Ok(text.chars().count()),
        other => Err(format!("{what}: {other:?}")),
    };
    within(&message["text"], "text", 40_000)?;
    if message["unfurl_links"] != false {
        return Err("unfurl_links".into());
    }
    let blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    if blocks.len() > 50 {
        return Err(format!("{} blocks", blocks.len()));
    }
    let mut characters = 0;
    for block in &blocks {
        match block["type"].as_str() {
            Some("header") => {
                if block["text"]["type"] != "plain_text" {
                    return Err("a header is plain text".into());
                }
                characters += within(&block["text"]["text"], "header", 150)?;
            }
            Some("section") => characters += within(&block["text"]["text"], "section", 3_000)?,
            Some("context") => {
                for element in block["elements"].as_array().ok_or("context")?.iter() {
                    characters += within(&element["text"], "context", 3_000)?;
                }
            }
            Some("actions") => {
                let elements = block["elements"].as_array().ok_or("actions")?;
                if elements.is_empty() || elements.len() > 25 {
                    return Err("actions".into());
                }
                for element in elements {
                    within(&element["text"]["text"], "button", 75)?;
                    within(&element["url"], "button url", 3_000)?;
                    within(&element["action_id"], "action_id", 255)?;
                }
            }
            other => return Err(format!("block {other:?}")),
        }
    }
    if characters > 13_200 { Err(format!("{characters} characters in all blocks: msg_blocks_too_long")) } else { Ok(()) }
}
