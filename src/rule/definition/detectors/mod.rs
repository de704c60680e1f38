//! The kinds of rules whose rows are no breaches yet: what an author set for the detector that decides
//! ([`crate::window::detector`]), one file a kind.

pub mod absence;
pub mod change;
pub mod deviation;
pub mod first_seen;
pub mod map_reader;
pub mod sequence;

use std::ops::Range;

use crate::model::diagnostic::yaml_tree::Node;
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::labels::Labels;
use crate::rule::definition::column_name::is_word;
use crate::rule::definition::detectors::absence::AbsenceSpec;
use crate::rule::definition::detectors::change::ChangeSpec;
use crate::rule::definition::detectors::deviation::DeviationSpec;
use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
use crate::rule::definition::detectors::sequence::SequenceSpec;

/// What decides which rows of a rule are breaches. A rule without one breaches at every row.
#[derive(Clone, Debug, PartialEq)]
pub enum DetectorSpec {
    /// The value departs from its history.
    Deviation(DeviationSpec),
    /// A label set stays away.
    Absence(AbsenceSpec),
    /// A label set is new.
    FirstSeen(FirstSeenSpec),
    /// A column holds something else.
    Change(ChangeSpec),
    /// Steps follow each other.
    Sequence(SequenceSpec),
}

/// The front matter's keys that name a detector; a rule has one of them at most.
pub const KEYS: [&str; 5] = ["deviation", "absence", "first_seen", "change", "sequence"];

impl DetectorSpec {
    /// Reads the value of one of [`KEYS`].
    pub fn parse(key: &str, node: &Node) -> Result<Self, Vec<Diagnostic>> {
        match key {
            "deviation" => DeviationSpec::parse(node).map(Self::Deviation),
            "absence" => AbsenceSpec::parse(node).map(Self::Absence),
            "first_seen" => FirstSeenSpec::parse(node).map(Self::FirstSeen),
            "change" => ChangeSpec::parse(node).map(Self::Change),
            _ => SequenceSpec::parse(node).map(Self::Sequence),
        }
    }

    /// The key that names it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Deviation(_) => "deviation",
            Self::Absence(_) => "absence",
            Self::FirstSeen(_) => "first_seen",
            Self::Change(_) => "change",
            Self::Sequence(_) => "sequence",
        }
    }

    /// The numbers that it adds to a row, for templates.
    pub fn numbers(&self) -> &'static [&'static str] {
        match self {
            Self::Deviation(_) => &["expected", "score"],
            Self::Absence(_) => &["silent_for"],
            Self::FirstSeen(_) => &[],
            Self::Change(change) if change.of.is_none() => &["previous"],
            Self::Change(_) => &[],
            Self::Sequence(_) => &["took"],
        }
    }

    /// The texts that it adds to a row, for templates.
    pub fn texts(&self) -> &'static [&'static str] {
        match self {
            Self::Change(change) if change.of.is_some() => &["previous"],
            _ => &[],
        }
    }

    /// What is wrong with the labels that it names, where it was written as `node` and the rows have `labels`.
    pub fn wrong_labels(&self, node: &Node, labels: &[&str]) -> Vec<Diagnostic> {
        let place = |key: &str| node.get(key).unwrap_or(node).span.clone();
        match self {
            Self::Change(ChangeSpec { of: Some(of), .. }) if !labels.contains(&of.as_str()) => {
                let message = format!("`change` watches `{of}`, which is no label of the result");
                vec![no_label(place("of"), message, of, labels)]
            }
            Self::FirstSeen(spec) => {
                let unknown = spec.per.iter().filter(|name| !labels.contains(&name.as_str()));
                let error = |name: &String| {
                    let message = format!("`first_seen` learns per `{name}`, which is no label of the result");
                    no_label(place("per"), message, name, labels)
                };
                unknown.map(error).collect()
            }
            Self::Absence(spec) => {
                let wrong = |expected| wrong_expectation(place("expect"), expected, labels);
                spec.expect.iter().filter_map(wrong).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a breach is there for one evaluation only, and so never lasts.
    pub fn is_momentary(&self) -> bool {
        matches!(self, Self::FirstSeen(_) | Self::Change(_) | Self::Sequence(_))
    }
}

fn no_label(span: Range<usize>, message: String, wrong: &str, labels: &[&str]) -> Diagnostic {
    let labels: Vec<&str> = labels.iter().copied().filter(|label| is_word(label)).collect();
    let hint = match nearest(wrong, labels.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if labels.is_empty() => format!("add `{wrong}` to the SELECT list: the result has no labels"),
        None => format!("add `{wrong}` to the SELECT list; the labels now are: {}", labels.join(", ")),
    };
    Diagnostic::new(span, message, hint)
}

/// An expected label set must be one that the SQL can yield: it names each label.
fn wrong_expectation(span: Range<usize>, expected: &Labels, labels: &[&str]) -> Option<Diagnostic> {
    if let Some((unknown, _)) = expected.iter().find(|(name, _)| !labels.contains(name)) {
        let message = format!("`expect` names `{unknown}`, which is no label of the result");
        return Some(no_label(span, message, unknown, labels));
    }
    let left_out: Vec<&str> = labels.iter().copied().filter(|name| expected.get(name).is_none()).collect();
    let message = || format!("`expect` has {expected} without `{}`", left_out.join("`, `"));
    let hint = || format!("each label set names all labels of the result: {}", labels.join(", "));
    (!left_out.is_empty()).then(|| Diagnostic::new(span, message(), hint()))
}

#[cfg(test)]
mod tests {
    use super::DetectorSpec;
    use crate::model::labels::Labels;
    use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS};
    use crate::rule::definition::detectors::absence::AbsenceSpec;
    use crate::rule::definition::detectors::change::ChangeSpec;
    use crate::rule::definition::detectors::deviation::{Method, Season};
    use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
    use crate::rule::definition::detectors::sequence::SequenceSpec;
    use crate::rule::definition::file::RuleFile;
    use crate::rule::definition::front_matter::{self, FrontMatter};
    use crate::rule::definition::window_spec::{NamedWindow, TimeSource, WindowSpec};

    fn front(keys: &str) -> FrontMatter {
        let text = format!("/*---\nrule: r\nseverity: warning\n{keys}\n---*/\nSELECT 1");
        front_matter::parse(&RuleFile::new("r.sql".into(), &text).unwrap()).unwrap_or_else(|errors| panic!("{keys}: {errors:?}"))
    }

    fn detector(keys: &str) -> DetectorSpec {
        front(keys).detector.unwrap()
    }

    #[test]
    fn spans_and_their_defaults() {
        let every =
            |keys: &str| (front(keys).window_spec, front(keys).window_ms, front(keys).every_ms, front(keys).keep_firing_for_ms);
        let (five, ten) = (5 * MINUTE_MS, 10 * MINUTE_MS);
        assert_eq!(every("window: 5m"), (WindowSpec::Window { window_ms: five, every_ms: five }, five, five, 0));
        assert_eq!(every("session: 10m"), (WindowSpec::Session { gap_ms: ten, every_ms: MINUTE_MS }, ten, MINUTE_MS, 0));
        assert_eq!(every("session: 30s"), (WindowSpec::Session { gap_ms: 30_000, every_ms: 30_000 }, 30_000, 30_000, 0));
        assert_eq!(every("instant: true"), (WindowSpec::Instant, 1000, 1000, five));
        assert_eq!(every("instant: true\nkeep_firing_for: 0s"), (WindowSpec::Instant, 1000, 1000, 0));
        assert_eq!(every("sequence: { steps: [a, b], within: 1m }").0, WindowSpec::Instant);
        assert_eq!(every("instant: true\nsequence: { steps: [a, b], within: 1m }").0, WindowSpec::Instant);
        assert_eq!((front("window: 5m").time, front("window: 5m\ntime: broker").time), (TimeSource::Event, TimeSource::Broker));
    }

    #[test]
    fn windows_come_by_name() {
        let windows = front("window: 5m\nwindows:\n  yesterday: { window: 1h, ago: 1d }\n  hour: { window: 1h }").windows;
        let named = |name: &str, ago_ms| NamedWindow { name: name.into(), window_ms: HOUR_MS, ago_ms };
        assert_eq!(windows, [named("hour", 0), named("yesterday", DAY_MS)]);
    }

    #[test]
    fn short_forms_mean_the_long_ones() {
        let absence = AbsenceSpec { after_ms: 5 * MINUTE_MS, forget_ms: DAY_MS, expect: Vec::new() };
        assert_eq!(detector("window: 1m\nabsence: 5m"), DetectorSpec::Absence(absence));
        let first_seen = FirstSeenSpec { forget_ms: 2 * DAY_MS, learn_ms: HOUR_MS, per: Vec::new() };
        assert_eq!(detector("window: 1m\nfirst_seen: 2d"), DetectorSpec::FirstSeen(first_seen));
        let change = ChangeSpec { of: Some("version".into()), within_ms: DAY_MS };
        assert_eq!(detector("instant: true\nchange: version"), DetectorSpec::Change(change));
        assert_eq!(detector("window: 1m\nchange: value"), DetectorSpec::Change(ChangeSpec { of: None, within_ms: DAY_MS }));
    }

    #[test]
    fn long_forms_say_all() {
        let expect = vec![Labels::new([("host".to_string(), "7".to_string())])];
        let absence = AbsenceSpec { after_ms: MINUTE_MS, forget_ms: HOUR_MS, expect };
        assert_eq!(
            detector("window: 1m\nabsence: { after: 1m, forget: 1h, expect: [{ host: 7 }] }"),
            DetectorSpec::Absence(absence)
        );
        let first_seen = FirstSeenSpec { forget_ms: DAY_MS, learn_ms: 0, per: vec!["env".into(), "host".into()] };
        assert_eq!(
            detector("window: 1m\nfirst_seen: { forget: 1d, learn: 0s, per: [host, env] }"),
            DetectorSpec::FirstSeen(first_seen)
        );
        let steps = ["failed", "failed", "ok"].map(String::from).into();
        let sequence = SequenceSpec { steps, within_ms: MINUTE_MS, ordered: false };
        let keys = "sequence:\n  steps: [failed, failed, ok]\n  within: 1m\n  ordered: false";
        assert_eq!(detector(keys), DetectorSpec::Sequence(sequence));
    }

    #[test]
    fn the_defaults_of_a_deviation_follow_its_season() {
        let defaults = |keys: &str| match detector(&format!("window: 1m\ndeviation: {keys}")) {
            DetectorSpec::Deviation(spec) => (spec.over_ms, spec.min_history, spec.method, spec.season, spec.settle_ms),
            other => panic!("{other:?}"),
        };
        assert_eq!(defaults("{}"), (2 * HOUR_MS, 10, Method::Median, Season::None, 0));
        assert_eq!(defaults("{ season: day }"), (14 * DAY_MS, 3, Method::Median, Season::Day, 0));
        let half_life_ms = 2 * WEEK_MS;
        assert_eq!(defaults("{ season: week, method: ewma }"), (8 * WEEK_MS, 3, Method::Ewma { half_life_ms }, Season::Week, 0));
        let half_life_ms = MINUTE_MS;
        assert_eq!(
            defaults("{ over: 1h, method: ewma, half_life: 1m, settle: 10m }"),
            (HOUR_MS, 10, Method::Ewma { half_life_ms }, Season::None, 10 * MINUTE_MS)
        );
    }
}
