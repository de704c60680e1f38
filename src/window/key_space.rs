//! Interns the keys of a GROUP BY list to small dense ids, once for all panes of a table.
//!
//! Keys are kept as their sortable bytes (arrow's row format), appended to one arena: they compare and hash as bytes, come back
//! as columns, and sort, which makes the order of results independent of the order of arrival.

use ahash::RandomState;
use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;

use crate::words::limits::GROUPS_PER_TABLE_MAX;

/// The id of a key within its space.
pub type GroupId = u32;
/// Stands for a row whose key found no room.
pub const NO_GROUP: GroupId = GroupId::MAX;

/// A growing set of keys.
#[derive(Debug)]
pub struct KeySpace {
    /// `None` for an empty GROUP BY list: then the only key has id 0.
    converter: Option<RowConverter>,
    index: HashTable<GroupId>,
    hasher: RandomState,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeySpace {
    /// A space for keys of these columns.
    pub fn new(fields: &[Field]) -> Result<Self, ArrowError> {
        let converter = if fields.is_empty() {
            None
        } else {
            Some(RowConverter::new(fields.iter().map(|field| SortField::new(field.data_type().clone())).collect())?)
        };
        Ok(Self { converter, index: HashTable::new(), hasher: RandomState::new(), bytes: Vec::new(), ends: Vec::new() })
    }

    /// The keys interned so far.
    pub fn len(&self) -> usize {
        if self.converter.is_some() { self.ends.len() } else { 1 }
    }

    /// Whether no key was interned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.index.capacity() * size_of::<GroupId>()
    }

    /// Writes the id of each of `rows` keys to `ids`. Returns how many rows found no room: their id is [`NO_GROUP`].
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<GroupId>) -> Result<usize, ArrowError> {
        ids.clear();
        let Some(converter) = &self.converter else {
            ids.resize(rows, 0);
            return Ok(0);
        };
        let keys = converter.convert_columns(columns)?;
        let mut refused = 0;
        for key in keys.iter() {
            let id = Self::find_or_add(&mut self.index, &self.hasher, &mut self.bytes, &mut self.ends, key.as_ref());
            refused += usize::from(id == NO_GROUP);
            ids.push(id);
        }
        Ok(refused)
    }

    fn find_or_add(
        index: &mut HashTable<GroupId>,
        hasher: &RandomState,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<usize>,
        key: &[u8],
    ) -> GroupId {
        let hash = hasher.hash_one(key);
        if let Some(id) = index.find(hash, |id| slice(bytes, ends, *id) == key) {
            return *id;
        }
        if ends.len() >= GROUPS_PER_TABLE_MAX {
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
        if self.converter.is_some() { slice(&self.bytes, &self.ends, id) } else { &[] }
    }

    /// The keys of `ids` as columns.
    pub fn columns(&self, ids: &[GroupId]) -> Result<Vec<ArrayRef>, ArrowError> {
        match &self.converter {
            Some(converter) => {
                let parser = converter.parser();
                converter.convert_rows(ids.iter().map(|id| parser.parse(self.key(*id))))
            }
            None => Ok(Vec::new()),
        }
    }

    /// Forgets all keys but those in `alive`, which must be sorted and hold no id twice. Returns the new id of each old one.
    pub fn retain(&mut self, alive: &[GroupId]) -> Vec<GroupId> {
        let mut renamed = vec![NO_GROUP; self.len()];
        if self.converter.is_none() {
            return vec![0];
        }
        let (old_bytes, old_ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        self.index = HashTable::new();
        for id in alive {
            let key = slice(&old_bytes, &old_ends, *id);
            renamed[*id as usize] = Self::find_or_add(&mut self.index, &self.hasher, &mut self.bytes, &mut self.ends, key);
        }
        renamed
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], id: GroupId) -> &'a [u8] {
    let at = id as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start..ends[at]]
}
