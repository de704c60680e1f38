//! The upper levels of every OTLP request in protobuf: resources, scopes in them, records in those.

use crate::io::decode::otlp::attributes::{of_resource, share};
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::protobuf_records;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// Writes one record.
pub(crate) type WriteRecord<'w, 's, 'm, 'a> = &'w mut dyn FnMut(&mut Rows<'s, 'm, 'a>, &'a [u8]) -> Result<(), ProtobufError>;

/// Reads a request. What is before a fault counts; what is after it is handed back.
pub(crate) fn read<'s, 'm, 'a>(
    payload: &'a [u8],
    rows: &mut Rows<'s, 'm, 'a>,
    write: WriteRecord<'_, 's, 'm, 'a>,
) -> Result<(), RejectReason> {
    protobuf_records::read(payload, 1, rows, |rows, message| resource(message, rows, write))
}

fn resource<'s, 'm, 'a>(
    message: &'a [u8],
    rows: &mut Rows<'s, 'm, 'a>,
    write: WriteRecord<'_, 's, 'm, 'a>,
) -> Result<(), ProtobufError> {
    let mut attributes = Vec::new();
    for field in Fields::new(message) {
        if let (1, value) = field? {
            attributes = of_resource(value.message(1)?)?;
        }
    }
    share(rows, attributes)?;
    for field in Fields::new(message) {
        if let (2, value) = field? {
            for field in Fields::new(value.message(2)?) {
                if let (2, value) = field? {
                    write(rows, value.message(2)?)?;
                }
            }
        }
    }
    Ok(())
}
