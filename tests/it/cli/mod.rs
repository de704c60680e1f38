//! The command line, the demo and the documents.

pub mod commands;
pub mod demo;
pub mod docs;
