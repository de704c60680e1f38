//! The protobuf message `MetricPayload` of Datadog's agent, field by field, as agent-payload numbers them.

use std::borrow::Cow;

use crate::io::decode::datadog::{tag, temporality_of_number};
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::protobuf_records;
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// Reads a payload.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    protobuf_records::read(payload, 1, &mut rows, |rows, message| series(message, rows))
}

fn series<'a>(message: &'a [u8], rows: &mut Rows<'_, '_, 'a>) -> Result<(), ProtobufError> {
    rows.begin_shared();
    for field in Fields::new(message) {
        match field? {
            (1, value) => {
                let (mut resource_type, mut name) = (Cow::default(), Cow::default());
                for field in Fields::new(value.message(1)?) {
                    match field? {
                        (1, value) => resource_type = value.cow(1)?,
                        (2, value) => name = value.cow(2)?,
                        _ => {}
                    }
                }
                rows.pair(resource_type, name);
            }
            (2, value) => rows.set(TextField::Name, value.cow(2)?),
            (3, value) => tag(rows, value.cow(3)?),
            (5, value) => rows.set(TextField::Temporality, temporality_of_number(value.unsigned(5)?)),
            _ => {}
        }
    }
    rows.end_shared();
    for field in Fields::new(message) {
        if let (4, value) = field? {
            let (mut number, mut seconds) = (0.0, 0_i64);
            for field in Fields::new(value.message(4)?) {
                match field? {
                    (1, value) => number = value.double(1)?,
                    (2, value) => seconds = value.signed(2)?,
                    _ => {}
                }
            }
            rows.begin();
            rows.time(Some(seconds.saturating_mul(1_000)));
            rows.take_value(number);
        }
    }
    Ok(())
}
