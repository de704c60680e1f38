//! All integration tests in one binary: linking DataFusion is what costs.

#![allow(missing_docs, unreachable_pub, reason = "nobody reads a test binary's interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "tests wait for processes and say what they skip")]

mod architecture;
mod cli;
mod cluster;
mod correlation;
mod input;
mod intake;
mod live;
mod notify;
mod rules;
mod state;
mod support;
mod web;
mod workbench;
