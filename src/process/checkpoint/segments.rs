//! How checkpoints lie where they are kept: each has a head, and chunks that last lie in segments that several checkpoints share.
//!
//! What of a checkpoint was not written before goes into its head, unless that is much; then into segments, one for what lasts and one
//! for what passes. So a small state is one file, and a large one costs what changed. A segment of which most is dead, or one of many small ones, is written again with the
//! next checkpoint; what neither the newest checkpoint nor the one before names is removed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::checksum;
use crate::model::snapshot::versioned::StateFormat;
use crate::model::snapshot::{Chunk, ChunkLocation, LoadedSnapshot, LocationSlot, StateSnapshot};

/// The form of the head.
const FORMAT: StateFormat = StateFormat { magic: *b"squelchS", version: 2 };
/// Lasting chunks together as large as this get a segment.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// With more segments than these, the smaller half becomes one.
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
    /// What its bytes add up to: a segment of another checkpoint is not taken for it.
    digest: checksum::Digest,
}

/// What is kept under a checkpoint's name.
#[derive(Serialize, Deserialize)]
struct LayoutHead {
    segments: Vec<Segment>,
    /// Of each chunk.
    locations: Vec<ChunkLocation>,
    /// The chunks that lie here.
    own: Blob,
    /// The head of the state.
    head: Blob,
}

/// Where the bytes of a segment go.
pub trait SegmentWriter {
    /// More of it.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    fn add(&mut self, bytes: &[u8]) -> Result<()>;

    /// That was all: it is safe.
    ///
    /// # Errors
    ///
    /// It cannot be made safe.
    fn end(self: Box<Self>) -> Result<()>;
}

/// A checkpoint whose segments are safe.
pub struct SegmentLayout {
    /// What is left to be written.
    pub head: Vec<u8>,
    /// Bytes of the segments that were written for it.
    written: u64,
    /// The segments that it names.
    named: Vec<Segment>,
    /// Where all chunks that last lie then.
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

/// Which segments there are, for one who keeps checkpoints.
#[derive(Debug)]
pub struct Segments {
    bytes_min: u64,
    next: u64,
    /// All that may be there.
    present: BTreeSet<u64>,
    /// Those named by the newest checkpoint, and by the one before.
    named: [BTreeMap<u64, Segment>; 2],
}

impl Segments {
    /// Begins where these are there already, `named` by the newest checkpoint and the one before. Numbers begin above `after`.
    pub fn new(bytes_min: u64, present: impl IntoIterator<Item = u64>, named: [Vec<Segment>; 2], after: u64) -> Self {
        let by_number = |segments: Vec<Segment>| segments.into_iter().map(|segment| (segment.number, segment)).collect();
        let named: [BTreeMap<u64, Segment>; 2] = named.map(by_number);
        let mut present: BTreeSet<u64> = present.into_iter().collect();
        present.extend(named.iter().flat_map(|named| named.keys()));
        let next = present.last().copied().unwrap_or(OWN).max(after) + 1;
        Self { bytes_min, next, present, named }
    }

    /// Writes what of a checkpoint was not written before, chunk by chunk, into segments that `open` begins, and says what its head is.
    ///
    /// # Errors
    ///
    /// A chunk cannot be written. What [`Self::unnamed`] tells can be removed then.
    pub fn lay_out(
        &mut self,
        saved: &StateSnapshot,
        open: &mut dyn FnMut(u64) -> Result<Box<dyn SegmentWriter>>,
    ) -> Result<SegmentLayout> {
        let known = |chunk: &Chunk| chunk.location.or_else(|| chunk.slot.as_ref().and_then(LocationSlot::get));
        let mut locations: Vec<Option<ChunkLocation>> = saved.chunks.iter().map(known).collect();
        let mut own = Vec::new();
        let mut written = Vec::new();
        // What passes does not lie beside what lasts: it would be dead with the next checkpoint.
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
        let (mut digest, mut from) = (checksum::DigestWriter::default(), 0);
        for at in fresh {
            let bytes = bytes_of(&saved.chunks[*at])?;
            out.add(&bytes)?;
            digest.update(&bytes);
            locations[*at] = Some(ChunkLocation { segment: number, offset: from, length: bytes.len() as u64 });
            from += bytes.len() as u64;
        }
        out.end()?;
        Ok(Segment { number, bytes: from, digest: digest.finish() })
    }

    /// A checkpoint is safe. Pieces that now lie well are not written again; those of segments that are mostly dead, or small and many,
    /// are.
    pub fn kept(&mut self, layout: SegmentLayout) {
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

    /// The segments that nobody needs: neither the newest checkpoint nor the one before names them.
    pub fn unnamed(&self) -> Vec<u64> {
        let unnamed = |number: &&u64| !self.named.iter().any(|named| named.contains_key(number));
        self.present.iter().filter(unnamed).copied().collect()
    }

    /// A segment is gone.
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

/// The state that was kept, of its head and the content of [`named_by`] its segments in that order.
///
/// # Errors
///
/// Something of it is damaged.
pub fn put_together(head: &[u8], segments: Vec<Bytes>) -> Result<LoadedSnapshot> {
    let LayoutHead { segments: named, locations, own, head } = FORMAT.decode(head)?;
    let mut content = BTreeMap::from([(OWN, Bytes::from(own.0))]);
    for (segment, bytes) in named.iter().zip(segments) {
        if checksum::digest(&bytes) != segment.digest {
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
        fn add(&mut self, bytes: &[u8]) -> Result<()> {
            self.0.0.borrow_mut().entry(self.1).or_default().extend_from_slice(bytes);
            Ok(())
        }

        fn end(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    struct Keeper {
        segments: Segments,
        memory: Memory,
        head: Vec<u8>,
    }

    impl Keeper {
        fn new() -> Self {
            let segments = Segments::new(1, [], Default::default(), 0);
            Self { segments, memory: Memory::default(), head: Vec::new() }
        }

        /// Keeps these; says how much was written for it.
        fn keep(&mut self, chunks: &[(String, LocationSlot)]) -> u64 {
            let chunk = |(text, place): &(String, LocationSlot)| Chunk::immutable(place, || Text(text.clone()));
            let saved = StateSnapshot { head: b"head".to_vec(), chunks: chunks.iter().map(chunk).collect() };
            let memory = self.memory.clone();
            let layout = self.segments.lay_out(&saved, &mut |number| Ok(Box::new(Growing(memory.clone(), number)))).unwrap();
            let written = layout.written;
            self.head.clone_from(&layout.head);
            self.segments.kept(layout);
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
    fn what_was_written_is_not_written_again_and_what_is_dead_goes() {
        let mut keeper = Keeper::new();
        let mut chunks = texts(0..100);
        assert_eq!(keeper.keep(&chunks), 100 * BYTES);
        chunks.extend(texts(100..110));
        assert_eq!(keeper.keep(&chunks), 10 * BYTES);
        assert_eq!(keeper.keep(&chunks), 0);
        // More than half of the first segment is dead: what is left of it moves on with the next checkpoint, and it goes with the last
        // one that names it.
        chunks.drain(..60);
        assert_eq!(keeper.keep(&chunks), 0);
        assert_eq!(keeper.keep(&chunks), 40 * BYTES);
        keeper.keep(&chunks);
        let left: u64 = keeper.memory.0.borrow().values().map(|segment| segment.len() as u64).sum();
        assert_eq!(left, 50 * BYTES);
        let found = keeper.found().unwrap();
        assert!(found.iter().eq(chunks.iter().map(|(text, _)| text.as_bytes())), "{found:?}");
    }

    #[test]
    fn many_small_segments_become_one() {
        let mut keeper = Keeper::new();
        let mut chunks = Vec::new();
        let mut written = 0;
        for number in 0..1_000 {
            chunks.extend(texts(number..number + 1));
            written += keeper.keep(&chunks);
            assert!(named_by(&keeper.head).unwrap().len() <= SEGMENTS_MAX + 1);
        }
        assert!(written < 5 * 1_000 * BYTES, "{written} bytes");
        assert_eq!(keeper.found().unwrap().len(), 1_000);
    }

    #[test]
    fn a_segment_that_is_another_is_told() {
        let mut keeper = Keeper::new();
        keeper.keep(&texts(0..3));
        keeper.memory.0.borrow_mut().values_mut().for_each(|segment| segment[4] ^= 1);
        assert!(keeper.found().unwrap_err().to_string().contains("checksum"));
        keeper.memory.0.borrow_mut().clear();
        assert!(keeper.found().is_err());
    }
}
