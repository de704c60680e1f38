//! All integration tests in one binary: linking DataFusion is what costs.

#![allow(missing_docs, unreachable_pub, reason = "nobody reads a test binary's interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "tests wait for processes and say what they skip")]

mod arrow_ipc;
mod backpressure;
mod bad_input;
mod chaos;
mod checkpoints;
mod cli;
mod decode;
mod demo;
mod docs;
mod fuzz;
mod gaps;
mod garbage;
mod grouping;
mod hostile;
mod hostile_rules;
mod house;
mod incidents;
mod kinds;
mod lifecycle;
mod live;
mod oracle;
mod packs;
mod partitions;
mod permissions;
mod recall;
mod reload;
mod restart;
mod role_rules;
mod scenarios;
mod secrets;
mod shipped;
mod shipped_fire;
mod simulation;
mod sources;
mod support;
mod takeover;
mod topology;
