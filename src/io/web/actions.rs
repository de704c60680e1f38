//! What people do on a page: each form becomes the command that `squelch ack|silence|note` would send, and the page that follows shows the
//! revision that answers it, or why it was refused.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::io::web::answer::{Answer, error, unavailable};
use crate::io::web::backend::Outcome;
use crate::io::web::cookie::{LANGUAGE_COOKIE, NAME_COOKIE, keep};
use crate::io::web::feed::Feed;
use crate::io::web::request::{Fields, address, field, is_id};
use crate::io::web::site::Site;
use crate::model::command::CommandKind;
use crate::page::language::Language;
use crate::page::pages::Reader;
use crate::page::silences::SilenceForm;

/// How long to wait until the copy has a revision that was answered.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn of_incident(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<Fields>,
) -> Answer {
    let kind = match action.as_str() {
        "acknowledge" => CommandKind::Acknowledge,
        "unacknowledge" => CommandKind::Unacknowledge,
        "note" => CommandKind::Note,
        "resolve" => CommandKind::Resolve,
        _ => return Err(error(&site, &reader, StatusCode::NOT_FOUND, "There is no such page.", "", None)),
    };
    if !is_id(&id) {
        return Err(error(&site, &reader, StatusCode::NOT_FOUND, "There is no such incident.", "", None));
    }
    let mut fields = Map::from_iter([("incident".to_string(), Value::from(id.as_str()))]);
    fields.extend(field(&form, "for").map(|lasts| ("for".to_string(), lasts.into())));
    command(&site, &reader, &form, kind, fields, &address(&id), &action).await
}

pub(crate) async fn silence(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Form(form): Form<Fields>,
) -> Answer {
    let typed = SilenceForm::of(&form);
    let back = if is_id(&typed.incident) { address(&typed.incident) } else { "/silences".into() };
    command(&site, &reader, &form, typed.kind(), typed.command(), &back, "silence").await
}

pub(crate) async fn expire(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Path(id): Path<String>,
    Form(form): Form<Fields>,
) -> Answer {
    let fields = Map::from_iter([("silence".to_string(), id.into())]);
    command(&site, &reader, &form, CommandKind::Expire, fields, "/silences", "expire").await
}

/// Sends the command, and leads to the page that shows what came of it.
async fn command(
    site: &Site,
    reader: &Reader,
    form: &Fields,
    kind: CommandKind,
    mut fields: Map<String, Value>,
    back: &str,
    action: &str,
) -> Answer {
    let typed = field(form, "by").map(String::from).or_else(|| Some(reader.typed_name.clone()).filter(|name| !name.is_empty()));
    let Some(by) = reader.name.clone().or(typed) else {
        return Err(error(site, reader, StatusCode::BAD_REQUEST, "Nobody is named as the sender.", "", Some(back)));
    };
    fields.insert("by".into(), by.as_str().into());
    fields.insert("comment".into(), field(form, "comment").unwrap_or_default().into());
    site.backend.start();
    match site.backend.send(kind, fields).await {
        Ok(Outcome::Accepted { revisions }) => {
            for (incident, revision) in &revisions {
                shown(&site.feed, incident, *revision).await;
            }
            let mut response = Redirect::to(&format!("{back}?done={action}")).into_response();
            if reader.name.is_none() {
                keep(&mut response, NAME_COOKIE, &by);
            }
            Ok(response)
        }
        Ok(Outcome::Refused(why)) => Err(error(site, reader, StatusCode::CONFLICT, "This was refused.", &why, Some(back))),
        Ok(Outcome::Unanswered) => {
            let why = "no squelch has answered it yet: it counts once it is read";
            Err(error(site, reader, StatusCode::ACCEPTED, "It was sent, and is not decided yet.", why, Some(back)))
        }
        Err(why) => Err(unavailable(site, reader, &why)),
    }
}

/// Waits until the copy has this revision of an incident, or the incident has ended.
async fn shown(feed: &Feed, incident: &str, revision: u32) {
    let mut news = feed.news();
    let is_shown = || {
        let known = feed.read(|live| live.open.get(incident).map(|view| view.revision));
        known.is_none_or(|known| known >= revision)
    };
    let waiting = async {
        while !is_shown() {
            // What was missed has changed the copy all the same.
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = news.recv().await {
                return;
            }
        }
    };
    // The page shows what it has after that time.
    drop(timeout(SHOWN_WITHIN, waiting).await);
}

pub(crate) async fn language(Form(form): Form<Fields>) -> Response {
    let language = field(&form, "language").and_then(Language::of_tag).unwrap_or_default();
    // Only to a page of ours: `//` would begin the address of another site.
    let back = field(&form, "back").filter(|back| back.starts_with('/') && !back.starts_with("//") && !back.contains('\\'));
    let mut response = match HeaderValue::from_str(back.unwrap_or("/incidents")) {
        Ok(back) => (StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response(),
        Err(_) => Redirect::to("/incidents").into_response(),
    };
    keep(&mut response, LANGUAGE_COOKIE, language.tag());
    response
}
