//! Which bucket of a percentile sketch a number falls into, by its bits alone: no logarithm, whose last digit is another on
//! another machine.
//!
//! Each octave (the numbers between two powers of two) has the same 35 buckets, each 1.0201 times as wide as the one below. A
//! table by the first six bits of the fraction finds the bucket in one comparison: such a cell is narrower than any bucket.
//! (DDSketch's interpolated mappings, in Masson's `sketches-java`, take the exponent's bits in the same way and pay for the
//! missing logarithm with 1% to 44% more buckets; the table pays 1%.)

/// How far an answer may be from the number that it stands for, as a share of that number.
pub const RELATIVE_ERROR: f64 = 0.01;
/// A number nearer to zero than this is zero.
pub const ZERO_BELOW: f64 = 1e-9;
/// The key of zero, in the middle of all keys. Keys are ordered as the numbers in their buckets: negative ones lie below.
pub const ZERO: u32 = SIDE;
/// The largest key.
pub const LAST: u32 = 2 * SIDE;

/// Upper over lower end of a bucket.
const GROWTH: f64 = 1.0201;
const PER_OCTAVE: usize = 35;
/// Bits of an f64's fraction.
const FRACTION_BITS: u32 = 52;
const FRACTION: u64 = (1 << FRACTION_BITS) - 1;
/// The exponent field of 1.0.
const ONE: u32 = 1023;
/// The exponent field of [`ZERO_BELOW`]: 2^-30 is the power of two below it.
const LOWEST: u32 = ONE - 30;
/// Octaves up to the largest finite number.
const OCTAVES: u32 = 2 * ONE + 1 - LOWEST;
/// BucketReader on each side of zero.
const SIDE: u32 = OCTAVES * PER_OCTAVE as u32;
const CELL_BITS: u32 = 6;

/// The fractions at which the buckets of an octave begin, and the end of the last one.
const BOUNDS: [u64; PER_OCTAVE + 1] = {
    let mut bounds = [1 << FRACTION_BITS; PER_OCTAVE + 1];
    let mut bound = 1.0_f64;
    let mut at = 0;
    while at < PER_OCTAVE {
        bounds[at] = bound.to_bits() & FRACTION;
        bound *= GROWTH;
        at += 1;
    }
    assert!(bound >= 2.0, "the buckets cover the octave");
    assert!(GROWTH <= (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR), "both ends of a bucket are near its middle");
    bounds
};

/// The bucket at the beginning of each cell.
const FIRST: [u8; 1 << CELL_BITS] = {
    let mut first = [0; 1 << CELL_BITS];
    let mut cell = 0;
    while cell < first.len() {
        let start = (cell as u64) << (FRACTION_BITS - CELL_BITS);
        let mut at = 0;
        while at + 1 < PER_OCTAVE && BOUNDS[at + 1] <= start {
            at += 1;
        }
        assert!(BOUNDS[at + 1] - BOUNDS[at] > 1 << (FRACTION_BITS - CELL_BITS), "no cell reaches over two buckets' ends");
        first[cell] = at as u8;
        cell += 1;
    }
    first
};

/// The key of the bucket that holds `value`; `None` for NaN, which is no value. Infinities count as the largest finite numbers.
pub fn key(value: f64) -> Option<u32> {
    if value.is_nan() {
        return None;
    }
    let magnitude = value.abs().min(f64::MAX);
    if magnitude < ZERO_BELOW {
        return Some(ZERO);
    }
    let bits = magnitude.to_bits();
    let fraction = bits & FRACTION;
    let first = usize::from(FIRST[(fraction >> (FRACTION_BITS - CELL_BITS)) as usize]);
    let bucket = first as u32 + u32::from(fraction >= BOUNDS[first + 1]);
    let octave = (bits >> FRACTION_BITS) as u32 - LOWEST;
    let side = octave * PER_OCTAVE as u32 + bucket + 1;
    Some(if value > 0.0 { ZERO + side } else { ZERO - side })
}

/// The number whose relative distance to both ends of the bucket is the same: within [`RELATIVE_ERROR`] of all in it.
pub fn middle(key: u32) -> f64 {
    let Some(side) = key.abs_diff(ZERO).checked_sub(1) else { return 0.0 };
    let (octave, bucket) = (side / PER_OCTAVE as u32, side as usize % PER_OCTAVE);
    // Adding the bits of 1.0 to the end of the last bucket carries into the exponent, and is 2.0.
    let end = |at: usize| f64::from_bits(BOUNDS[at] + 1.0_f64.to_bits());
    let (low, high) = (end(bucket), end(bucket + 1));
    let power = f64::from_bits(u64::from(octave + LOWEST) << FRACTION_BITS);
    let middle = 2.0 * low * high / (low + high) * power;
    if key > ZERO { middle } else { -middle }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_near_and_in_order(bits in any::<u64>(), other in any::<u64>()) {
            let (value, other) = (f64::from_bits(bits), f64::from_bits(other));
            prop_assume!(value.is_finite() && other.is_finite());
            let (key, of_other) = (key(value).unwrap(), super::key(other).unwrap());
            prop_assert!(key <= LAST);
            prop_assert_eq!(super::key(-value), Some(LAST - key));
            prop_assert!((value > other || key <= of_other) && (value < other || key >= of_other));
            let error = (middle(key) - value).abs();
            let bound = if value.abs() < ZERO_BELOW { ZERO_BELOW } else { RELATIVE_ERROR * value.abs() };
            prop_assert!(error <= bound, "{value} is reported as {}", middle(key));
        }
    }

    #[test]
    fn ends_of_buckets_and_of_the_range() {
        for octave in [LOWEST, LOWEST + 1, ONE - 1, ONE, ONE + 10, 2 * ONE] {
            for (at, bound) in BOUNDS[..PER_OCTAVE].iter().enumerate() {
                let value = f64::from_bits((u64::from(octave) << FRACTION_BITS) + bound);
                if value < ZERO_BELOW {
                    continue;
                }
                let expected = ZERO + 1 + (octave - LOWEST) * PER_OCTAVE as u32 + at as u32;
                assert_eq!(key(value), Some(expected), "{value}");
                if value.next_down() >= ZERO_BELOW {
                    assert_eq!(key(value.next_down()), Some(expected - 1), "below {value}");
                }
                assert!((middle(expected) / value - 1.0).abs() <= RELATIVE_ERROR);
            }
        }
        assert_eq!(key(f64::INFINITY), Some(LAST));
        assert_eq!(key(f64::NEG_INFINITY), Some(0));
        assert_eq!(key(f64::NAN), None);
        assert_eq!((key(0.0), key(-0.0), key(1e-10), key(-1e-10)), (Some(ZERO), Some(ZERO), Some(ZERO), Some(ZERO)));
        assert!(key(ZERO_BELOW) > Some(ZERO) && middle(LAST).is_finite());
    }
}
