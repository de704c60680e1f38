//! How a percentile sketch is written to bytes: buckets in ascending order, the distance from the one before and the count packed
//! into one byte where they are small, which they nearly always are.
//!
//! The first bucket's key comes first, as a zigzag varint of its distance from zero's. Then each bucket begins with a byte:
//!
//! - `0dddcccc`: `d` + 1 keys further, `c` + 1 values
//! - `10dddddd`: `d` + 1 keys further, one value
//! - `11dddddd`: `d` + 1 keys further (63: a varint is to be added), and a varint of the count less one
//!
//! No values are no bytes. One set of counts has one form, so equal sketches are equal bytes.

use crate::rule::aggregate::sketch::bucket_index::{LAST, ZERO};
use crate::rule::aggregate::sketch::packed_bucket::COUNT_MAX;

/// The bytes are not an encoded sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEncoding;

const NEAR: u32 = 8;
const SMALL: u64 = 16;
const LONE: u8 = 0b1000_0000;
const FAR: u8 = 0b1100_0000;
const LOW_BITS: u8 = 0b0011_1111;
const FURTHER: u32 = LOW_BITS as u32;

/// Appends buckets, given in ascending order of their keys with counts from 1 to [`COUNT_MAX`].
pub fn write_buckets(buckets: impl Iterator<Item = (u32, u64)>, bytes: &mut Vec<u8>) {
    let mut next = None;
    for (key, count) in buckets {
        let steps = match next {
            Some(next) => key - next,
            None => {
                let distance = i64::from(key) - i64::from(ZERO);
                write_varint(((distance << 1) ^ (distance >> 63)) as u64, bytes);
                0
            }
        };
        next = Some(key + 1);
        if steps < NEAR && count <= SMALL {
            bytes.push(((steps << 4) as u8) | (count - 1) as u8);
        } else if steps < FURTHER && count == 1 {
            bytes.push(LONE | steps as u8);
        } else {
            bytes.push(FAR | steps.min(FURTHER) as u8);
            if let Some(more) = steps.checked_sub(FURTHER) {
                write_varint(u64::from(more), bytes);
            }
            write_varint(count - 1, bytes);
        }
    }
}

fn write_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads the buckets that [`write_buckets`] wrote, in the same order; ends at the first error.
pub struct BucketReader<'a> {
    bytes: &'a [u8],
    next: Option<u32>,
}

impl<'a> BucketReader<'a> {
    /// The buckets in `bytes`.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, next: None }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bucket(&mut self) -> Option<(u32, u64)> {
        let next = match self.next {
            Some(next) => next,
            None => {
                let zigzag = self.varint()?;
                let distance = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                u32::try_from(i64::from(ZERO) + distance).ok()?
            }
        };
        let head = self.byte()?;
        let (steps, count) = match head {
            0..LONE => (u32::from(head >> 4), u64::from(head & 0x0f) + 1),
            LONE..FAR => (u32::from(head & LOW_BITS), 1),
            FAR.. => {
                let steps = u32::from(head & LOW_BITS);
                let more = if steps == FURTHER { u32::try_from(self.varint()?).ok()? } else { 0 };
                (steps.checked_add(more)?, self.varint()? + 1)
            }
        };
        let key = next.checked_add(steps).filter(|key| *key <= LAST)?;
        self.next = Some(key + 1);
        (count <= COUNT_MAX).then_some((key, count))
    }
}

impl Iterator for BucketReader<'_> {
    type Item = Result<(u32, u64), InvalidEncoding>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let bucket = self.bucket();
        if bucket.is_none() {
            self.bytes = &[];
        }
        Some(bucket.ok_or(InvalidEncoding))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn buckets() -> impl Strategy<Value = BTreeMap<u32, u64>> {
        let key = prop_oneof![0..=LAST, ZERO..ZERO + 100, Just(LAST), Just(0)];
        let count = prop_oneof![1..40_u64, Just(1), 1..=COUNT_MAX, Just(COUNT_MAX)];
        prop::collection::btree_map(key, count, 0..60)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(buckets in buckets(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            write_buckets(buckets.iter().map(|(key, count)| (*key, *count)), &mut bytes);
            let read: Result<BTreeMap<u32, u64>, InvalidEncoding> = BucketReader::of(&bytes).collect();
            prop_assert_eq!(read.as_ref(), Ok(&buckets));
            if !bytes.is_empty() {
                // Cut short it is an error or fewer buckets, never another bucket.
                let cut = BucketReader::of(&bytes[..cut.index(bytes.len())]).filter_map(Result::ok);
                prop_assert!(cut.zip(buckets).all(|(cut, whole)| cut == whole));
            }
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let read: Vec<_> = BucketReader::of(&bytes).collect();
            prop_assert!(read.len() <= bytes.len());
            prop_assert!(read.iter().flatten().all(|(key, count)| *key <= LAST && (1..=COUNT_MAX).contains(count)));
        }
    }

    #[test]
    fn usual_sketches_are_small() {
        let bytes = |buckets: &[(u32, u64)]| {
            let mut bytes = Vec::new();
            write_buckets(buckets.iter().copied(), &mut bytes);
            bytes.len()
        };
        assert_eq!(bytes(&[]), 0);
        assert_eq!(bytes(&[(ZERO + 1300, 1)]), 3);
        assert_eq!(bytes(&[(ZERO + 1300, 1), (ZERO + 1302, 16), (ZERO + 1350, 1)]), 5);
    }
}
