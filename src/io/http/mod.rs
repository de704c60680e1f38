//! HTTP: addresses that listen, with TLS or without, and what an operator asks of a process. What else is answered there are routers of
//! others, which the process puts together.

/// The answers to all addresses of a port.
pub use axum::Router;

pub mod listener;
pub mod status;
pub mod tls;
