//! The stages of a running squelch, one file each, joined by bounded channels: read, decode, evaluate, publish.

pub mod decode;
pub mod evaluate;
pub mod gap_alert;
pub mod publish;
pub mod read;
