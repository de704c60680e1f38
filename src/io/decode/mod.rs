//! Messages in, Arrow columns out:
//!
//! ```text
//! message -> decompress -> one of the formats -> event sink (kind, time) -> table builders -> batch
//! ```
//!
//! Good events of a bad message count; a bad event is handed back with its bytes and the reason, and stops nothing. No format knows
//! another one, none knows where a message came from.
//!
//! A new format is a folder with a static [`format::Format`] and a line in [`formats::FORMATS`]; a folder `fixtures/formats/<name>`
//! with messages and what they decode to; a target in `tests/it/input/fuzz`; a section in the documents. `tests/it/input/formats.rs`
//! checks that none of these is missing.

pub mod arrow_ipc;
pub mod command;
pub mod decoder;
pub mod decompress;
pub mod event_columns;
pub mod event_sink;
pub mod external_alert;
pub mod format;
pub mod formats;
pub mod message_info;
pub mod native_json;
pub mod raw_event;
pub mod rejection;
pub mod table_builders;
pub mod time_check;
pub mod unknown_words;
