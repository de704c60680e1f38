//! What every part that speaks to NATS needs: settings, the connection, its health, streams and buckets, and writes to a key that only
//! succeed over a known revision ([`kv_cas`]).

pub mod connect;
pub mod health;
pub mod kv_cas;
pub mod settings;
pub mod streams;
