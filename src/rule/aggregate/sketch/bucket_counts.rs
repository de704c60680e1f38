//! The counts of a percentile sketch by bucket, in the smallest of three forms: up to three buckets in place, a sorted list, or
//! an array over the whole range of buckets whose cells are as wide as the largest count needs.
//!
//! Most groups see a few values a pane, so what a sketch costs at rest matters more than what it can hold. The form depends on
//! the order in which values came; the counts and every answer do not.

use crate::rule::aggregate::sketch::bucket_index::{self, middle};
use crate::rule::aggregate::sketch::encoding::{BucketReader, InvalidEncoding, write_buckets};
use crate::rule::aggregate::sketch::packed_bucket::{COUNT_MAX, add_count, find, pack, unpack};

/// Buckets that one sketch keeps. With more, the lowest buckets are merged, as in DDSketch: the highest 4,096 stay exact, and low
/// percentiles may be reported too high. Only values over more than 117 powers of two need so many.
pub const BUCKETS_MAX: usize = 4096;

const IN_PLACE: usize = 3;
/// A list becomes an array where that takes at most this many bytes a bucket, and a list again above [`LIST_BYTES`]. The gap
/// between the two keeps a sketch from changing its form back and forth.
const ARRAY_BYTES: usize = 6;
const LIST_BYTES: usize = size_of::<u64>();

/// Counts by bucket (keys as in [`bucket_index::key`]).
#[derive(Clone, Debug, Default)]
pub struct Sketch(Form);

#[derive(Clone, Debug)]
enum Form {
    InPlace { len: u8, buckets: [u64; IN_PLACE] },
    List(Vec<u64>),
    Array { first: u32, occupied: u16, width: Width, cells: Vec<u8> },
}

impl Default for Form {
    fn default() -> Self {
        Form::InPlace { len: 0, buckets: [0; IN_PLACE] }
    }
}

impl Form {
    /// The smallest form of a sorted list.
    fn of(mut list: Vec<u64>) -> Self {
        if list.len() <= IN_PLACE {
            let mut buckets = [0; IN_PLACE];
            buckets[..list.len()].copy_from_slice(&list);
            return Form::InPlace { len: list.len() as u8, buckets };
        }
        if let Some(over) = list.len().checked_sub(BUCKETS_MAX) {
            let lower: u64 = list.drain(..over).map(|bucket| unpack(bucket).1).sum();
            add_count(&mut list[0], lower);
        }
        array_of(&list).unwrap_or(Form::List(list))
    }
}

impl Sketch {
    /// Counts one value. NaN is no value; infinities count as the largest finite numbers.
    pub fn add(&mut self, value: f64) {
        if let Some(key) = bucket_index::key(value) {
            self.count(key, 1);
        }
    }

    /// Adds the counts of another, [encoded](Self::encode) sketch: exact, and the same in every order.
    ///
    /// # Errors
    ///
    /// The bytes are not an encoded sketch; some of their counts may have been added.
    pub fn merge(&mut self, encoded: &[u8]) -> Result<(), InvalidEncoding> {
        let listed = match &self.0 {
            Form::InPlace { len, buckets } => &buckets[..usize::from(*len)],
            Form::List(buckets) => buckets,
            Form::Array { .. } => {
                return BucketReader::of(encoded).try_for_each(|bucket| {
                    let (key, count) = bucket?;
                    self.count(key, count);
                    Ok(())
                });
            }
        };
        // An encoded bucket takes at least one byte.
        let mut both = Vec::with_capacity(listed.len() + encoded.len());
        let mut mine = listed.iter().copied().peekable();
        for theirs in BucketReader::of(encoded) {
            let (key, count) = theirs?;
            while let Some(lower) = mine.next_if(|bucket| unpack(*bucket).0 < key) {
                both.push(lower);
            }
            let mut sum = pack(key, count);
            if let Some(same) = mine.next_if(|bucket| unpack(*bucket).0 == key) {
                add_count(&mut sum, unpack(same).1);
            }
            both.push(sum);
        }
        both.extend(mine);
        self.0 = Form::of(both);
        Ok(())
    }

    /// Appends the counts to `bytes`, for [`Self::merge`].
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        write_buckets(self.buckets(), bytes);
    }

    /// A value within [`bucket_index::RELATIVE_ERROR`] of the one at the nearest rank, the ceil(`percent` / 100 x n)-th smallest: of
    /// five samples p95 is the largest. `None` where nothing was counted.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total: u64 = self.buckets().map(|(_, count)| count).sum();
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let at_rank = self.buckets().find(|(_, count)| {
            seen += u128::from(*count);
            seen >= rank
        });
        at_rank.map(|(key, _)| middle(key))
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::InPlace { .. } => 0,
            Form::List(buckets) => buckets.capacity() * size_of::<u64>(),
            Form::Array { cells, .. } => cells.capacity(),
        }
    }

    /// Occupied buckets, ascending.
    fn buckets(&self) -> impl Iterator<Item = (u32, u64)> {
        let (listed, first, width, cells): (&[u64], _, _, &[u8]) = match &self.0 {
            Form::InPlace { len, buckets } => (&buckets[..usize::from(*len)], 0, Width::One, &[]),
            Form::List(buckets) => (buckets, 0, Width::One, &[]),
            Form::Array { first, width, cells, .. } => (&[], *first, *width, cells),
        };
        let cells = (first..).zip(cells.chunks_exact(width.bytes()).map(read)).filter(|(_, count)| *count > 0);
        listed.iter().map(|bucket| unpack(*bucket)).chain(cells)
    }

    fn count(&mut self, key: u32, count: u64) {
        match &mut self.0 {
            Form::InPlace { len, buckets } => {
                let used = usize::from(*len);
                match find(&buckets[..used], key) {
                    Ok(at) => add_count(&mut buckets[at], count),
                    Err(at) if used < IN_PLACE => {
                        buckets.copy_within(at..used, at + 1);
                        buckets[at] = pack(key, count);
                        *len += 1;
                    }
                    Err(at) => {
                        let mut list = Vec::with_capacity(2 * IN_PLACE);
                        list.extend(&buckets[..at]);
                        list.push(pack(key, count));
                        list.extend(&buckets[at..]);
                        self.0 = Form::List(list);
                    }
                }
            }
            Form::List(buckets) => match find(buckets, key) {
                Ok(at) => add_count(&mut buckets[at], count),
                Err(at) if buckets.len() < BUCKETS_MAX => {
                    buckets.insert(at, pack(key, count));
                    if let Some(array) = array_of(buckets) {
                        self.0 = array;
                    }
                }
                Err(0) => add_count(&mut buckets[0], count),
                Err(at) => {
                    // Merges the lowest bucket into the one above it to make room.
                    let (_, lowest) = unpack(buckets[0]);
                    buckets.copy_within(1..at, 0);
                    buckets[at - 1] = pack(key, count);
                    add_count(&mut buckets[0], lowest);
                }
            },
            Form::Array { first, occupied, width, cells } => {
                if !count_in_array(first, occupied, width, cells, key, count) {
                    self.0 = Form::List(self.buckets().map(|(key, count)| pack(key, count)).collect());
                    self.count(key, count);
                }
            }
        }
    }
}

/// The array with the counts of a list, where it is the smaller form.
fn array_of(list: &[u64]) -> Option<Form> {
    let (first, last) = (unpack(*list.first()?).0, unpack(*list.last()?).0);
    let (cells, allowed) = ((last - first) as usize + 1, ARRAY_BYTES * list.len());
    if cells > allowed || list.len() >= BUCKETS_MAX {
        return None;
    }
    let width = Width::of(list.iter().map(|bucket| unpack(*bucket).1).max()?);
    if cells * width.bytes() > allowed {
        return None;
    }
    let mut array = vec![0; cells * width.bytes()];
    for (key, count) in list.iter().map(|bucket| unpack(*bucket)) {
        width.write(&mut array, (key - first) as usize, count);
    }
    Some(Form::Array { first, occupied: list.len() as u16, width, cells: array })
}

/// Counts in an array, making it longer or its cells wider. `false`: not counted, because a list would be smaller then.
fn count_in_array(first: &mut u32, occupied: &mut u16, width: &mut Width, cells: &mut Vec<u8>, key: u32, count: u64) -> bool {
    let len = cells.len() / width.bytes();
    let below = first.saturating_sub(key) as usize;
    let needed = (len + below).max((key + 1).saturating_sub(*first) as usize);
    let at = key.saturating_sub(*first) as usize;
    let before = if below == 0 && at < len { width.read(cells, at) } else { 0 };
    let after = before.saturating_add(count).min(COUNT_MAX);
    let wide = Width::of(after).max(*width);
    if needed > len || wide > *width || before == 0 {
        let occupied_after = usize::from(*occupied) + usize::from(before == 0);
        if occupied_after >= BUCKETS_MAX || needed * wide.bytes() > LIST_BYTES * occupied_after {
            return false;
        }
        if wide > *width {
            let wider =
                cells.chunks_exact(width.bytes()).flat_map(|cell| read(cell).to_le_bytes().into_iter().take(wide.bytes()));
            *cells = wider.collect();
            *width = wide;
        }
        if below > 0 {
            cells.splice(0..0, std::iter::repeat_n(0, below * width.bytes()));
            *first = key;
        }
        cells.resize(needed * width.bytes(), 0);
        *occupied = occupied_after as u16;
    }
    width.write(cells, at, after);
    true
}

/// How many bytes a cell has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    /// The narrowest that holds a count.
    fn of(count: u64) -> Self {
        match count {
            0..=0xff => Width::One,
            0x100..=0xffff => Width::Two,
            0x1_0000..=0xffff_ffff => Width::Four,
            _ => Width::Eight,
        }
    }

    fn bytes(self) -> usize {
        1 << self as usize
    }

    fn read(self, cells: &[u8], at: usize) -> u64 {
        read(&cells[at * self.bytes()..(at + 1) * self.bytes()])
    }

    fn write(self, cells: &mut [u8], at: usize, count: u64) {
        if self == Width::One {
            cells[at] = count as u8;
        } else {
            let bytes = self.bytes();
            cells[at * bytes..(at + 1) * bytes].copy_from_slice(&count.to_le_bytes()[..bytes]);
        }
    }
}

fn read(cell: &[u8]) -> u64 {
    match cell {
        [one] => u64::from(*one),
        cell => cell.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rule::aggregate::sketch::bucket_index::{RELATIVE_ERROR, ZERO, ZERO_BELOW};

    /// Data of the shapes that monitoring has, and of some that it should not have.
    fn values() -> impl Strategy<Value = Vec<f64>> {
        let unit = || 1e-12..1.0_f64;
        let uniform = (0.0..1000.0_f64).boxed();
        let lognormal = (unit(), unit())
            .prop_map(|(a, b)| (4.0 + 0.8 * (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()).exp())
            .boxed();
        let heavy = unit().prop_map(|u| u.powf(-2.0)).boxed();
        let signed = prop_oneof![-1e9..1e9_f64, -1.0..1.0_f64, Just(0.0), Just(-0.0), -1e-8..1e-8_f64].boxed();
        let few = prop::sample::select(vec![0.0, 1.0, 99.5, -3.0, 1e12]).boxed();
        let finite = any::<f64>().prop_filter("finite", |value| value.is_finite()).boxed();
        let shape = prop::sample::select(vec![uniform, lognormal, heavy, signed, few, finite]);
        let many = prop_oneof![1..10_usize, 1..600_usize];
        let drawn = (shape, many).prop_flat_map(|(value, many)| prop::collection::vec(value, many));
        let equal = (any::<i32>(), 1..2000_usize).prop_map(|(value, many)| vec![f64::from(value), many as f64]);
        prop_oneof![9 => drawn, 1 => equal.prop_map(|pair| vec![pair[0]; pair[1] as usize])]
    }

    fn sketch_of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    fn encoded(sketch: &Sketch) -> Vec<u8> {
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        bytes
    }

    /// Seals each pane and merges two of the states at a time, which two being drawn.
    fn merged(panes: Vec<Sketch>, mut draw: impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut states: Vec<Vec<u8>> = panes.iter().map(encoded).collect();
        while states.len() > 1 {
            let (one, other) = (states.swap_remove(draw(states.len())), states.swap_remove(draw(states.len())));
            let mut both = Sketch::default();
            both.merge(&one).unwrap();
            both.merge(&other).unwrap();
            states.push(encoded(&both));
        }
        states.pop().unwrap()
    }

    proptest! {
        #[test]
        fn near_the_value_at_the_rank(mut values in values(), percent in prop::sample::select(vec![50_u8, 90, 95, 99, 1, 100])) {
            let reported = sketch_of(&values).percentile(percent).unwrap();
            values.sort_by(f64::total_cmp);
            let rank = (values.len() * usize::from(percent)).div_ceil(100).max(1);
            let value = values[rank - 1];
            let bound = if value.abs() < ZERO_BELOW { ZERO_BELOW } else { RELATIVE_ERROR * value.abs() };
            prop_assert!((reported - value).abs() <= bound, "p{percent} of {} values is {value}, reported as {reported}", values.len());
        }

        #[test]
        fn the_same_bytes_in_every_order_and_every_split(values in values(), seed in any::<u64>(), parts in 1..8_usize) {
            let whole = encoded(&sketch_of(&values));
            let mut state = seed;
            let mut draw = |below: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below
            };
            let mut panes = vec![Sketch::default(); parts];
            let mut values = values;
            while !values.is_empty() {
                let value = values.swap_remove(draw(values.len()));
                panes[draw(parts)].add(value);
            }
            prop_assert_eq!(merged(panes, draw), whole);
        }

        #[test]
        fn any_form_counts_as_a_map_does(
            counted in prop::collection::vec((prop_oneof![ZERO..ZERO + 40, ZERO..ZERO + 600, 0..=bucket_index::LAST],
                prop_oneof![3 => 1..3_u64, 1 => 1..300_u64, 1 => 1..1_u64 << 40, 1 => Just(COUNT_MAX)]), 0..400),
        ) {
            let mut sketch = Sketch::default();
            let mut map: BTreeMap<u32, u64> = BTreeMap::new();
            for (key, count) in counted {
                sketch.count(key, count);
                let total = map.entry(key).or_default();
                *total = (*total + count).min(COUNT_MAX);
            }
            prop_assert!(sketch.buckets().eq(map));
        }
    }

    #[test]
    fn over_the_limit_the_highest_buckets_are_kept_in_any_order() {
        let keys: Vec<u32> = (0..3 * BUCKETS_MAX as u32).map(|i| i * 6).collect();
        let count_all = |keys: &mut dyn Iterator<Item = &u32>| {
            let mut sketch = Sketch::default();
            keys.for_each(|key| sketch.count(*key, 1));
            encoded(&sketch)
        };
        let up = count_all(&mut keys.iter());
        assert_eq!(up, count_all(&mut keys.iter().rev()));
        assert_eq!(up, count_all(&mut keys.iter().step_by(2).chain(keys.iter().skip(1).step_by(2))));
        let halves = [count_all(&mut keys.iter().step_by(2)), count_all(&mut keys.iter().skip(1).step_by(2))];
        let mut sketch = Sketch::default();
        halves.iter().for_each(|half| sketch.merge(half).unwrap());
        assert_eq!(encoded(&sketch), up);
        assert_eq!(sketch.buckets().count(), BUCKETS_MAX);
        assert_eq!(sketch.buckets().map(|(_, count)| count).sum::<u64>(), keys.len() as u64);
        assert_eq!(sketch.buckets().last(), Some((keys[keys.len() - 1], 1)));
        assert_eq!(sketch.buckets().next(), Some((keys[2 * BUCKETS_MAX], 2 * BUCKETS_MAX as u64 + 1)));
        // Neighbouring buckets, which an array would hold.
        let mut dense = Sketch::default();
        (0..2 * BUCKETS_MAX as u32).for_each(|key| dense.count(ZERO + key, 1));
        assert_eq!((dense.buckets().count(), dense.buckets().next()), (BUCKETS_MAX, Some((ZERO + 4096, 4097))));
    }

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Sketch>(), 32);
        let of = |many: i32| (1..=many).map(|i| 100.0 + 0.3 * f64::from(i)).collect::<Vec<f64>>();
        assert_eq!(sketch_of(&of(3)).heap_bytes(), 0);
        let thousand = sketch_of(&of(1000));
        assert!(thousand.heap_bytes() <= 256, "{} bytes", thousand.heap_bytes());
        assert!(encoded(&thousand).len() <= 160, "{} bytes", encoded(&thousand).len());
    }

    #[test]
    fn what_is_no_value_and_what_is_no_sketch() {
        let mut sketch = sketch_of(&[f64::NAN]);
        assert_eq!(sketch.percentile(50), None);
        assert!(encoded(&sketch).is_empty());
        sketch.add(f64::INFINITY);
        assert!(sketch.percentile(99).is_some_and(|value| value > 1.7e308 && value.is_finite()));
        assert_eq!(sketch.merge(&[0xff; 20]), Err(InvalidEncoding));
        assert_eq!(sketch.merge(&[0]), Err(InvalidEncoding));
    }
}
