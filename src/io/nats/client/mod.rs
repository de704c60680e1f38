//! What every part that speaks to NATS needs: settings, the connection, its health, streams and buckets, publishing, and
//! compare-and-set on a key ([`kv_cas`]).

pub mod bucket_watch;
pub mod connect;
pub mod election;
pub mod health;
pub mod kv_cas;
pub mod publish;
pub mod settings;
pub mod stream_tail;
pub mod streams;
