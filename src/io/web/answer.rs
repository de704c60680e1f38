//! Answers of the pages: HTML with the headers that keep it safe, and errors that a person can read.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::io::web::site::Site;
use crate::page::pages::{Frame, Reader};

/// No script, style, picture or form but our own, and no other page around it. `same-origin`, as with `no-referrer` browsers send no
/// `Origin` that could be checked.
const SAFE_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A page, or what to answer in its place.
pub(crate) type Answer = Result<Response, Response>;

pub(crate) async fn with_safe_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SAFE_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A page.
pub(crate) fn html(status: StatusCode, page: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// A page that says what went wrong. The heading is a text of the pages, the other one comes as it is.
pub(crate) fn error(site: &Site, reader: &Reader, status: StatusCode, heading: &str, text: &str, back: Option<&str>) -> Response {
    let heading = reader.language.text(heading);
    let frame = Frame { title: heading, address: "/incidents", ..Frame::default() };
    let values = json!({"heading": heading, "text": text, "back": back});
    html(status, site.pages.page("message.html", &frame, reader, values, &[]))
}

/// What cannot be shown for the moment.
pub(crate) fn unavailable(site: &Site, reader: &Reader, why: &str) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = error(site, reader, status, "It is not there for the moment.", why, None);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Waits until there is something to show.
pub(crate) async fn loaded(site: &Site, reader: &Reader) -> Result<(), Response> {
    site.backend.start();
    if site.feed.has_loaded(|progress| progress.open && progress.silences).await {
        return Ok(());
    }
    let why = site.feed.trouble().unwrap_or_else(|| "the open incidents are still being read".into());
    Err(unavailable(site, reader, &why))
}

/// What a page says after an action of this name.
pub(crate) fn done_text(name: &str) -> Option<&'static str> {
    Some(match name {
        "acknowledge" => "Acknowledged.",
        "unacknowledge" => "The acknowledgement was taken back.",
        "note" => "The note was added.",
        "resolve" => "Resolved.",
        "silence" => "It is silenced.",
        "expire" => "The silence has ended.",
        _ => return None,
    })
}
