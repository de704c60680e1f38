//! The kinds of rules whose rows are no breaches yet: what an author set for the judge that decides
//! ([`crate::window::judge`]), one file a kind.

pub mod absence;
pub mod change;
pub mod deviation;
pub mod first_seen;
pub mod reader;
pub mod sequence;

use serde_json::Value;

use crate::rule::kinds::absence::AbsenceSpec;
use crate::rule::kinds::change::ChangeSpec;
use crate::rule::kinds::deviation::DeviationSpec;
use crate::rule::kinds::first_seen::FirstSeenSpec;
use crate::rule::kinds::reader::Wrong;
use crate::rule::kinds::sequence::SequenceSpec;
use crate::words::diagnostic::nearest;
use crate::words::labels::Labels;

/// What decides which rows of a rule are breaches. A rule without one breaches at every row.
#[derive(Clone, Debug, PartialEq)]
pub enum JudgeSpec {
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

/// The front matter's keys that name a judge; a rule has one of them at most.
pub const KEYS: [&str; 5] = ["deviation", "absence", "first_seen", "change", "sequence"];

impl JudgeSpec {
    /// Reads the value of one of [`KEYS`].
    pub fn parse(key: &str, value: &Value) -> Result<Self, Vec<Wrong>> {
        match key {
            "deviation" => DeviationSpec::parse(value).map(Self::Deviation),
            "absence" => AbsenceSpec::parse(value).map(Self::Absence),
            "first_seen" => FirstSeenSpec::parse(value).map(Self::FirstSeen),
            "change" => ChangeSpec::parse(value).map(Self::Change),
            _ => SequenceSpec::parse(value).map(Self::Sequence),
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

    /// What is wrong with the labels that it names, where the rows have `labels`.
    pub fn wrong_labels(&self, labels: &[&str]) -> Vec<Wrong> {
        match self {
            Self::Change(ChangeSpec { of: Some(of), .. }) if !labels.contains(&of.as_str()) => {
                let message = format!("`change` watches `{of}`, which is no label of the result");
                vec![no_label("of", message, of, labels)]
            }
            Self::FirstSeen(spec) => {
                let unknown = spec.per.iter().filter(|name| !labels.contains(&name.as_str()));
                let complain = |name: &String| {
                    let message = format!("`first_seen` learns per `{name}`, which is no label of the result");
                    no_label("per", message, name, labels)
                };
                unknown.map(complain).collect()
            }
            Self::Absence(spec) => spec.expect.iter().filter_map(|expected| wrong_expectation(expected, labels)).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a breach is there for one evaluation only, and so never lasts.
    pub fn is_momentary(&self) -> bool {
        matches!(self, Self::FirstSeen(_) | Self::Change(_) | Self::Sequence(_))
    }
}

fn no_label(key: &str, message: String, wrong: &str, labels: &[&str]) -> Wrong {
    let hint = match nearest(wrong, labels.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if labels.is_empty() => format!("add `{wrong}` to the SELECT list: the result has no labels"),
        None => format!("add `{wrong}` to the SELECT list; the labels now are: {}", labels.join(", ")),
    };
    Wrong { path: vec![key.into()], key_itself: false, message, hint: Some(hint) }
}

/// An expected label set must be one that the SQL can yield: it names each label.
fn wrong_expectation(expected: &Labels, labels: &[&str]) -> Option<Wrong> {
    if let Some((unknown, _)) = expected.iter().find(|(name, _)| !labels.contains(name)) {
        let message = format!("`expect` names `{unknown}`, which is no label of the result");
        return Some(no_label("expect", message, unknown, labels));
    }
    let left_out: Vec<&str> = labels.iter().copied().filter(|name| expected.get(name).is_none()).collect();
    (!left_out.is_empty()).then(|| Wrong {
        path: vec!["expect".into()],
        key_itself: false,
        message: format!("`expect` has {expected} without `{}`", left_out.join("`, `")),
        hint: Some(format!("each label set names all labels of the result: {}", labels.join(", "))),
    })
}
