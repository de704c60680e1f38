//! One line of a mapping: which series it matches, and what they are.

use crate::model::signal::field_ref::{FieldRef, SeriesFields};
use crate::model::signal::pattern::Pattern;
use crate::model::signal::role::Role;

/// How the values of a series stand for what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeriesKind {
    /// Each value is the state or the rate at its time.
    #[default]
    Gauge,
    /// Values are running totals, or increments where the event says so: `rate(value)` makes a rate of both.
    Counter,
    /// Each value is what came since the one before.
    Increment,
}

impl SeriesKind {
    /// The name in mappings.
    pub fn as_str(self) -> &'static str {
        match self {
            SeriesKind::Gauge => "gauge",
            SeriesKind::Counter => "counter",
            SeriesKind::Increment => "increment",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [SeriesKind::Gauge, SeriesKind::Counter, SeriesKind::Increment].into_iter().find(|kind| kind.as_str() == name)
    }

    /// The `temporality` of a signal, of an event with this one.
    pub fn temporality(self, of_event: Option<&str>) -> &'static str {
        match (self, of_event) {
            (SeriesKind::Gauge, _) => "gauge",
            (SeriesKind::Increment, _) | (SeriesKind::Counter, Some("delta")) => "delta",
            (SeriesKind::Counter, _) => "cumulative",
        }
    }
}

/// A condition on a field other than the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The field.
    pub field: FieldRef,
    /// One of these must match, and none of the exclusions.
    pub patterns: Vec<Pattern>,
}

impl Condition {
    fn holds(&self, series: &impl SeriesFields) -> bool {
        let Some(value) = series.field(&self.field) else { return false };
        let mut wanted = self.patterns.iter().filter(|pattern| !pattern.is_negated()).peekable();
        let excluded = self.patterns.iter().any(|pattern| pattern.is_negated() && !pattern.matches(value));
        !excluded && (wanted.peek().is_none() || wanted.any(|pattern| pattern.matches(value)))
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct MappingLine {
    /// One of these must match the name; none for any name.
    pub names: Vec<Pattern>,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The roles: a counter of failed requests is errors and traffic at once. Empty for series that are no signal.
    pub roles: Vec<Role>,
    /// What its values stand for.
    pub kind: SeriesKind,
    /// What values are multiplied by to be in the base unit.
    pub factor: f64,
    /// The resource that is used or waited for.
    pub resource: Option<String>,
    /// The field that names what the signal is about. A signal of a host has no service.
    pub of: FieldRef,
    /// The field that names who measured it, where that is not the one that it is about: the caller.
    pub seen_by: Option<FieldRef>,
    /// The field that names the host.
    pub on: FieldRef,
}

impl MappingLine {
    /// Whether it can match series of this name, which must be [comparable](crate::model::signal::pattern::comparable).
    pub fn matches_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether everything but the name matches.
    pub fn matches_fields(&self, series: &impl SeriesFields) -> bool {
        self.conditions.iter().all(|condition| condition.holds(series))
    }

    /// The labels that it looks at.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let fields = self.conditions.iter().map(|condition| &condition.field);
        fields.chain([&self.of, &self.on]).chain(&self.seen_by).filter_map(FieldRef::label)
    }
}
