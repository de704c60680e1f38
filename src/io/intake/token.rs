//! Tokens of senders: which header a sender shows one in, and whether it is known. Only hashes are kept, and they are compared in constant
//! time. A token is never logged.

use std::hint::black_box;

use axum::http::{HeaderMap, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// Headers that hold nothing but a token: Datadog's, New Relic's.
const TOKEN_HEADERS: [&str; 4] = ["dd-api-key", "api-key", "x-license-key", "x-insert-key"];
/// Words before a token in `Authorization`.
const SCHEMES: [&str; 4] = ["bearer", "splunk", "apikey", "token"];
/// Names of a token in the query: for senders that can send no header, as Splunk's alerts, and for old clients of Datadog.
const QUERY_KEYS: [&str; 2] = ["token", "api_key"];

/// A token that is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// Its hash.
    pub hash: TokenHash,
}

/// A hash may be of a weak token.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The hash of a token.
pub fn hash(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// No token was shown, or none that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownToken;

/// The tokens that are taken. Where there are none, everybody may send.
#[derive(Clone, Debug, Default)]
pub struct Tokens(pub Vec<Token>);

impl Tokens {
    /// The name of whoever shows a token that is known: `Ok(None)` where none is needed, `Err` where it is not known.
    pub fn sender(&self, shown: &[String]) -> Result<Option<String>, UnknownToken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut found = None;
        for shown in shown.iter().map(|shown| hash(shown.as_bytes())) {
            for token in &self.0 {
                if is_same(&shown, &token.hash) {
                    found = Some(token.name.clone());
                }
            }
        }
        found.map(Some).ok_or(UnknownToken)
    }
}

/// Looks at every byte, whatever the first ones are.
fn is_same(one: &TokenHash, other: &TokenHash) -> bool {
    black_box(one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other))) == 0
}

/// Everything in a request that may be a token.
pub fn shown(headers: &HeaderMap, uri: &Uri) -> Vec<String> {
    let mut shown = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok()) {
        let Some((scheme, token)) = value.trim().split_once(' ') else { continue };
        let token = token.trim();
        if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            shown.push(token.to_string());
        }
        // Basic: the password is the token. Elasticsearch's `ApiKey` is `id:key` in base64, and may be the token as a whole.
        if scheme.eq_ignore_ascii_case("basic") || scheme.eq_ignore_ascii_case("apikey") {
            let decoded = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            shown.extend(decoded.and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_string())));
        }
    }
    let bare = TOKEN_HEADERS.iter().flat_map(|name| headers.get_all(*name)).filter_map(|value| value.to_str().ok());
    shown.extend(bare.map(|token| token.trim().to_string()));
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    shown.extend(pairs.filter(|(key, _)| QUERY_KEYS.contains(key)).map(|(_, token)| token.to_string()));
    shown
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn each_system_shows_its_token_in_its_own_way() {
        let basic = format!("Basic {}", STANDARD.encode("squelch:s3cret"));
        let api_key = format!("ApiKey {}", STANDARD.encode("id:s3cret"));
        let cases = [
            ("authorization", "Bearer s3cret", true),
            ("authorization", "bearer  s3cret ", true),
            ("authorization", basic.as_str(), true),
            ("authorization", api_key.as_str(), true),
            ("authorization", "ApiKey s3cret", true),
            ("authorization", "Splunk s3cret", true),
            ("authorization", "Digest s3cret", false),
            ("authorization", "s3cret", false),
            ("authorization", "Bearer s3cret2", false),
            ("authorization", "Bearer s3cre", false),
            ("authorization", "Basic s3cret", false),
            ("dd-api-key", "s3cret", true),
            ("api-key", "s3cret", true),
            ("x-license-key", "s3cret", true),
            ("cookie", "s3cret", false),
        ];
        let tokens = Tokens(vec![
            Token { name: "other".into(), hash: hash(b"other") },
            Token { name: "web".into(), hash: hash(b"s3cret") },
        ]);
        for (name, value, known) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            let sender = tokens.sender(&shown(&headers, &Uri::from_static("/events")));
            assert_eq!(sender, if known { Ok(Some("web".to_string())) } else { Err(UnknownToken) }, "{name}: {value}");
        }
        for (uri, known) in [("/e?token=s3cret", true), ("/e?a=b&api_key=s3cret", true), ("/e?key=s3cret", false), ("/e", false)]
        {
            let sender = tokens.sender(&shown(&HeaderMap::new(), &uri.parse().unwrap()));
            assert_eq!(sender.is_ok(), known, "{uri}");
        }
        assert_eq!(Tokens::default().sender(&[]), Ok(None));
        assert!(!format!("{tokens:?}").contains(&format!("{:?}", hash(b"s3cret"))));
    }
}
