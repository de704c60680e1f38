//! From event batches to the tables that want their rows: routing by metric name ([`router`], [`micro_batch`]) and the interning of
//! GROUP BY keys ([`key_space`], [`local_ids`]).

pub mod key_space;
pub mod local_ids;
pub mod micro_batch;
pub mod router;
