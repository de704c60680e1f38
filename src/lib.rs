//! squelch: a streaming alert-correlation engine.
//!
//! (bird's-eye view follows)

pub mod alert;
pub mod demo;
pub mod edges;
pub mod engine;
pub mod incident;
pub mod process;
pub mod rule;
pub mod topology;
pub mod window;
pub mod words;
