//! Matchers of labels, as Alertmanager's: `=`, `!=`, `=~`, `!~`. A regular expression must match the whole value; a missing label has the
//! empty value.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::limits::PATTERN_BYTES_MAX;

/// Bytes of one compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator of Alertmanager's two flags.
    pub fn of_flags(is_regex: bool, is_equal: bool) -> Self {
        match (is_regex, is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        }
    }

    /// Whether the value is a regular expression.
    pub fn is_regex(self) -> bool {
        matches!(self, MatchOp::Regex | MatchOp::NotRegex)
    }

    /// Whether a value that is the same matches.
    pub fn is_equal(self) -> bool {
        matches!(self, MatchOp::Equal | MatchOp::Regex)
    }

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// One matcher.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

/// The text is no matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMatcher {
    /// It has no name.
    #[error("{0:?} names no label: write for example service=\"chat\"")]
    Name(String),
    /// It has no operator.
    #[error("{0:?} is no matcher: write name=value, name!=value, name=~regex or name!~regex")]
    Operator(String),
    /// The quotes do not close, or something follows them.
    #[error("the quotes in {0:?} do not close")]
    Quotes(String),
    /// The regular expression is none, or too large.
    #[error("{pattern:?} is no regular expression: {why}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// What is wrong.
        why: String,
    },
}

impl Matcher {
    /// A matcher of these parts.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, BadMatcher> {
        if name.is_empty() {
            return Err(BadMatcher::Name(format!("{name}{}{value}", op.as_str())));
        }
        let regex = if op.is_regex() { Some(whole(value)?) } else { None };
        Ok(Self { name: name.to_string(), op, value: value.to_string(), regex })
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is compared.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// With what.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label with this value matches; a missing one has the value "".
    pub fn matches(&self, value: &str) -> bool {
        let same = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        same == self.op.is_equal()
    }
}

/// The expression, for the whole value.
fn whole(pattern: &str) -> Result<Regex, BadMatcher> {
    let bad = |why: String| BadMatcher::Pattern { pattern: pattern.chars().take(100).collect(), why };
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(bad(format!("it has {} bytes, the limit is {PATTERN_BYTES_MAX}", pattern.len())));
    }
    // On its own first: `a)(b` would be an expression within the group.
    let compile = |text: &str| RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
    compile(pattern).and_then(|_| compile(&format!("^(?:{pattern})$"))).map_err(|error| {
        let text = error.to_string();
        bad(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string())
    })
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl fmt::Display for Matcher {
    /// `service="chat"`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if self.name.chars().all(plain) {
            f.write_str(&self.name)?
        } else {
            write!(f, "{:?}", self.name)?
        }
        write!(f, "{}{:?}", self.op.as_str(), self.value)
    }
}

impl FromStr for Matcher {
    type Err = BadMatcher;

    /// `a=b`, `a="b"`, `a=~"b.*"`, `"a b"!="c"`.
    fn from_str(text: &str) -> Result<Self, BadMatcher> {
        let text = text.trim();
        let (name, rest) = if text.starts_with('"') {
            unquote(text).ok_or_else(|| BadMatcher::Quotes(text.to_string()))?
        } else {
            let at = text.find(['=', '!']).ok_or_else(|| BadMatcher::Operator(text.to_string()))?;
            (text[..at].trim().to_string(), &text[at..])
        };
        let rest = rest.trim_start();
        let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
        let op = ops.into_iter().find(|op| rest.starts_with(op.as_str()));
        let op = op.ok_or_else(|| BadMatcher::Operator(text.to_string()))?;
        let value = rest[op.as_str().len()..].trim();
        let value = if value.starts_with('"') {
            let (value, rest) = unquote(value).ok_or_else(|| BadMatcher::Quotes(text.to_string()))?;
            if !rest.trim().is_empty() {
                return Err(BadMatcher::Quotes(text.to_string()));
            }
            value
        } else {
            value.to_string()
        };
        Matcher::new(&name, op, &value)
    }
}

/// The text in quotes at the beginning, and what follows it. `\"`, `\\` and `\n` stand for a quote, a backslash and a line break.
fn unquote(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

impl Serialize for Matcher {
    /// A name, an operator and a value.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, self.op, &self.value).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, op, value) = <(String, MatchOp, String)>::deserialize(deserializer)?;
        Matcher::new(&name, op, &value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(matcher: &str, value: &str) -> bool {
        matcher.parse::<Matcher>().unwrap().matches(value)
    }

    #[test]
    fn matchers_are_read_as_alertmanager_reads_them() {
        for (text, shown) in [
            ("service=chat", r#"service="chat""#),
            (r#"service="chat""#, r#"service="chat""#),
            (r#" service = "chat" "#, r#"service="chat""#),
            ("service!=chat", r#"service!="chat""#),
            ("service=~ch.*", r#"service=~"ch.*""#),
            (r#"service!~"a|b""#, r#"service!~"a|b""#),
            (r#""my service"="a\"b""#, r#""my service"="a\"b""#),
            ("service=", r#"service="""#),
            ("a==b", r#"a="=b""#),
        ] {
            assert_eq!(text.parse::<Matcher>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "service", "=chat", "!chat", r#"a="b"#, r#"a="b"c"#, "a=~(", "a=~b)|(c"] {
            assert!(text.parse::<Matcher>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_expression_matches_the_whole_value_and_a_missing_label_is_empty() {
        assert!(matches("a=~ch.*", "chat") && !matches("a=~ch", "chat") && !matches("a=~hat", "chat"));
        assert!(matches("a=~x|chat", "chat") && !matches("a!~x|chat", "chat"));
        assert!(matches("a=", "") && matches("a!=b", "") && matches("a=~.*", "") && !matches("a=~.+", ""));
    }
}
