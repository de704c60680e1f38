//! Floor 1: rules. What an author wrote ([`definition`]), the SQL as text and syntax tree ([`sql`]), how it is planned ([`plan`]) and run
//! ([`exec`], [`aggregate`]), and everything that is wrong with it, all at once ([`check`]).
//!
//! Together with [`crate::window`] the only place that knows DataFusion.

pub mod aggregate;
pub mod check;
pub mod definition;
pub mod exec;
pub mod function;
pub mod lookup;
pub mod plan;
pub mod reload;
pub mod sql;

use std::sync::Arc;

use crate::rule::definition::active::Active;
use crate::rule::definition::file::RuleFile;
use crate::rule::definition::front_matter::FrontMatter;
use crate::rule::definition::output_columns::OutputColumns;
use crate::rule::definition::template::Templates;
use crate::rule::lookup::table::LookupTable;
use crate::rule::plan::RulePlan;

/// A rule that passed every check, ready to be evaluated.
#[derive(Debug)]
pub struct Rule {
    /// The file it came from.
    pub file: RuleFile,
    /// What the author set.
    pub front: FrontMatter,
    /// How its SQL is evaluated.
    pub plan: RulePlan,
    /// What the columns of its result mean.
    pub output: OutputColumns,
    /// What it says to people.
    pub templates: Templates,
    /// When its breaches count; always, where it is not set.
    pub active: Option<Active>,
    /// The lookups that it reads.
    pub lookups: Vec<Arc<LookupTable>>,
}

impl Rule {
    /// The name, unique among the loaded rules.
    pub fn name(&self) -> &str {
        &self.front.rule
    }
}
