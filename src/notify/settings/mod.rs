//! `notifiers:` and `routes:` of squelch.yaml: as they are written ([`receiver_config`], [`route_config`]), and what is wrong with them
//! ([`check`]). Secrets are named here ([`secret`]) and read by the process.

pub mod check;
pub mod complaint;
pub mod duration;
pub mod names;
pub mod receiver_config;
pub mod route_config;
pub mod secret;
pub mod url;
