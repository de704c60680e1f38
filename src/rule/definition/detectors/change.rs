//! `change:` in a rule's front matter: the rule breaches where a column holds something else than it last did.

use serde::{Deserialize, Serialize};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::time::DAY_MS;
use crate::rule::definition::detectors::map_reader::MapReader;

/// What an author set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSpec {
    /// The label whose content is watched; `None` for the value.
    pub of: Option<String>,
    /// How long the last content is remembered.
    pub within_ms: i64,
}

/// The keys, in the order in which the docs explain them.
pub const KEYS: [&str; 2] = ["of", "within"];

impl ChangeSpec {
    /// Reads what stands below `change:`.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut read = MapReader::open("change", node, Some("of"), "change: { of: version, within: 1d }", &KEYS)?;
        if !read.has("of") {
            read.missing("of", "name the column that is watched: `of: version`");
        }
        let of = read.word("of").filter(|name| name != "value");
        let within_ms = read.duration("within", DAY_MS);
        read.finish(Self { of, within_ms })
    }
}
