//! All integration tests in one binary: linking DataFusion is what costs.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod cli;
mod demo;
mod house;
mod lifecycle;
mod live;
mod oracle;
mod scenarios;
mod shipped;
mod support;
