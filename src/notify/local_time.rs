//! Hours of the day for routes and quiet hours: those of [`crate::model::local_time`].

pub use crate::model::local_time::{Clock, Day, Hours, Zone};
