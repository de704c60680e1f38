//! Interns the keys of a GROUP BY list to small dense ids, once for all rules that group a stream alike.
//!
//! Keys are sortable bytes in one arena: they compare and hash as bytes, and results come in the order of keys, whatever the order of
//! arrival. Keys of text columns (nearly all) are encoded and decoded here, others in Arrow's row format. Ids are never reused: keys
//! that no pane holds any more are dropped by [`KeySpace::retain`], which renumbers the rest.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;

use crate::model::limits::KEYS_PER_SPACE_MAX;
use crate::model::snapshot::versioned::RestoreError;
use crate::model::snapshot::{Chunk, LocationSlot};
use crate::window::ingest::group_id::{GroupId, NO_GROUP};
use crate::window::ingest::key_chunk::KeyChunk;

/// Ends a text within a key. A zero byte of the text itself is followed by [`ESCAPE`].
const END: u8 = 0;
const ESCAPE: u8 = 0xFF;
const NULL: u8 = 0;
const TEXT: u8 = 1;
/// Text buffers that a key column may refer to before it is rebuilt from the keys.
const TEXT_BUFFERS_MAX: usize = 64;
const KEYS_PER_CHUNK: usize = 1 << 16;

/// A growing set of keys.
#[derive(Debug)]
pub struct KeySpace {
    format: KeyFormat,
    index: HashTable<GroupId>,
    hasher: RandomState,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The keys as columns, for results. Keys that were interned since the last result are missing.
    columns: Vec<ArrayRef>,
    scratch: Vec<u8>,
    /// One for each full chunk of keys.
    slots: Vec<LocationSlot>,
}

#[derive(Debug)]
enum KeyFormat {
    /// No GROUP BY list: the only key has id 0.
    Ungrouped,
    /// Text columns only.
    Texts(usize),
    /// Columns of any type.
    Rows(RowConverter),
}

impl KeySpace {
    /// A space for keys of these columns.
    pub fn new(fields: &[Field]) -> Result<Self, ArrowError> {
        let format = match fields {
            [] => KeyFormat::Ungrouped,
            all if all.iter().all(|field| *field.data_type() == DataType::Utf8View) => KeyFormat::Texts(all.len()),
            all => {
                KeyFormat::Rows(RowConverter::new(all.iter().map(|field| SortField::new(field.data_type().clone())).collect())?)
            }
        };
        Ok(Self {
            format,
            index: HashTable::new(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            bytes: Vec::new(),
            ends: Vec::new(),
            columns: Vec::new(),
            scratch: Vec::new(),
            slots: Vec::new(),
        })
    }

    /// The keys interned so far.
    pub fn len(&self) -> usize {
        if matches!(self.format, KeyFormat::Ungrouped) { 1 } else { self.ends.len() }
    }

    /// Whether no key was interned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| column.get_array_memory_size()).sum();
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.index.capacity() * size_of::<GroupId>() + columns
    }

    /// Appends the id of each of `rows` keys to `ids`. Returns how many rows found no room in the space: their id is [`NO_GROUP`].
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<GroupId>) -> Result<usize, ArrowError> {
        ids.reserve(rows);
        let mut overflow = 0;
        match &self.format {
            KeyFormat::Ungrouped => ids.extend(std::iter::repeat_n(0, rows)),
            KeyFormat::Texts(_) => {
                let texts: Vec<&StringViewArray> = columns.iter().map(|column| column.as_string_view()).collect();
                let mut key = std::mem::take(&mut self.scratch);
                for row in 0..rows {
                    key.clear();
                    texts.iter().for_each(|column| write_text(&mut key, column, row));
                    let id = self.intern_key(&key);
                    overflow += usize::from(id == NO_GROUP);
                    ids.push(id);
                }
                self.scratch = key;
            }
            KeyFormat::Rows(converter) => {
                for key in converter.convert_columns(columns)?.iter() {
                    let id = self.intern_key(key.as_ref());
                    overflow += usize::from(id == NO_GROUP);
                    ids.push(id);
                }
            }
        }
        Ok(overflow)
    }

    fn intern_key(&mut self, key: &[u8]) -> GroupId {
        let Self { index, hasher, bytes, ends, .. } = self;
        let hash = hasher.hash_one(key);
        if let Some(id) = index.find(hash, |id| slice(bytes, ends, *id) == key) {
            return *id;
        }
        if ends.len() >= KEYS_PER_SPACE_MAX {
            return NO_GROUP;
        }
        let id = ends.len() as GroupId;
        bytes.extend_from_slice(key);
        ends.push(bytes.len());
        index.insert_unique(hash, id, |other| hasher.hash_one(slice(bytes, ends, *other)));
        id
    }

    /// The sortable bytes of a key.
    pub fn key(&self, id: GroupId) -> &[u8] {
        if matches!(self.format, KeyFormat::Ungrouped) { &[] } else { slice(&self.bytes, &self.ends, id) }
    }

    /// The keys of `ids` as columns.
    pub fn columns(&mut self, ids: &[GroupId]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.update_columns()?;
        let ids = UInt32Array::from(ids.to_vec());
        self.columns.iter().map(|column| take(column, &ids, None)).collect()
    }

    fn update_columns(&mut self) -> Result<(), ArrowError> {
        let done = self.columns.first().map_or(0, |column| column.len());
        if done == self.ends.len() {
            return Ok(());
        }
        let spread =
            |column: &ArrayRef| column.as_string_view_opt().is_some_and(|texts| texts.data_buffers().len() > TEXT_BUFFERS_MAX);
        let from = if self.columns.iter().any(spread) { 0 } else { done };
        let new = self.decode_from(from)?;
        if from == 0 {
            self.columns = new;
            return Ok(());
        }
        for (column, new) in self.columns.iter_mut().zip(new) {
            *column = concat(&[column.as_ref(), new.as_ref()])?;
        }
        Ok(())
    }

    /// The keys from an id on as columns.
    fn decode_from(&self, from: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        let keys = (from..self.ends.len()).map(|id| self.key(id as GroupId));
        match &self.format {
            KeyFormat::Ungrouped => Ok(Vec::new()),
            KeyFormat::Texts(columns) => {
                let mut builders: Vec<StringViewBuilder> = (0..*columns).map(|_| StringViewBuilder::new()).collect();
                for mut key in keys {
                    builders.iter_mut().for_each(|builder| key = read_text(key, builder));
                }
                Ok(builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect())
            }
            KeyFormat::Rows(converter) => {
                let parser = converter.parser();
                converter.convert_rows(keys.map(|key| parser.parse(key)))
            }
        }
    }

    /// Drops all keys but `live` (sorted, each id once). Returns the new id of each old one.
    pub fn retain(&mut self, live: &[GroupId]) -> Vec<GroupId> {
        if matches!(self.format, KeyFormat::Ungrouped) {
            return vec![0];
        }
        let mut new_ids = vec![NO_GROUP; self.len()];
        let (old_bytes, old_ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        self.index = HashTable::new();
        self.columns = Vec::new();
        self.slots = Vec::new();
        for id in live {
            new_ids[*id as usize] = self.intern_key(slice(&old_bytes, &old_ends, *id));
        }
        new_ids
    }

    /// Takes all keys out: their bytes, and where each ends. [`Self::intern_encoded`] of another space takes them in.
    pub fn take_encoded(&mut self) -> (Vec<u8>, Vec<usize>) {
        self.index.clear();
        self.columns.clear();
        self.slots.clear();
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends))
    }

    /// Interns keys that another space over the same columns encoded. Returns their ids here.
    pub fn intern_encoded(&mut self, bytes: &[u8], ends: &[usize]) -> Vec<GroupId> {
        if matches!(self.format, KeyFormat::Ungrouped) {
            return vec![0];
        }
        let mut start = 0;
        let mut ids = Vec::with_capacity(ends.len());
        for end in ends {
            ids.push(self.intern_key(&bytes[start..*end]));
            start = *end;
        }
        ids
    }

    /// The keys in order of their ids. Keys are only added until [`Self::retain`] renumbers them, so a full chunk is immutable.
    pub fn save(&mut self) -> Vec<Chunk> {
        let Self { bytes, ends, slots, .. } = self;
        slots.resize_with(ends.len() / KEYS_PER_CHUNK, LocationSlot::default);
        let mut next = 0;
        let chunks = ends.chunks(KEYS_PER_CHUNK).enumerate().map(|(nth, ends)| {
            let start = next;
            next = ends.last().copied().unwrap_or(start);
            let content = || KeyChunk::new(&bytes[start..next], start, ends);
            match slots.get(nth) {
                Some(slot) => Chunk::immutable(slot, content),
                None => Chunk::transient(content()),
            }
        });
        chunks.collect()
    }

    /// Adds the keys of a chunk that [`Self::save`] made.
    pub fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let keys = KeyChunk::decode(chunk)?;
        self.intern_encoded(&keys.bytes.0, &keys.ends);
        Ok(())
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], id: GroupId) -> &'a [u8] {
    let at = id as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start..ends[at]]
}

fn write_text(key: &mut Vec<u8>, column: &StringViewArray, row: usize) {
    if column.is_null(row) {
        key.push(NULL);
        return;
    }
    key.push(TEXT);
    let text = column.value(row).as_bytes();
    if text.contains(&END) {
        text.iter()
            .for_each(|byte| key.extend_from_slice(if *byte == END { &[END, ESCAPE] } else { std::slice::from_ref(byte) }));
    } else {
        key.extend_from_slice(text);
    }
    key.push(END);
}

/// Reads one column's text of a key. Returns the rest of the key.
fn read_text<'k>(key: &'k [u8], builder: &mut StringViewBuilder) -> &'k [u8] {
    let [tag, rest @ ..] = key else {
        builder.append_null();
        return key;
    };
    if *tag == NULL {
        builder.append_null();
        return rest;
    }
    let mut from = 0;
    let mut escaped = false;
    let end = loop {
        let Some(at) = rest[from..].iter().position(|byte| *byte == END).map(|at| from + at) else { break rest.len() };
        if rest.get(at + 1) != Some(&ESCAPE) {
            break at;
        }
        escaped = true;
        from = at + 2;
    };
    let text = String::from_utf8_lossy(&rest[..end]);
    if escaped {
        let bytes: Vec<u8> = unescape(&rest[..end]);
        builder.append_value(String::from_utf8_lossy(&bytes));
    } else {
        builder.append_value(text);
    }
    rest.get(end + 1..).unwrap_or_default()
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if *byte == END {
            bytes.next();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[Option<&str>]) -> ArrayRef {
        Arc::new(rows.iter().copied().collect::<StringViewArray>())
    }

    fn space(columns: usize) -> KeySpace {
        let fields: Vec<Field> = (0..columns).map(|i| Field::new(format!("c{i}"), DataType::Utf8View, true)).collect();
        KeySpace::new(&fields).unwrap()
    }

    #[test]
    fn keys_round_trip_and_never_collide() {
        let mut space = space(2);
        let a = texts(&[Some("a"), Some("a\0b"), Some("a"), None, Some(""), Some("a"), Some("a much longer text than inline")]);
        let b = texts(&[Some("bc"), Some("c"), Some("\0bc"), Some("x"), None, Some("bc"), Some("ü")]);
        let mut ids = Vec::new();
        assert_eq!(space.intern(&[Arc::clone(&a), Arc::clone(&b)], 7, &mut ids).unwrap(), 0);
        assert_eq!(ids, [0, 1, 2, 3, 4, 0, 5]);
        let back = space.columns(&ids).unwrap();
        assert_eq!((&back[0], &back[1]), (&a, &b));
        let sorted = |x: GroupId, y: GroupId| space.key(x) < space.key(y);
        assert!(sorted(3, 4), "null comes first");
        assert!(sorted(4, 0) && sorted(2, 0), "texts sort as texts");
    }

    #[test]
    fn retaining_keys_renumbers_them() {
        let mut space = space(1);
        let mut ids = Vec::new();
        space.intern(&[texts(&[Some("a"), Some("b"), Some("c")])], 3, &mut ids).unwrap();
        assert_eq!(space.columns(&[2]).unwrap()[0].as_ref(), texts(&[Some("c")]).as_ref());
        assert_eq!(space.retain(&[0, 2]), [0, NO_GROUP, 1]);
        assert_eq!(space.columns(&[1, 0]).unwrap()[0].as_ref(), texts(&[Some("c"), Some("a")]).as_ref());
    }
}
