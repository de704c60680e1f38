//! Protobuf messages whose records are a repeated field, or repeated fields of such. What else a message holds goes into each piece.

use std::borrow::Cow;

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::io::decode::protobuf::Fields;
use crate::io::decode::split::{SplitError, add, groups};

/// Cuts between records. `levels` has the numbers of the fields that hold records: first those of the message, then those of such a
/// field's own message, and so on. A record is cut only where it alone is too large.
pub fn repeated<'m>(message: &'m [u8], max: usize, levels: &[&[u32]]) -> Result<Vec<Cow<'m, [u8]>>, SplitError> {
    if message.len() <= max {
        return Ok(vec![Cow::Borrowed(message)]);
    }
    let mut pieces = Vec::new();
    cut(message, max, levels, &mut pieces)?;
    Ok(pieces.into_iter().map(Cow::Owned).collect())
}

/// The bytes of a field's key and length.
fn head(number: u32, length: usize) -> usize {
    encoded_len_varint(u64::from(number) << 3) + encoded_len_varint(length as u64)
}

fn cut(message: &[u8], max: usize, levels: &[&[u32]], pieces: &mut Vec<Vec<u8>>) -> Result<(), SplitError> {
    let Some((numbers, inner)) = levels.split_first() else {
        return Err(SplitError::RecordTooLarge { bytes: message.len(), max });
    };
    let (mut context, mut records) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(message);
    loop {
        let start = fields.offset();
        let Some(field) = fields.next() else { break };
        let (number, value) = field.map_err(|error| SplitError::Malformed(error.to_string()))?;
        match value.bytes() {
            Some(record) if numbers.contains(&number) => records.push((number, record)),
            _ => context.extend_from_slice(&message[start..fields.offset()]),
        }
    }
    let room = max.saturating_sub(context.len());
    let sizes: Vec<usize> = records.iter().map(|(number, record)| head(*number, record.len()) + record.len()).collect();
    if records.is_empty() || room == 0 {
        return Err(SplitError::RecordTooLarge { bytes: message.len(), max });
    }
    for group in groups(&sizes, room) {
        if sizes[group.clone()].iter().sum::<usize>() <= room {
            let mut piece = context.clone();
            records[group].iter().for_each(|(number, record)| push(&mut piece, *number, record));
            add(pieces, piece)?;
            continue;
        }
        let (number, record) = records[group.start];
        let mut parts = Vec::new();
        cut(record, room.saturating_sub(head(number, room)), inner, &mut parts)?;
        for part in parts {
            let mut piece = context.clone();
            push(&mut piece, number, &part);
            add(pieces, piece)?;
        }
    }
    Ok(())
}

fn push(into: &mut Vec<u8>, number: u32, record: &[u8]) {
    encode_key(number, WireType::LengthDelimited, into);
    encode_varint(record.len() as u64, into);
    into.extend_from_slice(record);
}
