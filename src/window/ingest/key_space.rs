//! Interns the keys of a GROUP BY list to small dense ids, once for all rules that group a stream alike.
//!
//! A key is kept as sortable bytes in one arena, so that keys compare and hash as bytes and results come in the order of keys,
//! whatever the order of arrival. Keys of text columns, nearly all there are, are written and read here; others take arrow's
//! row format.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;

use crate::model::limits::KEYS_PER_SPACE_MAX;
use crate::model::snapshot::{Piece, Whereabouts};
use crate::window::snapshot::pieces::SavedKeys;

/// The id of a key within its space.
pub type GroupId = u32;
/// Stands for a row whose key found no room.
pub const NO_GROUP: GroupId = GroupId::MAX;

/// Ends a text within a key; a zero byte of the text itself is followed by [`ESCAPE`].
const END: u8 = 0;
const ESCAPE: u8 = 0xFF;
const NULL: u8 = 0;
const TEXT: u8 = 1;
/// Buffers that the texts of the key columns may be spread over before they are written anew.
const TEXT_BUFFERS_MAX: usize = 64;
/// Keys that are saved together.
const KEYS_PER_PIECE: usize = 1 << 16;

/// A growing set of keys.
#[derive(Debug)]
pub struct KeySpace {
    form: Form,
    index: HashTable<GroupId>,
    hasher: RandomState,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The first keys as columns, for results: brought up to date when it is asked for.
    columns: Vec<ArrayRef>,
    scratch: Vec<u8>,
    /// Where each full piece of keys was written.
    written: Vec<Whereabouts>,
}

#[derive(Debug)]
enum Form {
    /// No GROUP BY list: the only key has id 0.
    One,
    /// Text columns only.
    Texts(usize),
    /// Columns of any type.
    Rows(RowConverter),
}

impl KeySpace {
    /// A space for keys of these columns.
    pub fn new(fields: &[Field]) -> Result<Self, ArrowError> {
        let form = match fields {
            [] => Form::One,
            all if all.iter().all(|field| *field.data_type() == DataType::Utf8View) => Form::Texts(all.len()),
            all => Form::Rows(RowConverter::new(all.iter().map(|field| SortField::new(field.data_type().clone())).collect())?),
        };
        Ok(Self {
            form,
            index: HashTable::new(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            bytes: Vec::new(),
            ends: Vec::new(),
            columns: Vec::new(),
            scratch: Vec::new(),
            written: Vec::new(),
        })
    }

    /// The keys interned so far.
    pub fn len(&self) -> usize {
        if matches!(self.form, Form::One) { 1 } else { self.ends.len() }
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

    /// Appends the id of each of `rows` keys to `ids`. Returns how many rows found no room: their id is [`NO_GROUP`].
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<GroupId>) -> Result<usize, ArrowError> {
        ids.reserve(rows);
        let mut refused = 0;
        match &self.form {
            Form::One => ids.extend(std::iter::repeat_n(0, rows)),
            Form::Texts(_) => {
                let texts: Vec<&StringViewArray> = columns.iter().map(|column| column.as_string_view()).collect();
                let mut key = std::mem::take(&mut self.scratch);
                for row in 0..rows {
                    key.clear();
                    texts.iter().for_each(|column| write_text(&mut key, column, row));
                    let id = self.find_or_add(&key);
                    refused += usize::from(id == NO_GROUP);
                    ids.push(id);
                }
                self.scratch = key;
            }
            Form::Rows(converter) => {
                for key in converter.convert_columns(columns)?.iter() {
                    let id = self.find_or_add(key.as_ref());
                    refused += usize::from(id == NO_GROUP);
                    ids.push(id);
                }
            }
        }
        Ok(refused)
    }

    fn find_or_add(&mut self, key: &[u8]) -> GroupId {
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
        if matches!(self.form, Form::One) { &[] } else { slice(&self.bytes, &self.ends, id) }
    }

    /// The keys of `ids` as columns.
    pub fn columns(&mut self, ids: &[GroupId]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.bring_columns_up_to_date()?;
        let ids = UInt32Array::from(ids.to_vec());
        self.columns.iter().map(|column| take(column, &ids, None)).collect()
    }

    fn bring_columns_up_to_date(&mut self) -> Result<(), ArrowError> {
        let done = self.columns.first().map_or(0, |column| column.len());
        if done == self.ends.len() {
            return Ok(());
        }
        let spread =
            |column: &ArrayRef| column.as_string_view_opt().is_some_and(|texts| texts.data_buffers().len() > TEXT_BUFFERS_MAX);
        let from = if self.columns.iter().any(spread) { 0 } else { done };
        let new = self.read_from(from)?;
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
    fn read_from(&self, from: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        let keys = (from..self.ends.len()).map(|id| self.key(id as GroupId));
        match &self.form {
            Form::One => Ok(Vec::new()),
            Form::Texts(columns) => {
                let mut builders: Vec<StringViewBuilder> = (0..*columns).map(|_| StringViewBuilder::new()).collect();
                for mut key in keys {
                    builders.iter_mut().for_each(|builder| key = read_text(key, builder));
                }
                Ok(builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect())
            }
            Form::Rows(converter) => {
                let parser = converter.parser();
                converter.convert_rows(keys.map(|key| parser.parse(key)))
            }
        }
    }

    /// Forgets all keys but those in `alive`, which must be sorted and hold no id twice. Returns the new id of each old one.
    pub fn retain(&mut self, alive: &[GroupId]) -> Vec<GroupId> {
        if matches!(self.form, Form::One) {
            return vec![0];
        }
        let mut renamed = vec![NO_GROUP; self.len()];
        let (old_bytes, old_ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        self.index = HashTable::new();
        self.columns = Vec::new();
        self.written = Vec::new();
        for id in alive {
            renamed[*id as usize] = self.find_or_add(slice(&old_bytes, &old_ends, *id));
        }
        renamed
    }

    /// Forgets all keys. Returns them as one text of bytes, and the end of each: what [`Self::adopt`] takes.
    pub fn take(&mut self) -> (Vec<u8>, Vec<usize>) {
        self.index.clear();
        self.columns.clear();
        self.written.clear();
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends))
    }

    /// The ids here of keys that another space of the same columns had: of each of its ids, in order.
    pub fn adopt(&mut self, bytes: &[u8], ends: &[usize]) -> Vec<GroupId> {
        if matches!(self.form, Form::One) {
            return vec![0];
        }
        let mut start = 0;
        let mut ids = Vec::with_capacity(ends.len());
        for end in ends {
            ids.push(self.find_or_add(&bytes[start..*end]));
            start = *end;
        }
        ids
    }

    /// The keys, in order of their ids. A full piece lasts: keys are only added, until [`Self::retain`] begins anew.
    pub fn save(&mut self) -> Vec<Piece> {
        let Self { bytes, ends, written, .. } = self;
        written.resize_with(ends.len() / KEYS_PER_PIECE, Whereabouts::default);
        let mut begin = 0;
        let pieces = ends.chunks(KEYS_PER_PIECE).enumerate().map(|(nth, ends)| {
            let end = ends.last().copied().unwrap_or(begin);
            let (from, mine) = (begin, &bytes[begin..end]);
            begin = end;
            let content = || SavedKeys::new(mine, from, ends);
            match written.get(nth) {
                Some(whereabouts) => Piece::lasting(whereabouts, content),
                None => Piece::passing(content()),
            }
        });
        pieces.collect()
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
    fn keys_come_back_and_never_run_into_each_other() {
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
    fn forgetting_renames() {
        let mut space = space(1);
        let mut ids = Vec::new();
        space.intern(&[texts(&[Some("a"), Some("b"), Some("c")])], 3, &mut ids).unwrap();
        assert_eq!(space.columns(&[2]).unwrap()[0].as_ref(), texts(&[Some("c")]).as_ref());
        assert_eq!(space.retain(&[0, 2]), [0, NO_GROUP, 1]);
        assert_eq!(space.columns(&[1, 0]).unwrap()[0].as_ref(), texts(&[Some("c"), Some("a")]).as_ref());
    }
}
