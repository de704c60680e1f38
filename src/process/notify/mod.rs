//! Notifiers at work: built from the settings ([`build`]), one task a receiver ([`sender`]), in the one process that holds the lease
//! ([`service`]).

pub mod build;
pub mod delivery;
pub mod digest_under_way;
pub mod drill;
pub mod failure;
pub mod preview;
pub mod replies;
pub mod send_digest;
pub mod sender;
pub mod service;
pub mod stats;
