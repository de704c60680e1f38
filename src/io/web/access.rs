//! Which requests a page of another site could have sent through the browser of somebody who may see and act here. Such a page must
//! neither read nor act: so the `Host` must be one that is meant, and whatever acts must come from a page of ours.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};

/// Who may see and do what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Names of the site besides numeric addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Access {
    /// Whether a site of this name is ours. A numeric address cannot be a name that somebody else made lead here.
    pub(crate) fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        let numeric = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        numeric || name.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|letter| letter.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether what acts was sent by a page of ours, or by no browser at all.
pub(crate) fn comes_from_us(headers: &HeaderMap, host: &str, access: &Access) -> Result<(), &'static str> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    if let Some(origin) = text(header::ORIGIN) {
        let from = origin.split_once("://").map(|(_, from)| from).unwrap_or_default();
        // A proxy may have changed the host, not the name that its users know.
        let is_ours =
            from.eq_ignore_ascii_case(host) || access.hosts.iter().any(|known| known.eq_ignore_ascii_case(without_port(from)));
        return if is_ours { Ok(()) } else { Err("a page of another site sent this") };
    }
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err("a page of another site sent this"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        let access = Access { hosts: vec!["squelch.example.com".into()] };
        for (host, ours) in [
            ("127.0.0.1:9464", true),
            ("[::1]:9464", true),
            ("::1", true),
            ("localhost", true),
            ("LOCALHOST:80", true),
            ("squelch.example.com:443", true),
            ("squelch.example.com", true),
            ("evil.example.com:9464", false),
            ("squelch.example.com.evil.com", false),
            ("127.0.0.1.evil.com", false),
            ("", false),
        ] {
            assert_eq!(access.is_ours(host), ours, "{host}");
        }
    }

    #[test]
    fn only_our_pages_may_act() {
        let access = Access { hosts: vec!["squelch.example.com".into()] };
        for (name, value, ours) in [
            ("origin", "http://127.0.0.1:9464", true),
            ("origin", "https://squelch.example.com", true),
            ("origin", "http://127.0.0.1:80", false),
            ("origin", "https://evil.example.com", false),
            ("origin", "null", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
            ("accept", "*/*", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(comes_from_us(&headers, "127.0.0.1:9464", &access).is_ok(), ours, "{name}: {value}");
        }
    }
}
