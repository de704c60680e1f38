//! The setting `input.formats`: which format the messages on which subjects have, for senders that set no header.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::decode::format::Format;
use crate::io::decode::formats;

/// Formats by subject; the first pattern that matches counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubjectFormats(Vec<(String, &'static Format)>);

impl SubjectFormats {
    /// The format of the messages on a subject.
    pub fn of(&self, subject: &str) -> Option<&'static Format> {
        self.0.iter().find(|(pattern, _)| matches(pattern, subject)).map(|(_, format)| *format)
    }
}

/// Whether a subject matches a pattern, in which `*` stands for one token and `>` for all that follow.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn is_pattern(pattern: &str) -> bool {
    let tokens: Vec<&str> = pattern.split('.').collect();
    let valid = |(at, token): (usize, &&str)| match *token {
        "" => false,
        ">" => at + 1 == tokens.len(),
        "*" => true,
        token => !token.contains(['*', '>']) && !token.contains(char::is_whitespace),
    };
    tokens.iter().enumerate().all(valid)
}

impl<'de> Deserialize<'de> for SubjectFormats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PatternsVisitor;
        impl<'de> Visitor<'de> for PatternsVisitor {
            type Value = SubjectFormats;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of subjects and the names of formats")
            }

            fn visit_unit<E: Error>(self) -> Result<SubjectFormats, E> {
                Ok(SubjectFormats::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SubjectFormats, A::Error> {
                let mut all = Vec::new();
                while let Some((pattern, name)) = map.next_entry::<String, String>()? {
                    if !is_pattern(&pattern) {
                        return Err(A::Error::custom(format!(
                            "{pattern:?} is no subject: write for example telegraf.> or otel.*.logs"
                        )));
                    }
                    let format = formats::of_name(&name)
                        .ok_or_else(|| A::Error::custom(format!("{name:?} is no format: use one of {}", formats::names())))?;
                    all.push((pattern, format));
                }
                Ok(SubjectFormats(all))
            }
        }
        deserializer.deserialize_any(PatternsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_subjects_of_nats_do() {
        for (pattern, subject, want) in [
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.*.c", "a.b.c", true),
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
        ] {
            assert_eq!(matches(pattern, subject), want, "{pattern} {subject}");
        }
        for (pattern, want) in
            [("a.>", true), ("a.>.b", false), ("a..b", false), ("", false), ("a*", false), ("a b", false), ("*", true)]
        {
            assert_eq!(is_pattern(pattern), want, "{pattern}");
        }
    }
}
