//! Ticks in which nothing can happen are left out. A rule whose windows are empty and whose detector waits for nothing finds at each tick
//! what it found at the last one: it sleeps, and the next row that one of its tables takes in wakes it.
//!
//! What is late does not depend on who sleeps: the ticks of sleeping rules pass all the same ([`TickGrid`]), and seal their tables
//! before these take in anything.
//!
//! [`TickGrid`]: crate::window::evaluator::tick_grid::TickGrid

use datafusion::common::Result;

use crate::model::time::{TimestampMs, align_down};
use crate::window::detector::Detector;
use crate::window::evaluator::{Evaluator, RuleIndex};
use crate::window::state::shared_table::TableState;

impl Evaluator {
    /// Whether a tick passes by `now`, be it scheduled or not.
    pub fn is_tick_due(&self, now: TimestampMs) -> bool {
        self.tick_grid.is_due(now)
    }

    /// All ticks up to `now` are done: later rows before them are late.
    pub fn pass_ticks(&mut self, now: TimestampMs) {
        if !self.tick_grid.is_due(now) {
            return;
        }
        self.tick_grid.pass(now);
        for state in self.rules.iter().filter(|state| state.is_instant()) {
            for leaf in &state.leaves {
                if let TableState::Rows(table) = &mut self.registry.tables[leaf.table].state {
                    table.seal(align_down(now, state.rule.front.every_ms));
                }
            }
        }
    }

    /// Leaves out the ticks of a rule that was evaluated at its last one and has no alert that could end, until a row comes; unless
    /// each tick may find something else.
    pub fn try_sleep(&mut self, index: RuleIndex) {
        let state = &mut self.rules[index];
        let is_blank = |table: usize| {
            let table = &self.registry.tables[table];
            table.state.is_blank() && table.missing_partitions.is_empty()
        };
        let sleeps = !state.is_instant()
            && state.quarantine.is_none()
            && state.detector.as_ref().is_none_or(Detector::is_idle)
            && state.leaves.iter().all(|leaf| is_blank(leaf.table));
        if sleeps {
            state.dozes = true;
            self.schedule.set(index, &[]);
        }
    }

    /// Seals a table up to the ticks that its sleeping rules left out.
    pub(super) fn seal_for_sleepers(&mut self, table: usize) -> Result<()> {
        let shared = &mut self.registry.tables[table];
        let sleepers = shared.rules.iter().map(|index| &self.rules[*index]).filter(|state| state.dozes);
        match sleepers.map(|state| self.tick_grid.last(state.rule.front.every_ms)).max() {
            Some(last) => shared.state.seal(last),
            None => Ok(()),
        }
    }

    /// Schedules the first tick at which the rules of a table can see what it holds, where they slept. A later row may be of an earlier
    /// time, so a rule that was woken may have to rise earlier still.
    pub(super) fn wake_sleepers(&mut self, table: usize) {
        let Self { registry, rules, schedule, tick_grid, .. } = self;
        let shared = &registry.tables[table];
        for index in shared.rules.iter().filter(|index| rules[**index].dozes) {
            let Some(earliest) = shared.state.earliest() else { return };
            let tick = tick_grid.first_after(earliest, rules[*index].rule.front.every_ms);
            if schedule.of(*index).next().is_none_or(|planned| tick < planned) {
                schedule.set(*index, &[tick]);
            }
        }
    }

    /// Wakes one rule at its next tick.
    pub(super) fn wake(&mut self, index: RuleIndex) {
        let state = &mut self.rules[index];
        if std::mem::take(&mut state.dozes) {
            let tick = self.tick_grid.first_after(TimestampMs::MIN, state.rule.front.every_ms);
            self.schedule.set(index, &[tick]);
        }
    }

    /// After a restart: which rules sleep, or were woken for a tick that is not their next one. Ticks up to `now` have passed.
    pub(super) fn restore_sleep(&mut self, now: TimestampMs) {
        self.tick_grid.pass(now);
        for (index, state) in self.rules.iter_mut().enumerate().filter(|(_, state)| !state.is_instant()) {
            let next = self.tick_grid.first_after(TimestampMs::MIN, state.rule.front.every_ms);
            state.dozes = self.schedule.of(index).next().is_none_or(|planned| planned > next);
        }
    }
}
