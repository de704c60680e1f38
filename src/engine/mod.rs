//! Floor 3: the engine, a function of its input. It owns all state, reads no clock and does no I/O: the same input gives the same
//! revisions, live, replayed or batched anew.
//!
//! Everything that changes the state is an [`input`]; [`core`] handles it instant by instant. What concerns one kind of input alone is
//! in a file of its own: other rules ([`reload`]), the topology, alerts of squelch itself,
//! [`commands`], what workers of partitions counted
//! ([`partial`]), and the state as bytes ([`snapshot`]).

pub mod commands;
mod core;
mod external_alerts;
mod input;
pub mod next_rules;
mod params;
pub mod partial;
mod partition_input;
mod reload;
pub mod self_alert;
mod snapshot;
mod teams;
mod topology;
mod topology_calls;

pub use self::core::Engine;
pub use self::input::Input;
pub use self::params::{EngineParams, EngineStats};
