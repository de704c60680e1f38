//! A JSON request to an HTTP service, which most receivers need.

use serde_json::Value;

use crate::notify::call::{Call, HttpRequest, Request};

/// A header with its value.
pub type Header = (&'static str, String);

/// Posts JSON.
pub fn post(step: &'static str, url: String, headers: Vec<Header>, body: &Value) -> Call {
    send(step, "POST", url, headers, body)
}

/// Sends JSON by another method.
pub fn send(step: &'static str, method: &'static str, url: String, headers: Vec<Header>, body: &Value) -> Call {
    let json = ("content-type", "application/json".to_string());
    let headers = std::iter::once(json).chain(headers).collect();
    let request = HttpRequest { method, url, headers, body: body.to_string().into_bytes() };
    Call { step, only_asks: false, request: Request::Http(request) }
}
