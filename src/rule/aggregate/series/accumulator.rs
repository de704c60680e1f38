//! The accumulator of functions over series. A row is appended and no more; samples are sorted by series and time when the pane is sealed, so
//! a row costs the same whatever the number of series.
//!
//! Rows come out of order and from several processes, so the samples of an open pane are kept as they are. A sealed pane takes no more rows:
//! there, the samples of a series are joined to one part. Its size is that of the series, however many samples there were.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array, StringViewArray};
use arrow::datatypes::{Float64Type, TimestampMillisecondType};
use datafusion::common::{Result, ScalarValue, exec_err, resources_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::model::fingerprint::stable_hash;
use crate::model::limits::SAMPLES_PER_PANE_MAX;
use crate::model::time::TimestampMs;
use crate::rule::aggregate::double_double::DoubleDouble;
use crate::rule::aggregate::over_window::OverWindow;
use crate::rule::aggregate::series::bytes::{Reader, write_float, write_varint};
use crate::rule::aggregate::series::function::{HIDDEN, Window};
use crate::rule::function::no_nan;

/// The temporality whose values are increases.
const DELTA: &str = "delta";

/// What tells the series of a group apart. They are in the order of the buckets' bounds, so that those of one bucket are neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// For histograms, the bound of the bucket as a number that grows with it.
    pub bound: i64,
    /// The column `series` as a number.
    pub series: u64,
    /// Whether its values are increases: a sender that changes to running totals begins another series.
    pub delta: bool,
}

impl SeriesKey {
    /// The bound of the bucket.
    pub fn bound(&self) -> f64 {
        f64::from_bits(ordered(self.bound) as u64)
    }
}

/// IEEE 754's total order as that of whole numbers; applied twice, it does nothing.
fn ordered(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its group.
    pub group: u32,
    /// Its series.
    pub key: SeriesKey,
    /// Its time.
    pub ts: TimestampMs,
    /// Its value.
    pub value: f64,
}

/// What is kept of consecutive samples of one series.
pub trait SeriesPart: Clone + fmt::Debug + Send + Sync + 'static {
    /// Whether parts join right only in the order of time, with no sample in between that is yet to come.
    const NEEDS_ORDER: bool;

    /// Of one sample.
    fn of_sample(sample: &Sample) -> Self;

    /// Which of two parts of a series comes first.
    fn order(&self, other: &Self) -> Ordering;

    /// Whether the part after it stands for it as well: a sample that is there twice counts once.
    fn is_replaced_by(&self, next: &Self) -> bool;

    /// Appends the part that follows.
    fn join(&mut self, later: &Self);

    /// Writes it. `before` is the time of the part before it, then its own.
    fn write(&self, before: &mut TimestampMs, bytes: &mut Vec<u8>);

    /// Reads what was written.
    fn read(key: &SeriesKey, before: &mut TimestampMs, reader: &mut Reader<'_>) -> Option<Self>;
}

/// What a function asks of the series of a group.
pub trait Question: Copy + fmt::Debug + Send + Sync + 'static {
    /// What it needs of a series.
    type Part: SeriesPart;

    /// Whether the second argument is the bound of a bucket.
    fn has_bounds(self) -> bool;

    /// The answer, of all series of one group in their order.
    fn answer(self, series: &[(SeriesKey, Self::Part)], window: Window<'_>) -> Result<Option<f64>>;
}

/// The sum of the figures that there are.
pub(super) fn sum_of(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let sum = figures.flatten().fold(None, |sum: Option<DoubleDouble>, figure| Some(sum.unwrap_or_default() + figure));
    sum.and_then(|sum| no_nan::number(sum.value()))
}

/// A part with its place.
#[derive(Clone, Debug)]
struct Placed<P> {
    group: u32,
    key: SeriesKey,
    part: P,
}

impl<P: SeriesPart> Placed<P> {
    fn of_sample(sample: &Sample) -> Self {
        Self { group: sample.group, key: sample.key, part: P::of_sample(sample) }
    }

    fn is_beside(&self, other: &Self) -> bool {
        (self.group, self.key) == (other.group, other.key)
    }
}

/// The samples of all groups.
#[derive(Clone, Debug)]
pub struct SeriesAccumulator<Q: Question> {
    question: Q,
    groups: usize,
    samples: Vec<Sample>,
    /// Parts of merged states.
    parts: Vec<Placed<Q::Part>>,
}

impl<Q: Question> SeriesAccumulator<Q> {
    /// No groups yet.
    pub fn new(question: Q) -> Self {
        Self { question, groups: 0, samples: Vec::new(), parts: Vec::new() }
    }

    fn append(&mut self, arguments: &[ArrayRef], group_of: impl Fn(usize) -> usize, filter: Option<&BooleanArray>) -> Result<()> {
        let rows = Rows::new(arguments, self.question.has_bounds())?;
        if self.samples.len() + arguments[0].len() > SAMPLES_PER_PANE_MAX {
            return resources_err!(
                "more than {SAMPLES_PER_PANE_MAX} samples of counters in one pane: a shorter `every` makes shorter panes"
            );
        }
        for row in 0..arguments[0].len() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
                && let Some(sample) = rows.sample(row, group_of(row))
            {
                self.samples.push(sample);
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let Some(states) = states[0].as_binary_opt::<i32>() else {
            return exec_err!("the state of series is no column of bytes");
        };
        for row in (0..states.len()).filter(|row| states.is_valid(*row)) {
            if read_group(states.value(row), group_of(row) as u32, &mut self.parts).is_none() {
                return exec_err!("{} bytes are no state of series", states.value(row).len());
            }
        }
        Ok(())
    }

    /// Takes the groups out that are emitted, and how many they are.
    fn take(&mut self, emit_to: EmitTo) -> (Vec<Sample>, Vec<Placed<Q::Part>>, usize) {
        let (mut samples, mut parts) = (std::mem::take(&mut self.samples), std::mem::take(&mut self.parts));
        let EmitTo::First(first) = emit_to else { return (samples, parts, std::mem::take(&mut self.groups)) };
        let taken = first as u32;
        let later = samples.extract_if(.., |sample| sample.group >= taken);
        self.samples = later.map(|sample| Sample { group: sample.group - taken, ..sample }).collect();
        let later = parts.extract_if(.., |part| part.group >= taken);
        self.parts = later.map(|part| Placed { group: part.group - taken, ..part }).collect();
        self.groups -= first;
        (samples, parts, first)
    }

    /// The parts in order; those of one series joined, where `join` says that no sample is to come between them.
    fn in_order(mut samples: Vec<Sample>, mut parts: Vec<Placed<Q::Part>>, join: bool) -> Vec<Placed<Q::Part>> {
        let place = |sample: &Sample| (sample.group, sample.key, sample.ts, ordered(sample.value.to_bits() as i64));
        samples.sort_unstable_by_key(place);
        if parts.is_empty() && (join || !Q::Part::NEEDS_ORDER) {
            return joined(samples.iter().map(Placed::of_sample));
        }
        parts.extend(samples.iter().map(Placed::of_sample));
        // The parts of a pane are in order already, which this sort makes use of.
        parts.sort_by(|a, b| (a.group, a.key).cmp(&(b.group, b.key)).then_with(|| a.part.order(&b.part)));
        if join || !Q::Part::NEEDS_ORDER { joined(parts.into_iter()) } else { parts }
    }

    fn encoded(&mut self, emit_to: EmitTo, join: bool) -> Vec<ArrayRef> {
        let (samples, parts, groups) = self.take(emit_to);
        let parts = Self::in_order(samples, parts, join);
        let mut builder = BinaryBuilder::new();
        let (mut bytes, mut rest) = (Vec::new(), parts.as_slice());
        for group in 0..groups as u32 {
            let mine = rest.iter().position(|part| part.group != group).unwrap_or(rest.len());
            bytes.clear();
            write_group(&rest[..mine], &mut bytes);
            builder.append_value(&bytes);
            rest = &rest[mine..];
        }
        let mut states = builder.finish();
        // A pane is kept as long as its window: the builder's spare capacity would be kept with it.
        states.shrink_to_fit();
        vec![Arc::new(states)]
    }

    fn answers(&mut self, emit_to: EmitTo, window: Window<'_>) -> Result<ArrayRef> {
        let (samples, parts, groups) = self.take(emit_to);
        let parts = Self::in_order(samples, parts, true);
        let mut answers = vec![None; groups];
        let mut series = Vec::new();
        for mine in parts.chunk_by(|a, b| a.group == b.group) {
            series.clear();
            series.extend(mine.iter().map(|placed| (placed.key, placed.part.clone())));
            answers[mine[0].group as usize] = self.question.answer(&series, window)?.and_then(no_nan::number);
        }
        Ok(Arc::new(Float64Array::from(answers)))
    }
}

/// Parts in order, those of one series joined.
fn joined<P: SeriesPart>(parts: impl Iterator<Item = Placed<P>>) -> Vec<Placed<P>> {
    let mut all: Vec<Placed<P>> = Vec::new();
    let mut pending: Option<Placed<P>> = None;
    let mut push = |part: Placed<P>| match all.last_mut() {
        Some(last) if last.is_beside(&part) => last.part.join(&part.part),
        _ => all.push(part),
    };
    for next in parts {
        if let Some(before) = pending.take()
            && !(before.is_beside(&next) && before.part.is_replaced_by(&next.part))
        {
            push(before);
        }
        pending = Some(next);
    }
    pending.into_iter().for_each(push);
    all
}

const FLAG_DELTA: u8 = 1;
const FLAG_BOUND: u8 = 2;

/// Writes the parts of one group: for each series its key, the number of its parts, and the parts.
fn write_group<P: SeriesPart>(parts: &[Placed<P>], bytes: &mut Vec<u8>) {
    for series in parts.chunk_by(Placed::is_beside) {
        let key = series[0].key;
        let bound = if key.bound == 0 { 0 } else { FLAG_BOUND };
        bytes.push(bound | if key.delta { FLAG_DELTA } else { 0 });
        bytes.extend(key.series.to_le_bytes());
        if key.bound != 0 {
            write_float(key.bound(), bytes);
        }
        write_varint(series.len() as u64, bytes);
        let mut before = 0;
        series.iter().for_each(|placed| placed.part.write(&mut before, bytes));
    }
}

/// Reads what [`write_group`] wrote.
fn read_group<P: SeriesPart>(bytes: &[u8], group: u32, parts: &mut Vec<Placed<P>>) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let flags = reader.byte()?;
        let series = u64::from_le_bytes(reader.eight()?);
        let bound = if flags & FLAG_BOUND == 0 { 0 } else { ordered(reader.float()?.to_bits() as i64) };
        let key = SeriesKey { bound, series, delta: flags & FLAG_DELTA != 0 };
        let mut before = 0;
        for _ in 0..reader.varint()? {
            parts.push(Placed { group, key, part: P::read(&key, &mut before, &mut reader)? });
        }
    }
    Some(())
}

/// The arguments of a call, as columns.
struct Rows<'a> {
    values: &'a Float64Array,
    bounds: Option<&'a StringViewArray>,
    series: &'a StringViewArray,
    temporality: &'a StringViewArray,
    times: &'a arrow::array::TimestampMillisecondArray,
}

impl<'a> Rows<'a> {
    fn new(arguments: &'a [ArrayRef], has_bounds: bool) -> Result<Self> {
        let text = |at: usize| arguments.get(at).and_then(|column| column.as_string_view_opt());
        let hidden = arguments.len().saturating_sub(HIDDEN.len());
        let value = if has_bounds { 2 } else { 0 };
        let columns = (
            arguments.get(value).and_then(|column| column.as_primitive_opt::<Float64Type>()),
            text(hidden),
            text(hidden + 1),
            arguments.last().and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>()),
        );
        let (Some(values), Some(series), Some(temporality), Some(times)) = columns else {
            return exec_err!("a function over series was given columns of other types");
        };
        Ok(Self { values, bounds: if has_bounds { text(1) } else { None }, series, temporality, times })
    }

    /// The sample of a row; `None` where it has no value, or a histogram's row no bound.
    fn sample(&self, row: usize, group: usize) -> Option<Sample> {
        let bound = match self.bounds {
            None => 0,
            Some(bounds) if bounds.is_valid(row) => bound_of(bounds.value(row))?,
            Some(_) => return None,
        };
        if !self.values.is_valid(row) {
            return None;
        }
        let series = if self.series.is_valid(row) { number_of(self.series.value(row)) } else { 0 };
        let delta = self.temporality.is_valid(row) && self.temporality.value(row) == DELTA;
        let key = SeriesKey { bound, series, delta };
        Some(Sample { group: group as u32, key, ts: self.times.value(row), value: self.values.value(row) })
    }
}

fn bound_of(text: &str) -> Option<i64> {
    let bound: f64 = text.parse().ok()?;
    no_nan::number(bound).map(|bound| ordered(bound.to_bits() as i64))
}

/// The identity of a series as a number: the 64 bits that the decoder writes as eleven digits, or the hash of what another sender calls it.
fn number_of(series: &str) -> u64 {
    let digits = series
        .bytes()
        .enumerate()
        .try_fold(0_u64, |number, (at, byte)| Some(number | digit(byte)?.checked_mul(1_u64.checked_shl(6 * at as u32)?)?));
    match digits {
        Some(number) if series.len() == 11 => number,
        _ => stable_hash([series]),
    }
}

fn digit(byte: u8) -> Option<u64> {
    Some(u64::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

impl<Q: Question> GroupsAccumulator for SeriesAccumulator<Q> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.groups = total;
        self.append(values, |row| groups[row], filter)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups = total;
        self.merge(states, |row| groups[row])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.answers(emit_to, None)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.encoded(emit_to, false))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self { groups: values[0].len(), ..Self::new(self.question) };
        one_each.append(values, |row| row, filter)?;
        Ok(one_each.encoded(EmitTo::All, false))
    }

    fn size(&self) -> usize {
        self.samples.capacity() * size_of::<Sample>() + self.parts.capacity() * size_of::<Placed<Q::Part>>()
    }
}

impl<Q: Question> OverWindow for SeriesAccumulator<Q> {
    fn sealed_state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(self.encoded(EmitTo::All, true))
    }

    fn evaluate_over(&mut self, window: &Range<TimestampMs>) -> Result<ArrayRef> {
        self.answers(EmitTo::All, Some(window))
    }
}

/// The ungrouped accumulator.
#[derive(Debug)]
pub struct OneGroup<Q: Question>(pub SeriesAccumulator<Q>);

impl<Q: Question> Accumulator for OneGroup<Q> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.append(values, |_| 0, None)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut copy = SeriesAccumulator { groups: 1, ..self.0.clone() };
        ScalarValue::try_from_array(&copy.answers(EmitTo::All, None)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.groups = 1;
        self.0.encoded(EmitTo::All, false).iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge(states, |_| 0)
    }
}
