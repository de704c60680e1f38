//! What notifiers need of NATS: incidents in, the records of what was sent, the time, and alerts about receivers that fail.

pub mod broker_clock;
pub mod incident_source;
pub mod publish;
pub mod records;
