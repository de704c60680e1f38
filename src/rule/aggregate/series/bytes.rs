//! Numbers as the bytes of a state: whole ones short where they are small, floats as they are.

/// Appends a whole number, seven bits to a byte.
pub fn write_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number that may be negative.
pub fn write_signed(number: i64, bytes: &mut Vec<u8>) {
    write_varint((number << 1 ^ number >> 63) as u64, bytes);
}

/// Appends a float.
pub fn write_float(number: f64, bytes: &mut Vec<u8>) {
    bytes.extend(number.to_le_bytes());
}

/// Reads what was written, in its order; `None` where the bytes end too early.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Eight bytes.
    pub fn eight(&mut self) -> Option<[u8; 8]> {
        let (eight, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(*eight)
    }

    /// As [`write_varint`] wrote it.
    pub fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// As [`write_signed`] wrote it.
    pub fn signed(&mut self) -> Option<i64> {
        self.varint().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// As [`write_float`] wrote it.
    pub fn float(&mut self) -> Option<f64> {
        self.eight().map(f64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let numbers = [0, 1, -1, 63, -64, 64, 1_773_446_400_000, i64::MAX, i64::MIN];
        let mut bytes = Vec::new();
        for number in numbers {
            write_signed(number, &mut bytes);
            write_varint(number as u64, &mut bytes);
            write_float(number as f64 / 7.0, &mut bytes);
        }
        let mut reader = Reader(&bytes);
        for number in numbers {
            assert_eq!(reader.signed(), Some(number));
            assert_eq!(reader.varint(), Some(number as u64));
            assert_eq!(reader.float(), Some(number as f64 / 7.0));
        }
        assert_eq!((reader.varint(), Reader(&[0xff; 20]).varint(), Reader(&[1; 7]).float()), (None, None, None));
    }
}
