//! How messages leave: HTTP requests and mails. What they say and what answers mean is decided in [`crate::notify`].

pub mod http_client;
pub mod smtp_client;
