//! How checkpoints lie where they are kept: each has a head, and pieces that last lie in segments that several checkpoints share.
//!
//! What of a checkpoint was not written before goes into its head, until that is much; then into a segment of its own. So a small state
//! is one file, and a large one costs what changed. A segment of which most is dead, or one of many small ones, is written again with the
//! next checkpoint; what neither the newest checkpoint nor the one before names is removed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::words::blob::Blob;
use crate::words::saved::{Found, Piece, Saved, Spot, Whereabouts};
use crate::words::seal;

/// The form of the head.
const VERSION: u32 = 2;
/// Lasting pieces together as large as this get a segment.
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
    digest: [u8; seal::DIGEST_BYTES],
}

/// What is kept under a checkpoint's name.
#[derive(Serialize, Deserialize)]
struct Head {
    segments: Vec<Segment>,
    /// Of each piece.
    spots: Vec<Spot>,
    /// The pieces that lie here.
    own: Blob,
    /// The head of the state.
    head: Blob,
}

/// A checkpoint as it is to be written.
pub struct Layout {
    /// A new segment and its bytes, to be written first.
    pub segment: Option<(Segment, Bytes)>,
    /// The head, to be written when the segment is safe.
    pub head: Vec<u8>,
    /// The segments that it names.
    named: Vec<Segment>,
    /// Where all pieces that last lie then.
    lasting: Vec<(Whereabouts, Spot)>,
}

impl Layout {
    /// How much there is to write.
    pub fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.segment.as_ref().map_or(0, |(segment, _)| segment.bytes)
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

    /// Says what is to be written of a checkpoint. Its pieces become bytes here.
    ///
    /// # Errors
    ///
    /// A piece cannot be written: a defect.
    pub fn lay_out(&mut self, saved: &Saved) -> Result<Layout> {
        let mut fresh = Vec::new();
        let mut spots: Vec<Option<Spot>> = Vec::with_capacity(saved.pieces.len());
        let mut own = Vec::new();
        let mut new_bytes = 0;
        for (at, piece) in saved.pieces.iter().enumerate() {
            let known = piece.spot.or_else(|| piece.whereabouts.as_ref().and_then(Whereabouts::get));
            if known.is_none() {
                let content = piece.content.as_ref().ok_or_else(|| anyhow!("a piece of the checkpoint was never written"))?;
                let bytes =
                    content.to_bytes().map_err(|error| anyhow!("a piece of the checkpoint cannot be written: {error}"))?;
                if piece.whereabouts.is_some() {
                    new_bytes += bytes.len() as u64;
                }
                fresh.push((at, bytes));
            }
            spots.push(known);
        }
        let mut segment = Vec::new();
        let number = if new_bytes >= self.bytes_min.max(1) { self.next } else { OWN };
        for (at, bytes) in fresh {
            let lasts = number != OWN && saved.pieces[at].whereabouts.is_some();
            let (number, into) = if lasts { (number, &mut segment) } else { (OWN, &mut own) };
            spots[at] = Some(Spot { segment: number, from: into.len() as u64, bytes: bytes.len() as u64 });
            into.extend_from_slice(&bytes);
        }
        let spots: Vec<Spot> = spots.into_iter().flatten().collect();
        let written = (number != OWN).then(|| {
            (self.next, _) = (self.next + 1, self.present.insert(number));
            Segment { number, bytes: segment.len() as u64, digest: seal::digest(&segment) }
        });
        let used: BTreeSet<u64> = spots.iter().map(|spot| spot.segment).filter(|number| *number != OWN).collect();
        let known = |number: &u64| {
            let known = self.named.iter().find_map(|named| named.get(number)).copied();
            known.or(written).filter(|segment| segment.number == *number).context("a piece lies in a segment that is not there")
        };
        let named: Vec<Segment> = used.iter().map(known).collect::<Result<_>>()?;
        let last =
            |(piece, spot): (&Piece, &Spot)| Some((piece.whereabouts.clone()?, *spot)).filter(|(_, spot)| spot.segment != OWN);
        let lasting = saved.pieces.iter().zip(&spots).filter_map(last).collect();
        let head = Head { segments: named.clone(), spots, own: Blob(own), head: Blob(saved.head.clone()) };
        let head = postcard::to_extend(&head, postcard::to_allocvec(&VERSION)?)?;
        Ok(Layout { segment: written.map(|written| (written, Bytes::from(segment))), head, named, lasting })
    }

    /// A checkpoint is safe. Pieces that now lie well are not written again; those of segments that are mostly dead, or small and many,
    /// are. Says which segments nobody needs any more.
    pub fn kept(&mut self, layout: Layout) -> Vec<u64> {
        let Layout { named, lasting, .. } = layout;
        let named: BTreeMap<u64, Segment> = named.into_iter().map(|segment| (segment.number, segment)).collect();
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, spot) in &lasting {
            *live.entry(spot.segment).or_default() += spot.bytes;
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
        for (whereabouts, spot) in lasting {
            whereabouts.set(Some(spot).filter(|spot| !again.contains(&spot.segment)));
        }
        let before = std::mem::replace(&mut self.named[0], named);
        self.named[1] = before;
        let unnamed = |number: &&u64| !self.named.iter().any(|named| named.contains_key(number));
        self.present.iter().filter(unnamed).copied().collect()
    }

    /// A segment is gone.
    pub fn removed(&mut self, number: u64) {
        self.present.remove(&number);
    }
}

fn head_of(bytes: &[u8]) -> Result<Head> {
    let (version, rest): (u32, _) = postcard::take_from_bytes(bytes).context("the checkpoint is damaged")?;
    if version != VERSION {
        bail!("the checkpoint has form {version}, this version of squelch reads form {VERSION}");
    }
    postcard::from_bytes(rest).context("the checkpoint is damaged")
}

/// The segments that a head names.
///
/// # Errors
///
/// It is damaged or of another version.
pub fn named_by(head: &[u8]) -> Result<Vec<Segment>> {
    Ok(head_of(head)?.segments)
}

/// The state that was kept, of its head and the content of [`named_by`] its segments in that order.
///
/// # Errors
///
/// Something of it is damaged.
pub fn put_together(head: &[u8], segments: Vec<Bytes>) -> Result<Found> {
    let Head { segments: named, spots, own, head } = head_of(head)?;
    let mut content = BTreeMap::from([(OWN, Bytes::from(own.0))]);
    for (segment, bytes) in named.iter().zip(segments) {
        if seal::digest(&bytes) != segment.digest {
            bail!("segment {} of the checkpoint is damaged: its digest is another", segment.number);
        }
        content.insert(segment.number, bytes);
    }
    let piece = |spot: &Spot| {
        let until = spot.from.checked_add(spot.bytes)?;
        let bytes = content.get(&spot.segment).filter(|bytes| until <= bytes.len() as u64)?;
        Some(bytes.slice(spot.from as usize..until as usize))
    };
    let pieces: Option<Vec<Bytes>> = spots.iter().map(piece).collect();
    Ok(Found { head: head.0, pieces: pieces.context("the checkpoint is damaged: a piece lies outside of its segment")? })
}
