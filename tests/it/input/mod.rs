//! What comes in: decoders of messages, and whatever is read from outside, changed at random.

pub mod arrow_ipc;
pub mod fuzz;
pub mod native_json;
