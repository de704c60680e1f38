//! The intake's part of a process: [`alone`] is `squelch intake`, which does
//! nothing else, [`stream_store`] publishes what comes.

pub mod alone;
pub mod stream_store;
