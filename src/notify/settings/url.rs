//! The address of a receiver: `http` or `https`, a host, and nothing secret before it.

use serde_saphyr::Spanned;

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
