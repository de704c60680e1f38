//! How checkpoints are laid out in storage: each has a head, and its lasting chunks lie in segments that several checkpoints share. The
//! idea is that of a log-structured store.
//!
//! New chunks go into the head, unless they are large together; then into segments, one for lasting chunks and one for those that
//! change each time. So a small state is one file, and a large state costs what changed. Segments that are mostly unused, or small and
//! many, are written again with the next checkpoint. Segments that neither the newest checkpoint nor the one before names are removed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::checksum;
use crate::model::snapshot::versioned::StateFormat;
use crate::model::snapshot::{Chunk, ChunkLocation, LoadedSnapshot, LocationSlot, StateSnapshot};

/// The format of the head.
const FORMAT: StateFormat = StateFormat { magic: *b"squelchS", version: 2 };
/// Pieces that are together as large as this get a segment.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// With more segments than this, the smaller half becomes one.
const SEGMENTS_MAX: usize = 32;
/// Stands for the head itself.
const OWN: u64 = 0;

/// A segment, as heads name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its number. None is used twice.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// The checksum of its bytes: a segment of another checkpoint is not taken for it.
    checksum: checksum::Digest,
}

/// The head of a checkpoint.
#[derive(Serialize, Deserialize)]
struct LayoutHead {
    segments: Vec<Segment>,
    /// Where each chunk lies.
    locations: Vec<ChunkLocation>,
    /// The chunks that lie in the head.
    own: Blob,
    /// The head of the state.
    head: Blob,
}

/// Writes a segment.
pub trait SegmentWriter {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the segment durable.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A checkpoint whose segments are written.
pub struct SegmentLayout {
    /// The head, which is left to be written.
    pub head: Vec<u8>,
    /// Bytes of the segments that were written for it.
    written: u64,
    /// The segments that it names.
    named: Vec<Segment>,
    /// Where all lasting chunks lie then.
    lasting: Vec<(LocationSlot, ChunkLocation)>,
}

impl SegmentLayout {
    /// How much it takes to write it.
    pub fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.written
    }

    /// How much a restart has to read.
    pub fn bytes_whole(&self) -> u64 {
        self.head.len() as u64 + self.named.iter().map(|segment| segment.bytes).sum::<u64>()
    }
}

/// The segments in storage.
#[derive(Debug)]
pub struct Segments {
    bytes_min: u64,
    next: u64,
    /// All that may be in storage.
    present: BTreeSet<u64>,
    /// Those named by the newest checkpoint, and by the one before.
    named: [BTreeMap<u64, Segment>; 2],
}

impl Segments {
    /// Begins with those that are `present`. The newest checkpoint and the one before use those `named`. New ones are numbered above
    /// `after`.
    pub fn new(bytes_min: u64, present: impl IntoIterator<Item = u64>, named: [Vec<Segment>; 2], after: u64) -> Self {
        let by_number = |segments: Vec<Segment>| segments.into_iter().map(|segment| (segment.number, segment)).collect();
        let named: [BTreeMap<u64, Segment>; 2] = named.map(by_number);
        let mut present: BTreeSet<u64> = present.into_iter().collect();
        present.extend(named.iter().flat_map(|named| named.keys()));
        let next = present.last().copied().unwrap_or(OWN).max(after) + 1;
        Self { bytes_min, next, present, named }
    }

    /// Writes the new chunks of a checkpoint into segments that `open` begins. Returns the head.
    ///
    /// # Errors
    ///
    /// A chunk cannot be written. The segments of [`Self::unnamed`] can be removed then.
    pub fn lay_out(
        &mut self,
        saved: &StateSnapshot,
        open: &mut dyn FnMut(u64) -> Result<Box<dyn SegmentWriter>>,
    ) -> Result<SegmentLayout> {
        let known = |chunk: &Chunk| chunk.location.or_else(|| chunk.slot.as_ref().and_then(LocationSlot::get));
        let mut locations: Vec<Option<ChunkLocation>> = saved.chunks.iter().map(known).collect();
        let mut own = Vec::new();
        let mut written = Vec::new();
        // Pieces that change each time do not lie beside lasting ones: they are unused after the next checkpoint.
        for lasts in [true, false] {
            let fresh = |at: &usize| locations[*at].is_none() && saved.chunks[*at].slot.is_some() == lasts;
            let fresh: Vec<usize> = (0..locations.len()).filter(fresh).collect();
            let size: usize =
                fresh.iter().filter_map(|at| saved.chunks[*at].content.as_ref()).map(|content| content.size_hint()).sum();
            if size as u64 >= self.bytes_min && !fresh.is_empty() {
                written.push(self.write(saved, &fresh, &mut locations, open)?);
            } else {
                for at in fresh {
                    let bytes = bytes_of(&saved.chunks[at])?;
                    locations[at] = Some(ChunkLocation { segment: OWN, offset: own.len() as u64, length: bytes.len() as u64 });
                    own.extend_from_slice(&bytes);
                }
            }
        }
        let locations: Vec<ChunkLocation> = locations.into_iter().flatten().collect();
        let used: BTreeSet<u64> = locations.iter().map(|location| location.segment).filter(|number| *number != OWN).collect();
        let known = |number: &u64| {
            let known = self.named.iter().find_map(|named| named.get(number));
            let known = known.or_else(|| written.iter().find(|segment| segment.number == *number));
            known.copied().context("a chunk lies in a segment that is not there")
        };
        let named: Vec<Segment> = used.iter().map(known).collect::<Result<_>>()?;
        let last = |(chunk, location): (&Chunk, &ChunkLocation)| {
            Some((chunk.slot.clone()?, *location)).filter(|(_, location)| location.segment != OWN)
        };
        let lasting = saved.chunks.iter().zip(&locations).filter_map(last).collect();
        let head = LayoutHead { segments: named.clone(), locations, own: Blob(own), head: Blob(saved.head.clone()) };
        let head = FORMAT.encode(&head)?;
        Ok(SegmentLayout { head, written: written.iter().map(|segment| segment.bytes).sum(), named, lasting })
    }

    fn write(
        &mut self,
        saved: &StateSnapshot,
        fresh: &[usize],
        locations: &mut [Option<ChunkLocation>],
        open: &mut dyn FnMut(u64) -> Result<Box<dyn SegmentWriter>>,
    ) -> Result<Segment> {
        let number = self.next;
        self.next += 1;
        self.present.insert(number);
        let mut out = open(number)?;
        let (mut digest, mut offset) = (checksum::DigestWriter::default(), 0);
        for at in fresh {
            let bytes = bytes_of(&saved.chunks[*at])?;
            out.append(&bytes)?;
            digest.update(&bytes);
            locations[*at] = Some(ChunkLocation { segment: number, offset, length: bytes.len() as u64 });
            offset += bytes.len() as u64;
        }
        out.finish()?;
        Ok(Segment { number, bytes: offset, checksum: digest.finish() })
    }

    /// The checkpoint is stored. Its chunks are not written again, except those in segments that are mostly unused, or small and many.
    pub fn stored(&mut self, layout: SegmentLayout) {
        let SegmentLayout { named, lasting, .. } = layout;
        let named: BTreeMap<u64, Segment> = named.into_iter().map(|segment| (segment.number, segment)).collect();
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, location) in &lasting {
            *live.entry(location.segment).or_default() += location.length;
        }
        let mut again: BTreeSet<u64> = BTreeSet::new();
        again.extend(
            live.iter().filter(|(number, live)| **live * 2 < named.get(number).map_or(0, |of| of.bytes)).map(|(n, _)| *n),
        );
        if live.len() - again.len() > SEGMENTS_MAX {
            let mut by_size: Vec<(u64, u64)> = live.iter().map(|(number, bytes)| (*bytes, *number)).collect();
            by_size.sort_unstable();
            again.extend(by_size.iter().take(SEGMENTS_MAX / 2).map(|(_, number)| *number));
        }
        for (slot, location) in lasting {
            slot.set(Some(location).filter(|location| !again.contains(&location.segment)));
        }
        let before = std::mem::replace(&mut self.named[0], named);
        self.named[1] = before;
    }

    /// The segments that neither the newest checkpoint nor the one before uses.
    pub fn unnamed(&self) -> Vec<u64> {
        let unnamed = |number: &&u64| !self.named.iter().any(|named| named.contains_key(number));
        self.present.iter().filter(unnamed).copied().collect()
    }

    /// A segment was removed.
    pub fn removed(&mut self, number: u64) {
        self.present.remove(&number);
    }
}

fn bytes_of(chunk: &Chunk) -> Result<Bytes> {
    let content = chunk.content.as_ref().ok_or_else(|| anyhow!("a chunk of the checkpoint was never written"))?;
    content.encode().map_err(|error| anyhow!("a chunk of the checkpoint cannot be written: {error}"))
}

/// The segments that a head names.
///
/// # Errors
///
/// It is damaged or of another version.
pub fn named_by(head: &[u8]) -> Result<Vec<Segment>> {
    let head: LayoutHead = FORMAT.decode(head)?;
    Ok(head.segments)
}

/// The stored state, from its head and the content of its segments in the order of [`named_by`].
///
/// # Errors
///
/// Part of it is damaged.
pub fn put_together(head: &[u8], segments: Vec<Bytes>) -> Result<LoadedSnapshot> {
    let LayoutHead { segments: named, locations, own, head } = FORMAT.decode(head)?;
    let mut content = BTreeMap::from([(OWN, Bytes::from(own.0))]);
    for (segment, bytes) in named.iter().zip(segments) {
        if checksum::digest(&bytes) != segment.checksum {
            bail!("segment {} of the checkpoint is damaged: its checksum does not match", segment.number);
        }
        content.insert(segment.number, bytes);
    }
    let chunk = |location: &ChunkLocation| {
        let until = location.offset.checked_add(location.length)?;
        let bytes = content.get(&location.segment).filter(|bytes| until <= bytes.len() as u64)?;
        Some(bytes.slice(location.offset as usize..until as usize))
    };
    let chunks: Option<Vec<Bytes>> = locations.iter().map(chunk).collect();
    Ok(LoadedSnapshot { head: head.0, chunks: chunks.context("the checkpoint is damaged: a chunk lies outside of its segment")? })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::model::snapshot::ChunkContent;

    struct Text(String);

    impl ChunkContent for Text {
        fn size_hint(&self) -> usize {
            self.0.len()
        }

        fn encode(&self) -> Result<Bytes, String> {
            Ok(Bytes::from(self.0.clone()))
        }
    }

    /// Segments in memory.
    #[derive(Clone, Default)]
    struct Memory(Rc<RefCell<BTreeMap<u64, Vec<u8>>>>);

    struct Growing(Memory, u64);

    impl SegmentWriter for Growing {
        fn append(&mut self, bytes: &[u8]) -> Result<()> {
            self.0.0.borrow_mut().entry(self.1).or_default().extend_from_slice(bytes);
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    struct Storage {
        segments: Segments,
        memory: Memory,
        head: Vec<u8>,
    }

    impl Storage {
        fn new() -> Self {
            let segments = Segments::new(1, [], Default::default(), 0);
            Self { segments, memory: Memory::default(), head: Vec::new() }
        }

        /// Stores these chunks. Returns how much was written.
        fn store(&mut self, chunks: &[(String, LocationSlot)]) -> u64 {
            let chunk = |(text, place): &(String, LocationSlot)| Chunk::immutable(place, || Text(text.clone()));
            let saved = StateSnapshot { head: b"head".to_vec(), chunks: chunks.iter().map(chunk).collect() };
            let memory = self.memory.clone();
            let layout = self.segments.lay_out(&saved, &mut |number| Ok(Box::new(Growing(memory.clone(), number)))).unwrap();
            let written = layout.written;
            self.head.clone_from(&layout.head);
            self.segments.stored(layout);
            for number in self.segments.unnamed() {
                self.memory.0.borrow_mut().remove(&number);
                self.segments.removed(number);
            }
            written
        }

        fn found(&self) -> Result<Vec<Bytes>> {
            let segments = named_by(&self.head)?
                .into_iter()
                .map(|segment| Bytes::from(self.memory.0.borrow().get(&segment.number).cloned().unwrap_or_default()));
            Ok(put_together(&self.head, segments.collect())?.chunks)
        }
    }

    fn texts(numbers: std::ops::Range<usize>) -> Vec<(String, LocationSlot)> {
        numbers.map(|number| (format!("chunk {number:04}"), LocationSlot::default())).collect()
    }

    const BYTES: u64 = 10;

    #[test]
    fn written_pieces_are_not_written_again_and_unused_ones_are_removed() {
        let mut storage = Storage::new();
        let mut chunks = texts(0..100);
        assert_eq!(storage.store(&chunks), 100 * BYTES);
        chunks.extend(texts(100..110));
        assert_eq!(storage.store(&chunks), 10 * BYTES);
        assert_eq!(storage.store(&chunks), 0);
        // More than half of the first segment is dead: what is left of it moves on with the next checkpoint, and it goes with the last
        // one that names it.
        chunks.drain(..60);
        assert_eq!(storage.store(&chunks), 0);
        assert_eq!(storage.store(&chunks), 40 * BYTES);
        storage.store(&chunks);
        let left: u64 = storage.memory.0.borrow().values().map(|segment| segment.len() as u64).sum();
        assert_eq!(left, 50 * BYTES);
        let found = storage.found().unwrap();
        assert!(found.iter().eq(chunks.iter().map(|(text, _)| text.as_bytes())), "{found:?}");
    }

    #[test]
    fn many_small_segments_become_one() {
        let mut storage = Storage::new();
        let mut chunks = Vec::new();
        let mut written = 0;
        for number in 0..1_000 {
            chunks.extend(texts(number..number + 1));
            written += storage.store(&chunks);
            assert!(named_by(&storage.head).unwrap().len() <= SEGMENTS_MAX + 1);
        }
        assert!(written < 5 * 1_000 * BYTES, "{written} bytes");
        assert_eq!(storage.found().unwrap().len(), 1_000);
    }

    #[test]
    fn a_damaged_segment_is_detected() {
        let mut storage = Storage::new();
        storage.store(&texts(0..3));
        storage.memory.0.borrow_mut().values_mut().for_each(|segment| segment[4] ^= 1);
        assert!(storage.found().unwrap_err().to_string().contains("checksum"));
        storage.memory.0.borrow_mut().clear();
        assert!(storage.found().is_err());
    }
}
