//! Rule files of Prometheus. An expression becomes relations, one in another: each has a column for each label that the rule names, the
//! value, and the time of the newest sample. What cannot be the same is refused with its reason; what is nearly the same is noted.
//!
//! [`rule_file`] reads the YAML, [`compile`] translates an expression, [`selector`] what stands at its leaves, [`go_template`] the texts,
//! [`rule_sql`] writes the rule, and [`example`] a test of it.

pub(crate) mod compile;
mod example;
mod go_template;
mod matching;
mod operators;
mod relation;
pub(crate) mod rule_file;
pub(crate) mod rule_sql;
mod selector;
