//! A rule's SQL as text and syntax tree, before anything is planned: parsing ([`query`]), what a rule may name ([`catalog`]), what is
//! refused and why ([`lint`], [`query_depth`], [`cross_check`]), and errors in a rule author's words ([`parser_errors`], [`planner_errors`]).

pub mod catalog;
pub mod characters;
pub mod cross_check;
pub mod lint;
pub mod parser_errors;
pub mod places;
pub mod planner_errors;
pub mod planner_words;
pub mod query;
pub mod query_depth;
pub mod rewrite;
pub mod syntax_tree;
pub mod value_direction;
