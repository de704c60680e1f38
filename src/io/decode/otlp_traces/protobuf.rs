//! The protobuf message `ExportTraceServiceRequest`, field by field, as opentelemetry-proto 1.x numbers them.

use crate::io::decode::otlp::attributes::push;
use crate::io::decode::otlp::ids::hex;
use crate::io::decode::otlp::resources;
use crate::io::decode::otlp_traces::span::{Span, write};
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    resources::read(payload, &mut rows, &mut |rows, message| {
        if let Err(error) = span(message).and_then(|span| write(span, rows)) {
            rows.reject(message, error);
        }
        Ok(())
    })
}

fn span(message: &[u8]) -> Result<Span<'_>, ProtobufError> {
    let mut span = Span::default();
    for field in Fields::new(message) {
        match field? {
            (1, value) => span.trace_id = hex(value.message(1)?),
            (2, value) => span.span_id = hex(value.message(2)?),
            (4, value) => span.parent_id = hex(value.message(4)?),
            (5, value) => span.name = value.cow(5)?,
            (6, value) => span.kind = value.unsigned(6)?,
            (7, value) => span.start = value.unsigned(7)?,
            (8, value) => span.end = value.unsigned(8)?,
            (9, value) => push(value, 9, &mut span.attributes)?,
            (15, value) => {
                for field in Fields::new(value.message(15)?) {
                    if let (3, code) = field? {
                        span.status = code.unsigned(3)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(span)
}
