//! `squelch run` against a real nats-server.

pub mod alertmanager;
pub mod backpressure;
pub mod chaos;
pub mod commands;
pub mod election;
pub mod explain_incident;
pub mod formats;
pub mod gaps;
pub mod garbage;
pub mod metrics;
pub mod permissions;
pub mod run;
pub mod runtime_limits;
pub mod secrets;
pub mod topology;
