//! Signals: series whose role is known, whatever they are called. A mapping of names, units and labels, `signals.yaml`, gives each
//! series its role; it never holds a threshold. The roles are those of the RED and USE methods.
//!
//! What is here reads and searches mappings. The rows of the table `signals` are made where events are decoded.

pub mod field_ref;
pub mod line;
pub mod mapping;
pub mod pattern;
pub mod proposal;
pub mod reader;
pub mod role;
pub mod unit;
