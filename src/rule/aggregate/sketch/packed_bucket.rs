//! A bucket of a percentile sketch in one number: its key in the high bits, its count in the low ones, so that buckets sort by
//! key.

use crate::rule::aggregate::sketch::bucket_index::LAST;

/// Values that one bucket counts; more are not counted. A million a second reach it in four years.
pub const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

const COUNT_BITS: u32 = 47;
const _: () = assert!(LAST < 1 << (64 - COUNT_BITS));

/// A bucket of a key and a count.
pub fn pack(key: u32, count: u64) -> u64 {
    (u64::from(key) << COUNT_BITS) | count.min(COUNT_MAX)
}

/// The key and the count of a bucket.
pub fn unpack(bucket: u64) -> (u32, u64) {
    ((bucket >> COUNT_BITS) as u32, bucket & COUNT_MAX)
}

/// Adds to the count of a bucket.
pub fn add_count(bucket: &mut u64, count: u64) {
    let (key, before) = unpack(*bucket);
    *bucket = pack(key, before.saturating_add(count));
}

/// The position of a bucket in a sorted list, or where it would be inserted.
pub fn find(buckets: &[u64], key: u32) -> Result<usize, usize> {
    let at = buckets.partition_point(|bucket| unpack(*bucket).0 < key);
    if buckets.get(at).is_some_and(|bucket| unpack(*bucket).0 == key) { Ok(at) } else { Err(at) }
}
