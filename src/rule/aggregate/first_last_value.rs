//! `first_value` and `last_value` with ORDER BY one time or number: what stands at the least or greatest place, and that place,
//! a group.
//!
//! DataFusion's grouped form looks at all groups at every batch and keeps the place as a list of its variants, 138 bytes a
//! group. Of rows at the same place the least counts as first and the greatest as last, so that the order in which they came
//! leaves no trace; DataFusion's takes whichever came first.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringViewArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// What is kept of a group's rows.
pub trait Kept: Send + 'static {
    /// One of it.
    type Item: Clone + Send;

    /// Reads row after row; `None` for null. The column is none of this kind: an error.
    fn read(column: &ArrayRef) -> Result<impl Fn(usize) -> Option<Self::Item>>;

    /// The column of these, with no room to spare: a pane is kept for as long as the window is.
    fn column(items: impl Iterator<Item = Option<Self::Item>>) -> ArrayRef;

    /// Which of two is less.
    fn compare(a: &Self::Item, b: &Self::Item) -> Ordering;

    /// Bytes that an item holds on the heap.
    fn heap_bytes(item: &Self::Item) -> usize;
}

/// Float64.
pub struct Number;

impl Kept for Number {
    type Item = f64;

    fn read(column: &ArrayRef) -> Result<impl Fn(usize) -> Option<f64>> {
        let Some(numbers) = column.as_primitive_opt::<Float64Type>() else { return wrong(column) };
        Ok(|row| numbers.is_valid(row).then(|| numbers.value(row)))
    }

    fn column(items: impl Iterator<Item = Option<f64>>) -> ArrayRef {
        let mut column: Float64Array = items.collect();
        column.shrink_to_fit();
        Arc::new(column)
    }

    fn compare(a: &f64, b: &f64) -> Ordering {
        a.total_cmp(b)
    }

    fn heap_bytes(_item: &f64) -> usize {
        0
    }
}

/// Utf8View.
pub struct Text;

impl Kept for Text {
    type Item = Box<str>;

    fn read(column: &ArrayRef) -> Result<impl Fn(usize) -> Option<Box<str>>> {
        let Some(texts) = column.as_string_view_opt() else { return wrong(column) };
        Ok(|row| texts.is_valid(row).then(|| texts.value(row).into()))
    }

    fn column(items: impl Iterator<Item = Option<Box<str>>>) -> ArrayRef {
        let mut column: StringViewArray = items.collect();
        column.shrink_to_fit();
        Arc::new(column)
    }

    fn compare(a: &Box<str>, b: &Box<str>) -> Ordering {
        a.cmp(b)
    }

    fn heap_bytes(item: &Box<str>) -> usize {
        item.len()
    }
}

fn wrong<T>(column: &ArrayRef) -> Result<T> {
    exec_err!("a column of {} is not what first_value or last_value was made for", column.data_type())
}

/// Whether rows can be [placed](places) by a column of this type.
pub fn can_place(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Float64 | DataType::Int64)
}

/// Each row's place in the order, as a number that grows with it.
fn places(column: &ArrayRef, options: SortOptions) -> Result<Vec<i64>> {
    let null = if options.nulls_first { i64::MIN } else { i64::MAX };
    let turn = |place: i64| if options.descending { !place } else { place };
    let rows = 0..column.len();
    let place = |row: usize, place: i64| if column.is_null(row) { null } else { turn(place) };
    if let Some(times) = column.as_primitive_opt::<TimestampMillisecondType>() {
        return Ok(rows.map(|row| place(row, times.value(row))).collect());
    }
    if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
        return Ok(rows.map(|row| place(row, numbers.value(row))).collect());
    }
    let Some(numbers) = column.as_primitive_opt::<Float64Type>() else { return wrong(column) };
    // IEEE 754's total order, as f64::total_cmp has it.
    let ordered = |bits: i64| bits ^ (((bits >> 63) as u64) >> 1) as i64;
    Ok(rows.map(|row| place(row, ordered(numbers.value(row).to_bits() as i64))).collect())
}

/// What stands first or last in each group.
pub struct Extreme<K: Kept> {
    last: bool,
    ignore_nulls: bool,
    options: SortOptions,
    /// The place, and what stands there; `None` where no row came yet.
    groups: Vec<Option<(i64, Option<K::Item>)>>,
}

impl<K: Kept> Extreme<K> {
    /// No groups yet; `last` of `last_value`, by `options` of its ORDER BY.
    pub fn new(last: bool, ignore_nulls: bool, options: SortOptions) -> Self {
        Self { last, ignore_nulls, options, groups: Vec::new() }
    }

    fn offer(&mut self, group: usize, place: i64, item: impl FnOnce() -> Option<K::Item>) {
        let order = self.groups[group].as_ref().map_or(Ordering::Greater, |(before, _)| self.turned(place.cmp(before)));
        if order.is_lt() {
            return;
        }
        let item = item();
        if item.is_none() && self.ignore_nulls {
            return;
        }
        if let (true, Some((_, known))) = (order.is_eq(), &self.groups[group]) {
            let order = match (&item, known) {
                (Some(item), Some(known)) => K::compare(item, known),
                (item, known) => item.is_some().cmp(&known.is_some()),
            };
            if self.turned(order).is_le() {
                return;
            }
        }
        self.groups[group] = Some((place, item));
    }

    /// Greater is what stands rather: for `first_value` the lesser.
    fn turned(&self, order: Ordering) -> Ordering {
        if self.last { order } else { order.reverse() }
    }
}

impl<K: Kept> GroupsAccumulator for Extreme<K> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.groups.resize(total, None);
        let (item, places) = (K::read(&values[0])?, places(&values[1], self.options)?);
        for (row, group) in groups.iter().enumerate() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                self.offer(*group, places[row], || item(row));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize(total, None);
        let item = K::read(&states[0])?;
        let Some(places) = states[1].as_primitive_opt::<Int64Type>() else { return wrong(&states[1]) };
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| places.is_valid(*row)) {
            self.offer(*group, places.value(row), || item(row));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(K::column(groups.into_iter().map(|group| group.and_then(|(_, item)| item))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let mut places: Int64Array = groups.iter().map(|group| group.as_ref().map(|(place, _)| *place)).collect();
        places.shrink_to_fit();
        Ok(vec![K::column(groups.into_iter().map(|group| group.and_then(|(_, item)| item))), Arc::new(places)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self::new(self.last, self.ignore_nulls, self.options);
        let groups: Vec<usize> = (0..values[0].len()).collect();
        one_each.update_batch(values, &groups, filter, groups.len())?;
        one_each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let heap = self.groups.iter().flatten().flat_map(|(_, item)| item.as_ref().map(K::heap_bytes)).sum::<usize>();
        self.groups.capacity() * size_of::<Option<(i64, Option<K::Item>)>>() + heap
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMillisecondArray;

    use super::*;

    #[test]
    fn places_are_ordered_as_rows_are() {
        let ordered = |column: ArrayRef, descending, nulls_first| {
            let places = places(&column, SortOptions { descending, nulls_first }).unwrap();
            let mut rows: Vec<usize> = (0..column.len()).collect();
            rows.sort_by_key(|row| places[*row]);
            rows
        };
        let numbers = || -> ArrayRef {
            Arc::new(Float64Array::from(vec![Some(-0.5), None, Some(f64::INFINITY), Some(-7.0), Some(0.0), Some(f64::NAN)]))
        };
        assert_eq!(ordered(numbers(), false, false), [3, 0, 4, 2, 5, 1]);
        assert_eq!(ordered(numbers(), true, false), [5, 2, 4, 0, 3, 1]);
        assert_eq!(ordered(numbers(), true, true), [1, 5, 2, 4, 0, 3]);
        let times = || -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![Some(5), None, Some(-5)])) };
        assert_eq!(ordered(times(), false, true), [1, 2, 0]);
        assert_eq!(ordered(times(), true, false), [0, 2, 1]);
    }

    #[test]
    fn nulls_count_unless_ignored() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), None]));
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![10, 10, 20]));
        let said = |ignore_nulls| {
            let mut last = Extreme::<Number>::new(true, ignore_nulls, SortOptions::default());
            last.update_batch(&[Arc::clone(&values), Arc::clone(&times)], &[0, 0, 0], None, 1).unwrap();
            last.evaluate(EmitTo::All).unwrap().as_primitive::<Float64Type>().iter().next().unwrap()
        };
        assert_eq!((said(false), said(true)), (None, Some(2.0)));
    }

    #[test]
    fn of_rows_at_one_place_the_order_of_arrival_leaves_no_trace() {
        let said = |values: [Option<f64>; 3], last, ignore_nulls| {
            let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
            let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![10; 3]));
            let mut extreme = Extreme::<Number>::new(last, ignore_nulls, SortOptions::default());
            extreme.update_batch(&[values, times], &[0; 3], None, 1).unwrap();
            extreme.evaluate(EmitTo::All).unwrap().as_primitive::<Float64Type>().iter().next().unwrap()
        };
        let (one, two) = (Some(1.0), Some(2.0));
        for values in [[one, None, two], [two, one, None], [None, two, one]] {
            assert_eq!((said(values, true, false), said(values, true, true)), (two, two));
            assert_eq!((said(values, false, false), said(values, false, true)), (None, one));
        }
    }

    #[test]
    fn a_wrong_state_is_an_error() {
        let wrong: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(
            Extreme::<Number>::new(true, false, SortOptions::default())
                .merge_batch(&[Arc::clone(&wrong), wrong], &[0], 1)
                .is_err()
        );
    }
}
