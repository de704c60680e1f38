//! What comes in: each input format, and whatever is read from outside, changed at random.

pub mod arrow_ipc;
pub mod formats;
pub mod fuzz;
pub mod native_json;
pub mod protobuf_formats;
pub mod rows;
pub mod signals;
pub mod split;
