//! A log record as a row.

use crate::io::decode::otlp::attributes::{self, AnyValue, Attributes};
use crate::io::decode::protobuf::ProtobufError;
use crate::io::decode::raw_event::{Text, TextField};
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::{log_severity, log_severity_of_number};

/// The fields of a record.
#[derive(Debug, Default)]
pub(super) struct LogRecord<'a> {
    pub(super) time: u64,
    pub(super) observed_time: u64,
    pub(super) severity_number: i64,
    pub(super) severity_text: Text<'a>,
    pub(super) body: AnyValue<'a>,
    pub(super) attributes: Attributes<'a>,
    pub(super) trace_id: Text<'a>,
    pub(super) event_name: Text<'a>,
}

/// Writes a record.
pub(super) fn write<'a>(record: LogRecord<'a>, rows: &mut Rows<'_, '_, 'a>) -> Result<(), ProtobufError> {
    let LogRecord { time, observed_time, severity_number, severity_text, body, attributes, trace_id, event_name } = record;
    rows.begin();
    attributes::write(rows, attributes)?;
    rows.nanoseconds(if time == 0 { observed_time } else { time });
    match log_severity_of_number(severity_number) {
        Some(severity) => rows.set(TextField::Severity, severity),
        None if !severity_text.is_empty() => rows.set(TextField::Severity, log_severity(severity_text)),
        None => {}
    }
    if !trace_id.is_empty() {
        rows.set(TextField::TraceId, trace_id);
    }
    // An event without a body is its name.
    let body = body.into_text()?.or(Some(event_name).filter(|name| !name.is_empty()));
    rows.set(TextField::Body, body.unwrap_or_default());
    rows.take();
    Ok(())
}
