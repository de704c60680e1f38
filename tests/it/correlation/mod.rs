//! From alerts to incidents and to the decision whether a person is notified.

pub mod alert_lifecycle;
pub mod commands;
pub mod event_time;
pub mod incidents;
pub mod random_graphs;
pub mod scenarios;
