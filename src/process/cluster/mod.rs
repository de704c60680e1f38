//! Several processes that are one squelch: standbys ([`standby`]), and with `--role` the workers that read and count the events
//! ([`worker`], [`count`]) and the correlator that makes incidents of what they counted ([`correlator`]). The correlator's rules are
//! those of all ([`rule_distribution`]).

pub mod correlator;
pub mod count;
pub mod partition;
pub mod rule_distribution;
pub mod standby;
pub mod worker;
