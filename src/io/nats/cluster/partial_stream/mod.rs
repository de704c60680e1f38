//! The stream of partials: what workers count, on its way to the correlator. One subject a partition. A partial that is larger than a
//! message is several messages in a row.
//!
//! A worker's position in the stream of events is stored nowhere else: it is in the worker's last message here. Each message names the
//! one before it on its subject, and the server refuses a message that does not follow. So of two workers with one partition, one ends.

pub mod header;
pub mod reader;
pub mod writer;
