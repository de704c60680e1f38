//! What both versions of Prometheus' remote write share.

pub mod native_histogram;
pub mod samples;
