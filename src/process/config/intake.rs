//! The intake's settings: addresses, tokens, TLS, limits, and the subjects that what is taken in goes to.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::decode::command::CommandOrigin;
use crate::io::nats::client::settings::{InputConfig, PARTITION_WORD};
use crate::model::event::Kind;
use crate::model::hex;
use crate::model::limits::{INTAKE_BODY_BYTES_MAX, SUBJECT_TOKEN_BYTES_MAX};

/// What is taken in over HTTP and syslog.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct IntakeConfig {
    /// Addresses besides `http.listen`. One, a list, or `off`.
    pub listen: Addresses,
    /// TLS on these addresses.
    pub tls: ListenTls,
    /// An address for syslog over TCP and UDP, or `off`.
    #[serde(deserialize_with = "address_or_off")]
    pub syslog_listen: Option<SocketAddr>,
    /// How the subjects begin that it publishes on. `None`: as those of `input.subjects` do.
    pub subject: Option<String>,
    /// Who may send. Where there are none everybody may, on loopback.
    pub tokens: Vec<TokenConfig>,
    /// Bytes of one body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are under way.
    pub in_flight_bytes: usize,
}

/// A certificate and its key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ListenTls {
    /// The certificate, with those between it and its authority.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// A sender's token.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Whose it is: the last part of the subject.
    pub name: String,
    /// A file that holds the token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Or its SHA-256 in hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// The hash of a weak token gives it away.
impl fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenConfig").field("name", &self.name).field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

/// Addresses to listen on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addresses(pub Vec<SocketAddr>);

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            listen: Addresses::default(),
            tls: ListenTls::default(),
            syslog_listen: None,
            subject: None,
            tokens: Vec::new(),
            body_bytes: INTAKE_BODY_BYTES_MAX,
            in_flight_bytes: 4 * INTAKE_BODY_BYTES_MAX,
        }
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;
        impl<'de> Visitor<'de> for Listed {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an address, a list of addresses, or off")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                if text == "off" { Ok(Addresses::default()) } else { Ok(Addresses(vec![address(text)?])) }
            }

            // YAML reads `off` as false.
            fn visit_bool<E: de::Error>(self, listens: bool) -> Result<Addresses, E> {
                if listens { Err(E::invalid_type(de::Unexpected::Bool(listens), &self)) } else { Ok(Addresses::default()) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    addresses.push(address(&text)?);
                }
                Ok(Addresses(addresses))
            }
        }
        deserializer.deserialize_any(Listed)
    }
}

fn address_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" { Ok(None) } else { address(&text).map(Some) }
}

fn address<E: de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| E::custom(format!("{text:?} is no address: write for example 127.0.0.1:4318, or off")))
}

impl IntakeConfig {
    /// How the subjects begin that it publishes on. `None` where `input.subjects` has no room for any.
    pub fn subject(&self, input: &InputConfig) -> Option<String> {
        if let Some(subject) = &self.subject {
            return Some(subject.clone());
        }
        let prefixes = input.subjects.iter().filter_map(|subject| subject.strip_suffix(".>"));
        let plain = prefixes.filter(|prefix| is_subject(prefix) && !prefix.contains(PARTITION_WORD));
        // Nothing that is taken in becomes a command.
        let mut plain = plain.filter(|prefix| CommandOrigin::of_subject(prefix).is_none());
        plain.next().map(String::from)
    }

    /// Whether it has an address of its own.
    pub fn is_asked_for(&self) -> bool {
        !self.listen.0.is_empty() || self.syslog_listen.is_some()
    }

    /// What is wrong: the key, why, and what to do.
    pub fn problems(&self, input: &InputConfig) -> Vec<(&'static str, String, &'static str)> {
        let mut all = Vec::new();
        let open = self.listen.0.iter().find(|address| !address.ip().is_loopback());
        if let Some(open) = open.filter(|_| self.tokens.is_empty()) {
            let hint = "set intake.tokens, so that not everybody can send, or listen on 127.0.0.1";
            all.push((
                "intake.listen",
                format!("intake.listen is {open}, which others can reach, and there are no tokens"),
                hint,
            ));
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            let given = if self.tls.cert_file.is_some() { "intake.tls.cert_file" } else { "intake.tls.key_file" };
            all.push((given, "intake.tls.cert_file and intake.tls.key_file belong together".into(), "set both or none"));
        }
        self.check_subject(input, &mut all);
        self.check_tokens(&mut all);
        if self.body_bytes == 0 {
            all.push(("intake.body_bytes", "intake.body_bytes is 0".into(), "67108864 is usual: as much as OTLP allows"));
        }
        if self.in_flight_bytes < self.body_bytes {
            let message = "intake.in_flight_bytes is less than intake.body_bytes".into();
            all.push(("intake.in_flight_bytes", message, "the largest body must fit: raise it, or lower intake.body_bytes"));
        }
        all
    }

    fn check_subject(&self, input: &InputConfig, all: &mut Vec<(&'static str, String, &'static str)>) {
        match &self.subject {
            Some(subject) if !is_subject(subject) => {
                let message = format!("{subject:?} is no beginning of subjects");
                all.push(("intake.subject", message, "write for example events: letters, digits, - and _, with dots between"));
            }
            Some(subject) if CommandOrigin::of_subject(subject).is_some() => {
                let message = format!("{subject} is for commands: what is taken in would become some");
                all.push(("intake.subject", message, "write another beginning, for example events"));
            }
            Some(subject) => {
                let reads = |known: &String| known.contains(PARTITION_WORD) || takes_all_below(known, subject);
                if !input.subjects.iter().any(reads) {
                    let message = format!("input.subjects has no {subject}.>: nobody would read what is taken in");
                    all.push(("intake.subject", message, "write how one of input.subjects begins, for example events"));
                }
            }
            None if self.is_asked_for() && self.subject(input).is_none() => {
                let message = "none of input.subjects ends in .>, so there is no subject for what is taken in".into();
                all.push(("intake.listen", message, "set intake.subject to where it should go, for example events"));
            }
            None => {}
        }
    }

    fn check_tokens(&self, all: &mut Vec<(&'static str, String, &'static str)>) {
        let mut names = BTreeSet::new();
        for token in &self.tokens {
            let name = &token.name;
            let is_token = !name.is_empty() && name.len() <= SUBJECT_TOKEN_BYTES_MAX;
            if !is_token || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                let message = format!("{name:?} is no name of a sender");
                all.push(("intake.tokens", message, "use letters, digits, - and _: it becomes a part of the subject"));
            } else if name.parse::<Kind>().is_ok() {
                let message = format!("a sender is called {name}, which is a kind of events");
                all.push((
                    "intake.tokens",
                    message,
                    "use another name: it becomes a part of the subject, where a kind has a meaning",
                ));
            }
            if !names.insert(name) {
                all.push(("intake.tokens", format!("two senders are called {name}"), "each token has a name of its own"));
            }
            match (&token.token_file, &token.sha256) {
                (Some(_), None) => {}
                (None, Some(hash)) if hash_of(hash).is_some() => {}
                (None, Some(_)) => {
                    let message = format!("sha256 of {name} is no SHA-256");
                    all.push(("intake.tokens", message, "write 64 hexadecimal digits: printf %s TOKEN | sha256sum"));
                }
                _ => {
                    let message = format!("the token of {name} needs token_file or sha256");
                    all.push(("intake.tokens", message, "write one of them: a file with the token, or its hash"));
                }
            }
        }
    }
}

/// The hash that hexadecimal digits say.
pub fn hash_of(digits: &str) -> Option<[u8; 32]> {
    hex::bytes(digits)?.try_into().ok()
}

fn is_subject(text: &str) -> bool {
    text.split('.').all(|token| !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)))
}

/// Whether the subjects take everything that begins so.
fn takes_all_below(known: &str, prefix: &str) -> bool {
    let (mut known, mut prefix) = (known.split('.'), prefix.split('.'));
    loop {
        match (known.next(), prefix.next()) {
            (Some(">"), _) => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_begins_as_the_input_does() {
        let of = |subjects: &[&str]| {
            let subjects = subjects.iter().map(ToString::to_string).collect();
            IntakeConfig::default().subject(&InputConfig { subjects, ..InputConfig::default() })
        };
        assert_eq!(of(&["events.>"]), Some("events".into()));
        assert_eq!(of(&["events.metrics.app", "ops.in.>"]), Some("ops.in".into()));
        assert_eq!(of(&["events.*.{partition}.>"]), None);
        assert_eq!(of(&["events.metrics.app"]), None);
        assert_eq!(of(&[">"]), None);
    }

    #[test]
    fn what_is_read_is_known() {
        for (known, prefix, reads) in [
            ("events.>", "events", true),
            ("events.>", "events.a", true),
            ("events.*.>", "events.a", true),
            ("events.metrics.>", "events", false),
            ("events.metrics", "events.metrics", false),
            ("other.>", "events", false),
            (">", "events", true),
        ] {
            assert_eq!(takes_all_below(known, prefix), reads, "{known} {prefix}");
        }
    }
}
