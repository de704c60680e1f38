//! Patterns of names and label values: a text in which `*` stands for any characters.

use crate::model::star_pattern::StarPattern;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: StarPattern,
    /// Begins with `!`: it matches what the rest does not.
    negated: bool,
}

impl Pattern {
    /// A pattern of metric names, which are compared as by [`comparable`].
    pub fn of_name(text: &str) -> Self {
        let parts: Vec<String> = text.split('*').map(comparable).collect();
        Self { text: StarPattern::new(&parts.join("*")), negated: false }
    }

    /// A pattern of values, which are compared as they are.
    pub fn of_value(text: &str) -> Self {
        let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        Self { text: StarPattern::new(text), negated }
    }

    /// Whether it matches any text.
    pub fn is_any(&self) -> bool {
        !self.negated && self.text.is_any()
    }

    /// Whether it is an exclusion.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether a text matches. Names must be [`comparable`] already.
    pub fn matches(&self, text: &str) -> bool {
        self.text.matches(text) != self.negated
    }
}

/// A metric's name in the form that is compared: `http.server.duration`, `http_server_duration` and `HTTP-Server-Duration` are one name,
/// because exporters rewrite the separators of names.
pub fn comparable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, good, bad) in [
            ("http_requests_total", "http_requests_total", "http_requests_total2"),
            ("http.*.duration", "http_server_duration", "http_server_duration_count"),
            ("*latency*", "p99_latency_ms", "late_ncy"),
            ("a*b*c", "abc", "acb"),
            ("ab*ba", "abba", "aba"),
            ("a*b*b", "ab_b", "ab"),
            ("CPU*", "cpuutilization", "node_cpu"),
        ] {
            let pattern = Pattern::of_name(pattern);
            assert!(pattern.matches(good), "{pattern:?} {good}");
            assert!(!pattern.matches(bad), "{pattern:?} {bad}");
        }
        assert!(Pattern::of_name("*").is_any() && Pattern::of_name("**").is_any() && !Pattern::of_name("").is_any());
    }

    #[test]
    fn values_keep_their_letter_case_and_can_be_excluded() {
        assert!(Pattern::of_value("5*").matches("503") && !Pattern::of_value("5*").matches("200"));
        assert!(!Pattern::of_value("ERROR").matches("error"));
        assert!(Pattern::of_value("!idle").matches("user") && !Pattern::of_value("!idle").matches("idle"));
        assert!(Pattern::of_value("!5*").matches("200") && !Pattern::of_value("!5*").matches("503"));
    }
}
