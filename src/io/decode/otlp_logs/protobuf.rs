//! The protobuf message `ExportLogsServiceRequest`, field by field, as opentelemetry-proto 1.x numbers them.

use crate::io::decode::otlp::attributes::{AnyValue, push};
use crate::io::decode::otlp::ids::hex;
use crate::io::decode::otlp::resources;
use crate::io::decode::otlp_logs::record::{LogRecord, write};
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    resources::read(payload, &mut rows, &mut |rows, message| {
        if let Err(error) = record(message).and_then(|record| write(record, rows)) {
            rows.reject(message, error);
        }
        Ok(())
    })
}

fn record(message: &[u8]) -> Result<LogRecord<'_>, ProtobufError> {
    let mut record = LogRecord::default();
    for field in Fields::new(message) {
        match field? {
            (1, value) => record.time = value.unsigned(1)?,
            (11, value) => record.observed_time = value.unsigned(11)?,
            (2, value) => record.severity_number = value.signed(2)?,
            (3, value) => record.severity_text = value.cow(3)?,
            (5, value) => record.body = AnyValue::read(value.message(5)?)?,
            (6, value) => push(value, 6, &mut record.attributes)?,
            (9, value) => record.trace_id = hex(value.message(9)?),
            (12, value) => record.event_name = value.cow(12)?,
            _ => {}
        }
    }
    Ok(record)
}
