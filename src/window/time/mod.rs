//! Event time: how far it has come ([`watermark`]), when a set of rules begins ([`rule_set_start`]), and which rule is due when
//! ([`schedule`]).

pub mod rule_set_start;
pub mod schedule;
pub mod watermark;
