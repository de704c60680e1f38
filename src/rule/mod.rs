//! Floor 1: rules. What an author wrote ([`file`], [`front_matter`], [`span`], [`kinds`]), what it means ([`sql`], [`catalog`], [`plan`]), and
//! everything that is wrong with it, all at once ([`check`]).
//!
//! Together with [`crate::window`] the only place that knows DataFusion.

pub mod aggregate;
pub mod budget;
pub mod catalog;
pub mod check;
pub mod depth;
pub mod explain_error;
pub mod file;
pub mod fits_head;
pub mod forgiving;
pub mod front_matter;
pub mod growth;
pub mod in_order;
pub mod kinds;
pub mod output;
pub mod pipeline;
pub mod plan;
pub mod refuse;
pub mod renew;
pub mod rest;
pub mod source;
pub mod span;
pub mod split;
pub mod sql;
pub mod syntax;
pub mod template;

use crate::rule::file::RuleFile;
use crate::rule::front_matter::FrontMatter;
use crate::rule::output::OutputColumns;
use crate::rule::plan::RulePlan;
use crate::rule::template::Templates;

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
}

impl Rule {
    /// The name, unique among the loaded rules.
    pub fn name(&self) -> &str {
        &self.front.rule
    }
}
