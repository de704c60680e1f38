//! The protobuf message `PushRequest`, field by field, as Loki numbers them.

use crate::io::decode::loki_push::stream_labels;
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::protobuf_records;
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::model::time::TimestampMs;

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    protobuf_records::read(payload, 1, &mut rows, |rows, message| stream(message, rows))
}

fn stream<'a>(message: &'a [u8], rows: &mut Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    rows.begin_shared();
    for field in Fields::new(message) {
        if let (1, value) = field? {
            for (key, value) in stream_labels::parse(value.text(1)?).map_err(RejectReason::Line)? {
                rows.pair(key, value);
            }
        }
    }
    rows.end_shared();
    for field in Fields::new(message) {
        if let (2, value) = field? {
            let message = value.message(2)?;
            if let Err(error) = entry(message, rows) {
                rows.reject(message, error);
            }
        }
    }
    Ok(())
}

fn entry<'a>(message: &'a [u8], rows: &mut Rows<'_, '_, 'a>) -> Result<(), ProtobufError> {
    rows.begin();
    let (mut ts, mut line) = (None, "");
    for field in Fields::new(message) {
        match field? {
            (1, value) => ts = Some(time(value.message(1)?)?),
            (2, value) => line = value.text(2)?,
            (3, value) => {
                let (mut key, mut text) = ("", "");
                for field in Fields::new(value.message(3)?) {
                    match field? {
                        (1, value) => key = value.text(1)?,
                        (2, value) => text = value.text(2)?,
                        _ => {}
                    }
                }
                rows.pair(key.into(), text.into());
            }
            _ => {}
        }
    }
    rows.time(ts);
    rows.set(TextField::Body, line);
    rows.take();
    Ok(())
}

/// The message `google.protobuf.Timestamp`.
fn time(message: &[u8]) -> Result<TimestampMs, ProtobufError> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::new(message) {
        match field? {
            (1, value) => seconds = value.signed(1)?,
            (2, value) => nanos = value.signed(2)?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}
