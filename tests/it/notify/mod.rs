//! Notifiers against a real nats-server and stand-ins of the receivers, which check every request and fail in each way that a service does.

pub mod delivery;
pub mod email;
pub mod kills;
pub mod policy;
pub mod receiver;
pub mod replies;
pub mod run;
pub mod slack;
pub mod slack_stand_in;
pub mod smtp_stand_in;
pub mod stand_in;
pub mod systems;
