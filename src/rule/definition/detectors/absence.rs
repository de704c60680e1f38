//! `absence:` in a rule's front matter: the rule breaches where a label set that its SQL once yielded stays away.

use serde::{Deserialize, Serialize};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::duration::format_ms;
use crate::model::labels::Labels;
use crate::model::time::DAY_MS;
use crate::rule::definition::detectors::map_reader::{MapReader, word_of};

/// What an author set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsenceSpec {
    /// The silence from which it is a breach.
    pub after_ms: i64,
    /// The silence after which a label set is no longer expected.
    pub forget_ms: i64,
    /// Label sets that are expected from the start, and never forgotten.
    pub expect: Vec<Labels>,
}

/// The keys, in the order in which the docs explain them.
pub const KEYS: [&str; 3] = ["after", "forget", "expect"];

const EXPECT_EXAMPLE: &str = "write for example `expect: [{ env: production, service: chat }]`";

impl AbsenceSpec {
    /// Reads what stands below `absence:`.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut read = MapReader::open("absence", node, Some("after"), "absence: { after: 5m, forget: 1d }", &KEYS)?;
        if !read.has("after") {
            read.missing("after", "say how long a silence is a breach: `after: 5m`");
        }
        let after_ms = read.duration("after", 1);
        let forget_ms = read.duration("forget", DAY_MS.max(after_ms.saturating_mul(2)));
        if forget_ms <= after_ms {
            let message = format!("`forget` is {}, `after` is {}", format_ms(forget_ms), format_ms(after_ms));
            read.error_at(
                "forget",
                message,
                Some("forget later than a silence becomes a breach, or nothing ever breaches".into()),
            );
        }
        let expect = expected(&mut read);
        read.finish(Self { after_ms, forget_ms, expect })
    }
}

fn expected(read: &mut MapReader) -> Vec<Labels> {
    let Some(node) = read.node("expect") else { return Vec::new() };
    let sets: Option<Vec<Labels>> = node.items().and_then(|list| list.iter().map(label_set).collect());
    if sets.is_none() {
        read.error_at("expect", "`expect` must be a list of label sets".into(), Some(EXPECT_EXAMPLE.into()));
    }
    let mut sets = sets.unwrap_or_default();
    sets.sort();
    sets.dedup();
    sets
}

fn label_set(node: &Node) -> Option<Labels> {
    if !node.is_map() {
        return None;
    }
    let pairs = node.entries().iter().map(|entry| Some((entry.key.clone(), word_of(entry.node.scalar()?)?)));
    Some(Labels::new(pairs.collect::<Option<Vec<_>>>()?))
}
