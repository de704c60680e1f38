//! `sequence:` in a rule's front matter: the rule breaches where steps follow each other, event by event.

use serde::{Deserialize, Serialize};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::limits::STEPS_PER_SEQUENCE_MAX;
use crate::rule::definition::detectors::map_reader::MapReader;

/// What an author set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceSpec {
    /// The steps; one may come more than once.
    pub steps: Vec<String>,
    /// The time from the first step to the last, at most.
    pub within_ms: i64,
    /// Whether the steps must come in this order.
    pub ordered: bool,
}

/// The keys, in the order in which the docs explain them.
pub const KEYS: [&str; 3] = ["steps", "within", "ordered"];

/// The column that says which step a row is.
pub const STEP: &str = "step";

impl SequenceSpec {
    /// Reads the map below `sequence:`.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let example = "sequence: { steps: [failed, failed, ok], within: 10m }";
        let mut read = MapReader::open("sequence", node, None, example, &KEYS)?;
        if !read.has("steps") {
            read.missing("steps", "name the steps in their order: `steps: [failed, ok]`");
        }
        if !read.has("within") {
            read.missing("within", "say how long all steps may take: `within: 10m`");
        }
        let steps = read.words("steps").unwrap_or_default();
        if steps.len() == 1 {
            let hint = "a sequence has two or more; for single events write `instant: true` and a WHERE";
            read.error_at("steps", "`steps` has one step".into(), Some(hint.into()));
        } else if steps.len() > STEPS_PER_SEQUENCE_MAX {
            read.error_at("steps", format!("{} steps, the limit is {STEPS_PER_SEQUENCE_MAX}", steps.len()), None);
        }
        let within_ms = read.duration("within", 1);
        let ordered = read.flag("ordered", true);
        read.finish(Self { steps, within_ms, ordered })
    }
}
