//! Floor 4: the edges of the engine, where the world's formats, files and servers are. They know the floors below and never each
//! other; the process wires them together.

pub mod alertmanager;
pub mod command_message;
pub mod decode;
pub mod files;
pub mod http;
pub mod incident_message;
pub mod intake;
pub mod nats;
pub mod notifier;
pub mod replies;
pub mod web;
