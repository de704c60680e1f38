//! The sealed panes of one table, and roll-ups over them: a window of many panes is merged of a few pieces.
//!
//! Four neighbouring panes are rolled up into one of the next level, four of those into one above, aligned to the epoch. A window
//! is covered by the largest pieces that lie inside it, whatever the number of panes, and roll-ups are shared by all windows
//! over the table. The large pieces in the middle of a window stay the same for many ticks: they are merged once and kept, which
//! leaves about eight merges a tick for a day by the minute. Two stacks would need three, but now and then all of a window at
//! once, and what they hold would depend on when they began.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;

use crate::model::snapshot::Whereabouts;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::ingest::key_space::GroupId;
use crate::window::state::pane::SealedPane;
use crate::window::state::pane_merge::Merger;

/// How many pieces of a level make one of the next.
const FAN: i64 = 4;
/// Panes in a window up to which they are simply all merged.
const PANES_MERGED_MAX: i64 = 8;
/// Levels above the panes: four to the seventh is more than the panes of any window.
const LEVELS: usize = 7;
/// From this level on pieces are merged once for many ticks.
const MIDDLE_LEVEL: usize = 2;

/// Sealed panes by their start.
#[derive(Clone, Debug, Default)]
pub struct PaneStore {
    pane_ms: i64,
    panes: BTreeMap<TimestampMs, StoredPane>,
    /// Roll-ups, level by level. Made when a window first needs them.
    levels: [BTreeMap<TimestampMs, SealedPane>; LEVELS],
    /// The middle of each window, by the window's length and its distance from the evaluation: merged pieces.
    middles: BTreeMap<WindowId, (Vec<Piece>, SealedPane)>,
}

/// A sealed pane, shared with whoever writes a checkpoint of it, and where one has it already.
#[derive(Clone, Debug)]
pub struct StoredPane {
    /// The pane.
    pub pane: Arc<SealedPane>,
    /// Where it was written.
    pub whereabouts: Whereabouts,
}

impl StoredPane {
    /// To change the pane: what was written is another one then.
    fn change(&mut self) -> &mut SealedPane {
        self.whereabouts = Whereabouts::default();
        Arc::make_mut(&mut self.pane)
    }
}

/// Tells the windows over a table apart: length, and how long before the evaluation it ends.
pub type WindowId = (i64, i64);

/// A piece of a window: level 0 is a pane.
type Piece = (usize, TimestampMs);

impl PaneStore {
    /// An empty store for panes of this width.
    pub fn new(pane_ms: i64) -> Self {
        Self { pane_ms, ..Self::default() }
    }

    fn width(&self, level: usize) -> i64 {
        self.pane_ms * FAN.pow(level as u32)
    }

    /// Adds a pane that was sealed.
    pub fn insert(&mut self, start: TimestampMs, pane: SealedPane) {
        self.panes.insert(start, StoredPane { pane: Arc::new(pane), whereabouts: Whereabouts::default() });
    }

    /// Forgets the panes that start before `at`, and every roll-up that begins before it.
    pub fn forget_before(&mut self, at: TimestampMs) {
        if self.panes.first_key_value().is_some_and(|(start, _)| *start < at) {
            self.panes = self.panes.split_off(&at);
        }
        for level in &mut self.levels {
            if level.first_key_value().is_some_and(|(start, _)| *start < at) {
                *level = level.split_off(&at);
            }
        }
    }

    /// Whether a pane lies in the window.
    pub fn has_any(&self, window: &Range<TimestampMs>) -> bool {
        self.panes.range(window.clone()).next().is_some()
    }

    /// Makes the roll-ups that a window needs, and its middle. The window is pane aligned and no pane of it is still open.
    pub fn prepare(
        &mut self,
        id: WindowId,
        window: &Range<TimestampMs>,
        columns: &[AggregateColumn],
        merger: &mut Merger,
        keys: usize,
    ) -> Result<()> {
        let pieces = self.pieces(window);
        for (level, start) in &pieces {
            self.roll_up(*level, *start, columns, merger, keys)?;
        }
        let middle: Vec<Piece> = pieces.into_iter().filter(|(level, _)| *level >= MIDDLE_LEVEL).collect();
        if middle.len() > 1 && self.middles.get(&id).is_none_or(|(known, _)| *known != middle) {
            let all: Vec<usize> = (0..columns.len()).collect();
            let parts: Vec<&SealedPane> = middle.iter().filter_map(|piece| self.piece(*piece)).collect();
            let merged = merger.merge(columns, &all, &parts, keys)?.seal()?;
            self.middles.insert(id, (middle, merged));
        }
        Ok(())
    }

    fn roll_up(
        &mut self,
        level: usize,
        start: TimestampMs,
        columns: &[AggregateColumn],
        merger: &mut Merger,
        keys: usize,
    ) -> Result<()> {
        if level == 0 || self.levels[level - 1].contains_key(&start) {
            return Ok(());
        }
        let below: Vec<Piece> = (0..FAN).map(|i| (level - 1, start + i * self.width(level - 1))).collect();
        let full = |piece: &&Piece| self.has_any(&(piece.1..piece.1 + self.width(piece.0)));
        let below: Vec<Piece> = below.iter().filter(full).copied().collect();
        for (level, start) in &below {
            self.roll_up(*level, *start, columns, merger, keys)?;
        }
        let all: Vec<usize> = (0..columns.len()).collect();
        let parts: Vec<&SealedPane> = below.iter().filter_map(|piece| self.piece(*piece)).collect();
        let rolled = merger.merge(columns, &all, &parts, keys)?.seal()?;
        self.levels[level - 1].insert(start, rolled);
        Ok(())
    }

    fn piece(&self, (level, start): Piece) -> Option<&SealedPane> {
        if level == 0 { self.panes.get(&start).map(|stored| stored.pane.as_ref()) } else { self.levels[level - 1].get(&start) }
    }

    /// What a window is merged of, after [`Self::prepare`].
    pub fn cover(&self, id: WindowId, window: &Range<TimestampMs>) -> Vec<&SealedPane> {
        let pieces = self.pieces(window);
        let is_middle = |piece: &&Piece| piece.0 >= MIDDLE_LEVEL;
        let Some((_, merged)) = self.middles.get(&id).filter(|(known, _)| known.iter().eq(pieces.iter().filter(is_middle)))
        else {
            return pieces.into_iter().filter_map(|piece| self.piece(piece)).collect();
        };
        let first = pieces.iter().position(|piece| is_middle(&piece)).unwrap_or(pieces.len());
        let small = |pieces: &[Piece]| -> Vec<&SealedPane> {
            pieces.iter().filter(|piece| !is_middle(piece)).filter_map(|piece| self.piece(*piece)).collect()
        };
        [small(&pieces[..first]), vec![merged], small(&pieces[first..])].concat()
    }

    fn pieces(&self, window: &Range<TimestampMs>) -> Vec<Piece> {
        let few = window.end - window.start <= PANES_MERGED_MAX * self.pane_ms;
        let mut pieces = Vec::new();
        let mut from = window.start;
        while let Some((first, _)) = self.panes.range(from..window.end).next() {
            let fits = |level: &usize| {
                let start = align_down(*first, self.width(*level));
                start >= from && start + self.width(*level) <= window.end
            };
            let level = if few { 0 } else { (0..=LEVELS).rev().find(fits).unwrap_or(0) };
            let start = align_down(*first, self.width(level));
            pieces.push((level, start));
            from = start + self.width(level);
        }
        pieces
    }

    /// Panes held.
    pub fn len(&self) -> usize {
        self.panes.len()
    }

    /// Whether no pane is held.
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.all().map(SealedPane::bytes).sum()
    }

    /// The groups of all panes.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.panes.values().flat_map(|stored| stored.pane.groups.iter().copied())
    }

    /// The panes by their start.
    pub fn panes(&self) -> impl Iterator<Item = (TimestampMs, &StoredPane)> {
        self.panes.iter().map(|(start, stored)| (*start, stored))
    }

    fn all(&self) -> impl Iterator<Item = &SealedPane> {
        let levels = self.levels.iter().flat_map(BTreeMap::values);
        self.panes
            .values()
            .map(|stored| stored.pane.as_ref())
            .chain(levels)
            .chain(self.middles.values().map(|(_, merged)| merged))
    }

    /// Gives every group its new id.
    pub fn rename(&mut self, renamed: &[GroupId]) {
        self.all_mut().for_each(|pane| pane.rename(renamed));
    }

    /// Keeps only some of the aggregates.
    pub fn keep_columns(&mut self, kept: &[bool]) {
        self.all_mut().for_each(|pane| pane.keep_columns(kept));
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut SealedPane> {
        let levels = self.levels.iter_mut().flat_map(BTreeMap::values_mut);
        self.panes.values_mut().map(StoredPane::change).chain(levels).chain(self.middles.values_mut().map(|(_, merged)| merged))
    }
}
