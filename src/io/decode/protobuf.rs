//! The fields of a protobuf message, borrowed from its bytes: nothing is copied, no length is believed before it is checked. The wire format
//! is prost's; its derived messages would copy every text.

use std::borrow::Cow;

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::io::decode::rejection::RejectReason;

/// Why the bytes are no protobuf message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProtobufError {
    /// The wire format is broken, or cut off.
    #[error("the protobuf message is corrupt: {0}")]
    Corrupt(#[from] DecodeError),
    /// A field is longer than what is left of its message.
    #[error("the protobuf message is cut off: a field of {0} bytes, and {1} are left")]
    CutOff(u64, usize),
    /// A field has another type than the format gives it.
    #[error("the protobuf field {0} has another type")]
    Type(u32),
    /// A text is no UTF-8.
    #[error("a text is no UTF-8")]
    Utf8,
    /// Values within values within values.
    #[error("values are nested deeper than {0} levels")]
    Depth(usize),
}

impl From<ProtobufError> for RejectReason {
    fn from(error: ProtobufError) -> Self {
        RejectReason::Protobuf(error.to_string())
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'m> {
    /// Integers, enums and booleans.
    Varint(u64),
    /// Doubles, fixed64 and sfixed64.
    Fixed64(u64),
    /// Floats, fixed32 and sfixed32.
    Fixed32(u32),
    /// Texts, bytes, messages and packed lists.
    Bytes(&'m [u8]),
    /// A group: skipped.
    Group,
}

impl<'m> Value<'m> {
    /// The bytes of a text, of bytes or of a message.
    pub fn bytes(self) -> Option<&'m [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The same, where the format wants them in field `number`.
    pub fn message(self, number: u32) -> Result<&'m [u8], ProtobufError> {
        self.bytes().ok_or(ProtobufError::Type(number))
    }

    /// A text.
    pub fn text(self, number: u32) -> Result<&'m str, ProtobufError> {
        std::str::from_utf8(self.message(number)?).map_err(|_| ProtobufError::Utf8)
    }

    /// A text as events hold it.
    pub fn cow(self, number: u32) -> Result<Cow<'m, str>, ProtobufError> {
        self.text(number).map(Cow::Borrowed)
    }

    /// An unsigned integer, or one of fixed size.
    pub fn unsigned(self, number: u32) -> Result<u64, ProtobufError> {
        match self {
            Value::Varint(value) | Value::Fixed64(value) => Ok(value),
            Value::Fixed32(value) => Ok(u64::from(value)),
            _ => Err(ProtobufError::Type(number)),
        }
    }

    /// A signed integer in two's complement, or one of fixed size.
    pub fn signed(self, number: u32) -> Result<i64, ProtobufError> {
        self.unsigned(number).map(|value| value as i64)
    }

    /// A signed integer in zigzag.
    pub fn zigzag(self, number: u32) -> Result<i64, ProtobufError> {
        self.unsigned(number).map(zigzag)
    }

    /// A double.
    pub fn double(self, number: u32) -> Result<f64, ProtobufError> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Value::Fixed32(bits) => Ok(f64::from(f32::from_bits(bits))),
            _ => Err(ProtobufError::Type(number)),
        }
    }
}

/// A signed integer out of zigzag.
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The fields of a message, in order. After an error there are none.
#[derive(Clone, Debug)]
pub struct Fields<'m> {
    length: usize,
    rest: &'m [u8],
}

impl<'m> Fields<'m> {
    /// The fields of these bytes.
    pub fn new(message: &'m [u8]) -> Self {
        Self { length: message.len(), rest: message }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    #[inline]
    fn read(&mut self) -> Result<(u32, Value<'m>), ProtobufError> {
        let (number, wire_type) = decode_key(&mut self.rest)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(decode_varint(&mut self.rest)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.rest)?;
                let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
                let (bytes, rest) = taken.ok_or(ProtobufError::CutOff(length, self.rest.len()))?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            WireType::SixtyFourBit => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            WireType::ThirtyTwoBit => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            WireType::StartGroup | WireType::EndGroup => {
                skip_field(wire_type, number, &mut self.rest, DecodeContext::default())?;
                Value::Group
            }
        };
        Ok((number, value))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(ProtobufError::CutOff(N as u64, self.rest.len()))?;
        self.rest = rest;
        Ok(*bytes)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u32, Value<'m>), ProtobufError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The doubles of a repeated field, packed or one by one.
pub fn push_doubles(value: Value<'_>, number: u32, into: &mut Vec<f64>) -> Result<(), ProtobufError> {
    match value {
        Value::Bytes(packed) => {
            let (doubles, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(ProtobufError::CutOff(8, rest.len()));
            }
            into.extend(doubles.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        }
        single => into.push(single.double(number)?),
    }
    Ok(())
}

/// The integers of a repeated field of fixed size, packed or one by one.
pub fn push_fixed64(value: Value<'_>, number: u32, into: &mut Vec<u64>) -> Result<(), ProtobufError> {
    match value {
        Value::Bytes(packed) => {
            let (integers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(ProtobufError::CutOff(8, rest.len()));
            }
            into.extend(integers.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        }
        single => into.push(single.unsigned(number)?),
    }
    Ok(())
}

/// The varints of a repeated field, packed or one by one.
pub fn push_varints(value: Value<'_>, number: u32, into: &mut Vec<u64>) -> Result<(), ProtobufError> {
    match value {
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                into.push(decode_varint(&mut packed)?);
            }
        }
        single => into.push(single.unsigned(number)?),
    }
    Ok(())
}
