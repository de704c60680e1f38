//! Reads requests in protobuf that are one repeated field of records, as nearly all are: what is before a fault counts, and the record with the
//! fault is handed back.

use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// Hands each record in field `number` to `read_one`.
///
/// # Errors
///
/// The first field is broken already: the payload is something else.
pub(crate) fn read<'s, 'm, 'a, E: From<ProtobufError> + Into<RejectReason>>(
    payload: &'a [u8],
    number: u32,
    rows: &mut Rows<'s, 'm, 'a>,
    mut read_one: impl FnMut(&mut Rows<'s, 'm, 'a>, &'a [u8]) -> Result<(), E>,
) -> Result<(), RejectReason> {
    let mut fields = Fields::new(payload);
    loop {
        let start = fields.offset();
        let Some(field) = fields.next() else { return Ok(()) };
        let read = match field {
            Ok((found, value)) if found == number => {
                value.message(number).map_err(E::from).and_then(|message| read_one(rows, message))
            }
            Ok(_) => Ok(()),
            Err(error) if start == 0 => return Err(error.into()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = read {
            rows.number += 1;
            rows.reject(&payload[start..fields.offset()], error);
        }
    }
}
