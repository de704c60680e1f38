//! The sealed panes of one table, and rollups over them: a window of many panes is merged from a few blocks.
//!
//! Four adjacent panes are rolled up to a block of the next level, four of those to a block of the level above, aligned to the
//! epoch. A window is covered by the largest blocks that lie inside it, and all windows over the table share the rollups. The large
//! blocks in the middle of a window stay the same for many ticks: they are merged once and kept. That leaves about eight merges a
//! tick for a day by the minute. Two stacks would need three, but now and then a merge of the whole window, and their state would
//! depend on when they were started.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;

use crate::model::snapshot::LocationSlot;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::ingest::group_id::GroupId;
use crate::window::state::pane::SealedPane;
use crate::window::state::pane_merge::PaneMerger;

/// Blocks of a level that make one of the next.
const FAN_OUT: i64 = 4;
/// Up to so many panes a window is merged from panes, without rollups.
const PANES_MERGED_MAX: i64 = 8;
/// Levels above the panes: four to the seventh is more than the panes of any window.
const LEVELS: usize = 7;
/// Blocks of this level and above are merged once for many ticks.
const MIDDLE_LEVEL: usize = 2;

/// Sealed panes by their start.
#[derive(Clone, Debug, Default)]
pub struct PaneStore {
    pane_ms: i64,
    panes: BTreeMap<TimestampMs, StoredPane>,
    /// Rollups by level, made when a window first needs them.
    levels: [BTreeMap<TimestampMs, SealedPane>; LEVELS],
    /// For each window, the large blocks in its middle and their merge.
    middles: BTreeMap<WindowId, (Vec<Block>, SealedPane)>,
}

/// A sealed pane. A snapshot shares it until the pane is stored.
#[derive(Clone, Debug)]
pub struct StoredPane {
    /// The pane.
    pub pane: Arc<SealedPane>,
    /// Its location in the checkpoints.
    pub slot: LocationSlot,
}

impl StoredPane {
    /// The pane to be modified. The stored one is then out of date.
    fn modify(&mut self) -> &mut SealedPane {
        self.slot = LocationSlot::default();
        Arc::make_mut(&mut self.pane)
    }
}

/// Identifies a window over a table: its length, and how long before the evaluation it ends.
pub type WindowId = (i64, i64);

/// Level and start of a pane or rollup; level 0 is a pane.
type Block = (usize, TimestampMs);

impl PaneStore {
    /// An empty store for panes of this width.
    pub fn new(pane_ms: i64) -> Self {
        Self { pane_ms, ..Self::default() }
    }

    fn width(&self, level: usize) -> i64 {
        self.pane_ms * FAN_OUT.pow(level as u32)
    }

    /// Adds a pane.
    pub fn insert(&mut self, start: TimestampMs, pane: SealedPane) {
        self.panes.insert(start, StoredPane { pane: Arc::new(pane), slot: LocationSlot::default() });
    }

    /// Drops the panes and rollups that start before `at`.
    pub fn drop_before(&mut self, at: TimestampMs) {
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

    /// Makes the rollups that [`Self::cover`] of the window needs, and merges its middle. The window is aligned to panes, and none of
    /// its panes is open.
    pub fn prepare(
        &mut self,
        id: WindowId,
        window: &Range<TimestampMs>,
        columns: &[AggregateColumn],
        merger: &mut PaneMerger,
        keys: usize,
    ) -> Result<()> {
        let blocks = self.blocks(window);
        for (level, start) in &blocks {
            self.roll_up(*level, *start, columns, merger, keys)?;
        }
        let middle: Vec<Block> = blocks.into_iter().filter(|(level, _)| *level >= MIDDLE_LEVEL).collect();
        if middle.len() > 1 && self.middles.get(&id).is_none_or(|(known, _)| *known != middle) {
            let all: Vec<usize> = (0..columns.len()).collect();
            let parts: Vec<&SealedPane> = middle.iter().filter_map(|block| self.block(*block)).collect();
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
        merger: &mut PaneMerger,
        keys: usize,
    ) -> Result<()> {
        if level == 0 || self.levels[level - 1].contains_key(&start) {
            return Ok(());
        }
        let below: Vec<Block> = (0..FAN_OUT).map(|i| (level - 1, start + i * self.width(level - 1))).collect();
        let has_panes = |block: &&Block| self.has_any(&(block.1..block.1 + self.width(block.0)));
        let below: Vec<Block> = below.iter().filter(has_panes).copied().collect();
        for (level, start) in &below {
            self.roll_up(*level, *start, columns, merger, keys)?;
        }
        let all: Vec<usize> = (0..columns.len()).collect();
        let parts: Vec<&SealedPane> = below.iter().filter_map(|block| self.block(*block)).collect();
        let rolled = merger.merge(columns, &all, &parts, keys)?.seal()?;
        self.levels[level - 1].insert(start, rolled);
        Ok(())
    }

    fn block(&self, (level, start): Block) -> Option<&SealedPane> {
        if level == 0 { self.panes.get(&start).map(|stored| stored.pane.as_ref()) } else { self.levels[level - 1].get(&start) }
    }

    /// The panes and rollups that a window is merged from, after [`Self::prepare`].
    pub fn cover(&self, id: WindowId, window: &Range<TimestampMs>) -> Vec<&SealedPane> {
        let blocks = self.blocks(window);
        let is_middle = |block: &&Block| block.0 >= MIDDLE_LEVEL;
        let Some((_, merged)) = self.middles.get(&id).filter(|(known, _)| known.iter().eq(blocks.iter().filter(is_middle)))
        else {
            return blocks.into_iter().filter_map(|block| self.block(block)).collect();
        };
        let first = blocks.iter().position(|block| is_middle(&block)).unwrap_or(blocks.len());
        let small = |blocks: &[Block]| -> Vec<&SealedPane> {
            blocks.iter().filter(|block| !is_middle(block)).filter_map(|block| self.block(*block)).collect()
        };
        [small(&blocks[..first]), vec![merged], small(&blocks[first..])].concat()
    }

    fn blocks(&self, window: &Range<TimestampMs>) -> Vec<Block> {
        let few = window.end - window.start <= PANES_MERGED_MAX * self.pane_ms;
        let mut blocks = Vec::new();
        let mut from = window.start;
        while let Some((first, _)) = self.panes.range(from..window.end).next() {
            let fits = |level: &usize| {
                let start = align_down(*first, self.width(*level));
                start >= from && start + self.width(*level) <= window.end
            };
            let level = if few { 0 } else { (0..=LEVELS).rev().find(fits).unwrap_or(0) };
            let start = align_down(*first, self.width(level));
            blocks.push((level, start));
            from = start + self.width(level);
        }
        blocks
    }

    /// The number of panes.
    pub fn len(&self) -> usize {
        self.panes.len()
    }

    /// Whether there is no pane.
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.all().map(SealedPane::bytes).sum()
    }

    /// The groups of all panes, some more than once.
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

    /// Replaces every group id by its new one.
    pub fn renumber(&mut self, new_ids: &[GroupId]) {
        self.all_mut().for_each(|pane| pane.renumber(new_ids));
    }

    /// Drops the aggregates that are not `used`.
    pub fn retain_columns(&mut self, used: &[bool]) {
        self.all_mut().for_each(|pane| pane.retain_columns(used));
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut SealedPane> {
        let levels = self.levels.iter_mut().flat_map(BTreeMap::values_mut);
        self.panes.values_mut().map(StoredPane::modify).chain(levels).chain(self.middles.values_mut().map(|(_, merged)| merged))
    }
}
