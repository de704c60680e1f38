//! The parameters of a request: `filter` may come several times, and what is empty counts as absent.

use regex::Regex;

use crate::model::command::matcher::Matcher;

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Params(pub(crate) Vec<(String, String)>);

impl Params {
    fn of<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A flag that is on where it is missing.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.of(name).last() {
            None => Ok(true),
            Some(text) => text.parse().map_err(|_| format!("{name} in query must be of type boolean: {text:?}")),
        }
    }

    /// All matchers of this name.
    pub(crate) fn matchers(&self, name: &str) -> Result<Vec<Matcher>, String> {
        self.of(name).map(|text| text.parse().map_err(|error| format!("bad matcher format: {error}"))).collect()
    }

    /// Whether the receiver that is asked for is this one. The expression must match its whole name.
    pub(crate) fn is_receiver(&self, receiver: &str) -> Result<bool, String> {
        let pattern = self.of("receiver").last().map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose();
        let pattern = pattern.map_err(|error| format!("failed to parse receiver param: {error}"))?;
        let named = self
            .matchers("receiver_matchers")?
            .iter()
            .all(|matcher| matcher.matches(if matcher.name() == "name" || matcher.name() == "receiver" { receiver } else { "" }));
        Ok(named && pattern.is_none_or(|pattern| pattern.is_match(receiver)))
    }
}

#[cfg(test)]
mod tests {
    use super::Params;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn what_is_empty_is_absent_and_flags_are_on() {
        assert_eq!(params(&[("receiver", ""), ("active", "")]).is_receiver("squelch"), Ok(true));
        assert_eq!(params(&[]).flag("active"), Ok(true));
        assert_eq!(params(&[("active", "false")]).flag("active"), Ok(false));
        assert!(params(&[("active", "maybe")]).flag("active").is_err());
    }

    #[test]
    fn a_receiver_is_matched_whole_and_filters_may_be_many() {
        assert_eq!(params(&[("receiver", "squel")]).is_receiver("squelch"), Ok(false));
        assert_eq!(params(&[("receiver", "squel.*")]).is_receiver("squelch"), Ok(true));
        assert!(params(&[("receiver", "(")]).is_receiver("squelch").is_err());
        assert_eq!(params(&[("filter", "a=b"), ("filter", r#"c=~"d""#)]).matchers("filter").map(|all| all.len()), Ok(2));
        assert!(params(&[("filter", "a")]).matchers("filter").is_err());
    }
}
