//! NATS as input: the stream of events ([`event_reader`], [`recovery`], [`gap`]) and the bucket of the topology ([`topology_bucket`]).

pub mod event_reader;
pub mod gap;
pub mod lease_consumer;
pub mod messages;
pub mod position;
pub mod recovery;
pub mod stats;
pub mod topology_bucket;
