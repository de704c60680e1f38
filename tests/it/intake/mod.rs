//! The intake: what senders post, the answers that they get, and what is in the stream of events afterwards.

mod clients;
mod documented;
mod endpoints;
mod incidents;
mod large;
mod refusals;
pub mod rig;
