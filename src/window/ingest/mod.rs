//! How rows come in: routed to the tables by metric name ([`router`]), one micro-batch at a time ([`micro_batch`]), their GROUP BY keys
//! interned to dense ids ([`key_space`], [`group_id`], [`local_ids`]).

pub mod group_id;
pub mod key_chunk;
pub mod key_space;
pub mod local_ids;
pub mod micro_batch;
pub mod router;
