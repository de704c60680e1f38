//! `first_seen:` in a rule's front matter: the rule breaches where its SQL yields a label set that is new.

use serde::{Deserialize, Serialize};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::duration::format_ms;
use crate::model::time::{DAY_MS, HOUR_MS};
use crate::rule::definition::detectors::map_reader::MapReader;

/// What an author set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeenSpec {
    /// How long a label set is known after it was last seen.
    pub forget_ms: i64,
    /// How long all is learned in silence, from the first row on.
    pub learn_ms: i64,
    /// Labels each of whose values has a time of learning of its own; sorted.
    pub per: Vec<String>,
}

/// The keys, in the order in which the docs explain them.
pub const KEYS: [&str; 3] = ["forget", "learn", "per"];

impl FirstSeenSpec {
    /// Reads what stands below `first_seen:`.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut read = MapReader::open("first_seen", node, Some("forget"), "first_seen: { forget: 30d, learn: 1d }", &KEYS)?;
        let forget_ms = read.duration("forget", 30 * DAY_MS);
        // Nothing to learn is a choice that an author may make.
        let learn_ms = if read.has("learn") { read.duration("learn", 0) } else { HOUR_MS };
        if learn_ms >= forget_ms {
            let message = format!("`learn` is {}, `forget` is {}", format_ms(learn_ms), format_ms(forget_ms));
            let key = if read.has("learn") { "learn" } else { "forget" };
            read.error_at(key, message, Some("learn for less time than it takes to forget".into()));
        }
        let mut per = read.words("per").unwrap_or_default();
        per.sort();
        per.dedup();
        read.finish(Self { forget_ms, learn_ms, per })
    }
}
