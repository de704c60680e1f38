//! What the pages show: HTML made from the messages that squelch has published, in the reader's language. It reads no stream and answers no
//! request: `io::web` does the one, `process::web` the other. The same messages give the same page, on any machine.
//!
//! The texts of alerts are hostile: [`text`] cleans them where they come in, and the templates escape them where they go out.

pub mod assets;
pub mod drawing;
pub mod incident;
pub mod language;
pub mod listing;
pub mod pages;
pub mod past;
pub mod silence_preview;
pub mod silences;
pub mod text;
