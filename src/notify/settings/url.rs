//! The address of a receiver: `http` or `https`, a host, and nothing secret before it.

use serde_saphyr::{Location, Spanned};

use crate::notify::settings::complaint::PlacedComplaint;

/// What is wrong with an address, if anything is. The address itself is not shown where it may hold a secret.
pub fn complaint(key: &str, url: &Spanned<String>) -> Option<PlacedComplaint> {
    let say = |message: String, hint: &str| Some(PlacedComplaint::about(url, message, hint));
    let example = "write for example https://example.com/hook";
    let Some((scheme, rest)) = url.value.split_once("://") else {
        return say(format!("`{key}` is no URL"), example);
    };
    if !matches!(scheme, "http" | "https") {
        return say(format!("`{key}` begins with {scheme}://, it must begin with https:// or http://"), example);
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return say(
            format!("`{key}` has a user or password before the host"),
            "put it into a header or a secret of this receiver",
        );
    }
    let (name, port) = host.rsplit_once(':').filter(|(name, _)| !name.ends_with(':') && !name.is_empty()).unwrap_or((host, "80"));
    if name.is_empty() || port.parse::<u16>().is_err() || url.value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return say(format!("`{key}` is no URL"), example);
    }
    None
}

/// The same of an address that a receiver, which stands at `of`, cannot do without.
pub fn required(url: Option<&Spanned<String>>, of: Location, example: &str) -> Option<PlacedComplaint> {
    match url {
        Some(url) => complaint("url", url),
        None => Some(PlacedComplaint::at(of, "`url` is missing", format!("write for example url: {example}"))),
    }
}

/// The address that paths are appended to, or else `default`.
pub fn base<'a>(url: Option<&'a Spanned<String>>, default: &'a str) -> &'a str {
    url.map_or(default, |url| url.value.trim_end_matches('/'))
}
