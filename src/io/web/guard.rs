//! What each request passes before a page is made: whether it may, and who sent it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::io::web::access::comes_from_us;
use crate::io::web::answer;
use crate::io::web::cookie::{LANGUAGE_COOKIE, NAME_COOKIE, cookie};
use crate::io::web::site::Site;
use crate::page::language::Language;
use crate::page::pages::Reader;

/// Lets through what may pass, with who it is.
pub(crate) async fn guard(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let reader = reader(request.headers());
    let refused = |why: &str| answer::error(&site, &reader, StatusCode::FORBIDDEN, "This is not allowed.", why, None);
    let Some(host) = host(&request) else {
        return refused("the request names no host");
    };
    if !site.access.is_ours(&host) {
        return refused("this site is not known by that name: add it to http.hosts in squelch.yaml");
    }
    if request.method() == Method::POST
        && let Err(why) = comes_from_us(request.headers(), &host, &site.access)
    {
        return refused(why);
    }
    request.extensions_mut().insert(reader);
    next.run(request).await
}

/// The host that the request is for, with its port.
fn host(request: &Request) -> Option<String> {
    // HTTP/2 has it in the address.
    let of_address = request.uri().authority().map(ToString::to_string);
    let of_header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(String::from);
    of_address.or(of_header)
}

/// What the headers say of who reads.
fn reader(headers: &HeaderMap) -> Reader {
    let chosen = cookie(headers, LANGUAGE_COOKIE).and_then(|tag| Language::of_tag(&tag));
    let liked = || {
        let header = headers.get(header::ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok());
        header.map(Language::of_header).unwrap_or_default()
    };
    Reader {
        language: chosen.unwrap_or_else(liked),
        typed_name: cookie(headers, NAME_COOKIE).unwrap_or_default(),
        may_act: true,
        ..Reader::default()
    }
}
