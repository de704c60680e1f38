//! `squelch.yaml`: its keys and their defaults ([`settings`], [`topology`]), how it is read ([`read`]), and what no type can say about it
//! ([`validate`]).

pub mod alerts;
pub mod intake;
pub mod millis;
pub mod read;
pub mod settings;
pub mod topology;
pub mod validate;

pub use settings::Config;
