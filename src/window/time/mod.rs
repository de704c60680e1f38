//! Event time: how far it has come ([`watermark`]), and which rule is due when ([`schedule`]).

pub mod schedule;
pub mod watermark;
