//! Texts for people at a terminal: diagnostics, incidents, and how a rule is evaluated and what it costs.

pub mod front_matter_keys;
pub mod incident;
pub mod incidents_text;
pub mod plural;
pub mod replay_summary;
pub mod rule_cost;
