//! From a revision of an incident to the messages that people get: which receiver, when, in which words, as which request.
//!
//! Pure, like everything below `io`: times are passed in, requests are described and not sent. Each receiver goes through the same
//! stages: match ([`route`]), deduplicate ([`record`]), wait ([`queue`]), limit ([`rate_limit`]), render ([`text`] and the receiver's own
//! file), send (`io`), record.

pub mod backoff;
pub mod call;
pub mod decide;
pub mod digest;
pub mod incident_view;
pub mod queue;
pub mod rate_limit;
pub mod receiver;
pub mod receivers;
pub mod record;
pub mod replies;
pub mod route;
pub mod settings;
pub mod text;
