//! `count(DISTINCT text)` for all groups at once. A pane stores each text once, and a set of (group, text number) pairs.
//!
//! DataFusion has only an ungrouped accumulator, whose hash table takes 33 KB for each group, even for two texts.

use std::sync::Arc;

use ahash::{HashSet, RandomState};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int64Array, ListArray, StringArray, StringViewArray, UInt32Array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, UInt32Type};
use datafusion::common::cast::as_string_view_array;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashTable;

/// The distinct texts of all groups.
#[derive(Default)]
pub struct CountDistinctTexts {
    texts: TextInterner,
    /// The group in the high 32 bits, the number of the text in the low ones.
    seen: HashSet<u64>,
    counts: Vec<i64>,
}

impl CountDistinctTexts {
    fn insert(&mut self, group: usize, text: u32) {
        if self.seen.insert(((group as u64) << 32) | u64::from(text)) {
            self.counts[group] += 1;
        }
    }

    /// Removes and returns the sorted pairs of the emitted groups; the numbers of the other groups move down.
    fn take(&mut self, emit_to: EmitTo) -> Vec<u64> {
        let end = match emit_to {
            EmitTo::All => u64::MAX,
            EmitTo::First(groups) => (groups as u64) << 32,
        };
        let mut pairs: Vec<u64> = std::mem::take(&mut self.seen).into_iter().collect();
        pairs.sort_unstable();
        let kept = pairs.split_off(pairs.partition_point(|pair| *pair < end));
        self.seen = kept.into_iter().map(|pair| pair - end).collect();
        pairs
    }
}

fn texts_of(column: &ArrayRef) -> Result<StringViewArray> {
    Ok(as_string_view_array(&cast(column, &DataType::Utf8View)?)?.clone())
}

impl GroupsAccumulator for CountDistinctTexts {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.counts.resize(total, 0);
        let texts = texts_of(&values[0])?;
        for (row, group) in groups.iter().enumerate() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) && texts.is_valid(row) {
                let text = self.texts.intern(texts.value(row))?;
                self.insert(*group, text);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.counts.resize(total, 0);
        let parts = states[0].as_list_opt::<i32>().and_then(|lists| {
            let dictionary = lists.values().as_dictionary_opt::<UInt32Type>()?;
            Some((lists.value_offsets(), dictionary.keys().values(), dictionary.values().as_string_opt::<i32>()?))
        });
        let Some((offsets, keys, texts)) = parts else {
            return exec_err!("{} is not the state of a distinct count", states[0].data_type());
        };
        let numbers = texts.iter().map(|text| self.texts.intern(text.unwrap_or_default())).collect::<Result<Vec<u32>>>()?;
        for (group, ends) in groups.iter().zip(offsets.windows(2)) {
            for key in &keys[ends[0] as usize..ends[1] as usize] {
                self.insert(*group, numbers[*key as usize]);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.take(emit_to);
        Ok(Arc::new(Int64Array::from(emit_to.take_needed(&mut self.counts))))
    }

    /// A list of texts for each group, as keys of one dictionary.
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let keys: UInt32Array = self.take(emit_to).into_iter().map(|pair| pair as u32).collect();
        let counts = emit_to.take_needed(&mut self.counts);
        let texts = if self.counts.is_empty() { std::mem::take(&mut self.texts) } else { self.texts.clone() };
        let dictionary = DictionaryArray::try_new(keys, Arc::new(texts.into_array()?))?;
        let field = Arc::new(Field::new_list_field(dictionary.data_type().clone(), false));
        let offsets = OffsetBuffer::from_lengths(counts.into_iter().map(|count| count as usize));
        Ok(vec![Arc::new(ListArray::try_new(field, offsets, Arc::new(dictionary), None)?)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self::default();
        let groups: Vec<usize> = (0..values[0].len()).collect();
        one_each.update_batch(values, &groups, filter, groups.len())?;
        one_each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.texts.bytes() + self.seen.capacity() * (size_of::<u64>() + 1) + self.counts.capacity() * size_of::<i64>()
    }
}

/// Stores each text once and numbers them from 0.
#[derive(Clone, Default)]
struct TextInterner {
    arena: String,
    ends: Vec<i32>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl TextInterner {
    fn intern(&mut self, text: &str) -> Result<u32> {
        let (arena, ends, hasher) = (&self.arena, &self.ends, &self.hasher);
        let known = |number: u32| {
            let start = (number as usize).checked_sub(1).map_or(0, |before| ends[before] as usize);
            &arena[start..ends[number as usize] as usize]
        };
        let hash = hasher.hash_one(text);
        if let Some(number) = self.index.find(hash, |number| known(*number) == text) {
            return Ok(*number);
        }
        let number = self.ends.len() as u32;
        let Ok(end) = i32::try_from(self.arena.len() + text.len()) else {
            return exec_err!("the distinct texts of one pane take more than 2 GiB");
        };
        self.index.insert_unique(hash, number, |number| hasher.hash_one(known(*number)));
        self.arena.push_str(text);
        self.ends.push(end);
        Ok(number)
    }

    fn into_array(self) -> Result<StringArray, DataFusionError> {
        let offsets: Vec<i32> = std::iter::once(0).chain(self.ends).collect();
        let mut bytes = self.arena.into_bytes();
        bytes.shrink_to_fit();
        Ok(StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes), None)?)
    }

    fn bytes(&self) -> usize {
        self.arena.capacity() + self.ends.capacity() * size_of::<i32>() + self.index.capacity() * (size_of::<u32>() + 1)
    }
}
