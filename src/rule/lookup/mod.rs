//! Lookups: small tables that people write, to join with what a rule aggregates: a threshold for each service, owners, tiers, holidays.
//!
//! `lookups/limits.csv` is the table `lookup.limits`. Its content is part of the rules that read it: a changed file is a changed rule.

pub mod cells;
pub mod csv;
pub mod files;
pub mod table;
pub mod yaml;
