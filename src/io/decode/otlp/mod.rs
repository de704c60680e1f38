//! What OTLP's metrics, logs and traces share: attributes, resources, numbers in JSON, and the levels at which a request is cut.

pub mod attributes;
pub mod ids;
pub mod json_numbers;
pub mod resources;

use std::borrow::Cow;

use crate::io::decode::split::{SplitError, json, protobuf};

/// Whether a payload on a subject named after OTLP is OTLP: field 1 of its protobuf message, or the first key of its JSON.
pub(crate) fn recognise(payload: &[u8]) -> bool {
    let head = &payload[..payload.len().min(100)];
    let json = payload.trim_ascii_start().first() == Some(&b'{');
    payload.first() == Some(&0x0a) || json && head.windows(b"\"resource".len()).any(|window| window == b"\"resource")
}

/// Cuts a request between its records: resources, scopes, then `inner`.
pub(crate) fn cut<'m>(message: &'m [u8], max: usize, inner: &[&[u32]]) -> Result<Vec<Cow<'m, [u8]>>, SplitError> {
    const LISTS: &[&[&str]] = &[
        &["resourceMetrics", "resourceLogs", "resourceSpans"],
        &["scopeMetrics", "scopeLogs", "scopeSpans"],
        &["metrics", "logRecords", "spans"],
    ];
    if message.len() > max && message.first() != Some(&0x0a) && message.trim_ascii_start().first() == Some(&b'{') {
        return json::lists(message, max, LISTS);
    }
    let levels: Vec<&[u32]> = [&[1_u32] as &[u32], &[2], &[2]].into_iter().chain(inner.iter().copied()).collect();
    protobuf::repeated(message, max, &levels)
}
