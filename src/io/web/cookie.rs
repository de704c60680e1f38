//! What browsers keep for the pages.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use crate::page::text::in_address;

/// The cookie with the language that was chosen.
pub(crate) const LANGUAGE_COOKIE: &str = "squelch_language";
/// The cookie with the name that was typed last.
pub(crate) const NAME_COOKIE: &str = "squelch_name";

/// How long a browser keeps a choice: a year.
const KEPT_SECONDS: u32 = 365 * 24 * 3600;

/// Has the browser keep a choice.
pub(crate) fn keep(response: &mut Response, name: &str, value: &str) {
    let cookie = format!("{name}={}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Lax", in_address(value));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// The value of a cookie, written as in an address.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_static("a=b; squelch_name=%ED%95%9C%20x; squelch_language=ko"));
        assert_eq!(cookie(&headers, NAME_COOKIE), Some("한 x".into()));
        assert_eq!(cookie(&headers, LANGUAGE_COOKIE), Some("ko".into()));
        headers.insert("cookie", HeaderValue::from_static("squelch_name=%E"));
        assert_eq!(cookie(&headers, NAME_COOKIE), None);
    }
}
