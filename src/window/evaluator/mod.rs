//! All rules over all streams: takes event batches in, and at each tick yields a rule's breaches.

mod instant_rules;
mod quarantine;
mod reload;

pub(in crate::window) mod partial;
pub(in crate::window) mod snapshot;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use crate::model::event::{EventBatch, Kind};
use crate::model::limits::QUARANTINE_MS;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::output_columns::Breach;
use crate::rule::definition::window_spec::{TimeSource, WindowSpec};
use crate::rule::exec::expression_chain::batch_of;
use crate::rule::exec::post_aggregate::PostAggregate;
use crate::rule::exec::row_budget::over_budget;
use crate::rule::plan::stream_scan::Leaf;
use crate::window::WindowLimits;
use crate::window::detector::Judge;
use crate::window::evaluator::instant_rules::Instants;
use crate::window::ingest::micro_batch::{MicroBatch, Stretch};
use crate::window::ingest::router::Routed;
use crate::window::quarantine::Quarantine;
use crate::window::state::pane_merge::Merger;
use crate::window::state::table::{Ingested, KnownIds};
use crate::window::state::table_registry::{LeafUse, SharedKeys, SharedTable, TableState, Tables};
use crate::window::time::schedule::Schedule;

/// Index of a rule, in order of names.
pub type RuleIndex = usize;

/// A stopwatch for the cost of rules: nanoseconds since any fixed instant. No result depends on it.
pub type CostClock = fn() -> u64;

/// What one rule has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStats {
    /// Rows that passed its filters.
    pub rows: u64,
    /// Rows too late for their pane.
    pub late: u64,
    /// Rows whose group found no room.
    pub overflow: u64,
    /// Evaluations.
    pub ticks: u64,
    /// Rows of its results.
    pub breaches: u64,
    /// Evaluations that failed.
    pub errors: u64,
    /// How often it broke a limit and had to rest.
    pub quarantines: u64,
    /// Time spent on it, in nanoseconds; what tables cost is shared by their rules.
    pub spent_ns: u64,
}

/// The rules, their tables and the state of their windows.
#[derive(Debug)]
pub struct Evaluator {
    rules: Vec<EvaluatedRule>,
    tables: Tables,
    merger: Merger,
    schedule: Schedule,
    started: bool,
    instants: Instants,
    clock: CostClock,
}

#[derive(Debug)]
struct EvaluatedRule {
    rule: Arc<Rule>,
    leaves: Vec<LeafUse>,
    /// From when on its windows hold what came; of a rule that is there from the start, everything.
    since: TimestampMs,
    stats: RuleStats,
    last_error: Option<String>,
    judge: Option<Judge>,
    quarantine: Option<Quarantine>,
}

impl EvaluatedRule {
    fn new(rule: Arc<Rule>) -> Self {
        let judge = Judge::new(&rule.front);
        Self {
            rule,
            leaves: Vec::new(),
            since: TimestampMs::MIN,
            stats: RuleStats::default(),
            last_error: None,
            judge,
            quarantine: None,
        }
    }

    fn ingested(&mut self, done: &Result<Ingested>) {
        match done {
            Ok(done) => {
                self.stats.rows += done.rows;
                self.stats.late += done.late;
                self.stats.overflow += done.overflow;
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: &DataFusionError) {
        self.stats.errors += 1;
        if self.last_error.is_none() {
            tracing::warn!(rule = self.rule.name(), %error, "the rule fails on some rows; further failures are only counted");
        }
        self.last_error = Some(error.strip_backtrace());
    }

    /// Which rows of an evaluation are breaches.
    fn judged(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        let mut breaches = match &mut self.judge {
            Some(judge) => {
                let refused = judge.refused();
                let breaches = judge.judge(at, rows);
                self.stats.overflow += judge.refused() - refused;
                breaches
            }
            None => rows,
        };
        if self.rule.front.window_spec == WindowSpec::Instant {
            // One label set in several events of a second is one alert, told by the first.
            let mut seen = BTreeSet::new();
            breaches.retain(|breach| seen.insert(breach.labels.clone()));
        }
        breaches
    }

    fn rest_until(&mut self, until: TimestampMs, reason: &str) {
        tracing::error!(
            rule = self.rule.name(),
            reason,
            "the rule is quarantined: it is not evaluated for {} minutes, then begins with empty windows",
            QUARANTINE_MS / 60_000
        );
        self.stats.quarantines += 1;
        self.quarantine = Some(Quarantine { until, reason: reason.to_string() });
    }
}

impl Evaluator {
    /// An evaluator with empty windows. Rules come sorted by name.
    pub fn new(rules: Vec<Arc<Rule>>, limits: WindowLimits, clock: CostClock) -> Result<Self> {
        Self::over(Tables::new(limits), rules, clock)
    }

    fn over(mut tables: Tables, rules: Vec<Arc<Rule>>, clock: CostClock) -> Result<Self> {
        let mut rules: Vec<EvaluatedRule> = rules.into_iter().map(EvaluatedRule::new).collect();
        // Those that are evaluated most often come first: they say how fine the panes are that others may share.
        let mut order: Vec<RuleIndex> = (0..rules.len()).collect();
        order.sort_by_key(|index| rules[*index].rule.front.every_ms);
        for index in order {
            rules[index].leaves = tables.join(index, &rules[index].rule)?;
        }
        tables.settle(rules.iter_mut().flat_map(|rule| &mut rule.leaves));
        tables.asked_every(|index| rules[index].rule.front.every_ms);
        let instants = Instants::of(rules.iter().map(|rule| rule.rule.as_ref()));
        Ok(Self { rules, tables, merger: Merger::default(), schedule: Schedule::default(), started: false, instants, clock })
    }

    /// The rules, by index.
    pub fn rule(&self, index: RuleIndex) -> &Arc<Rule> {
        &self.rules[index].rule
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a rule has done so far.
    pub fn stats(&self, index: RuleIndex) -> RuleStats {
        self.rules[index].stats
    }

    /// The last failure of a rule's evaluation.
    pub fn last_error(&self, index: RuleIndex) -> Option<&str> {
        self.rules[index].last_error.as_deref()
    }

    /// Why a rule rests, if it does.
    pub fn quarantine(&self, index: RuleIndex) -> Option<&Quarantine> {
        self.rules[index].quarantine.as_ref()
    }

    /// What the windows hold now: groups, panes, bytes.
    pub fn size(&self) -> (usize, usize, usize) {
        let groups = self.tables.spaces.iter().map(|space| space.keys.len()).sum();
        let panes = self.tables.tables.iter().map(|table| table.state.panes()).sum();
        let keys: usize = self.tables.spaces.iter().map(|space| space.keys.bytes()).sum();
        let bytes: usize = self.tables.tables.iter().map(|table| table.state.bytes()).sum();
        (groups, panes, keys + bytes)
    }

    /// The other rules that share a table with a leaf of this one.
    pub fn shared_with(&self, index: RuleIndex, leaf: usize) -> Vec<&str> {
        let table = &self.tables.tables[self.rules[index].leaves[leaf].table];
        let others = table.rules.iter().filter(|other| **other != index);
        let mut names: Vec<&str> = others.map(|other| self.rules[*other].rule.name()).collect();
        names.sort_unstable();
        names
    }

    /// Whether two leaves of a rule stand on one table.
    pub fn same_table(&self, index: RuleIndex, leaf: usize, other: usize) -> bool {
        let leaves = &self.rules[index].leaves;
        leaves[leaf].table == leaves[other].table
    }

    /// The pane width of the table under a rule's leaf, and its window: length and how long before the evaluation it ends.
    pub fn panes_of(&self, index: RuleIndex, leaf: usize) -> (i64, i64, i64) {
        let leaf = &self.rules[index].leaves[leaf];
        (self.tables.tables[leaf.table].state.layout().pane_ms, leaf.window_ms, leaf.ago_ms)
    }

    /// Counts rows `from[k]..to[k]` of each table of the batch in.
    ///
    /// A table that cannot count its rows in (a cast that fails, say) loses that micro-batch, counted for each of its rules; the
    /// others go on.
    pub fn ingest(&mut self, batch: &EventBatch, from: [usize; 4], to: [usize; 4]) {
        for kind in Kind::ALL {
            let (start, end) = (from[kind as usize], to[kind as usize]);
            if start == end || self.tables.routers[kind as usize].is_empty() {
                continue;
            }
            let rows = batch.tables[kind as usize].slice(start, end - start);
            let by_broker = self.rules.iter().any(|rule| rule.rule.front.time == TimeSource::Broker);
            let received = if by_broker { batch.received(kind, start..end) } else { Vec::new() };
            self.ingest_stream(kind, &rows, &received);
        }
    }

    fn ingest_stream(&mut self, kind: Kind, rows: &RecordBatch, received: &[TimestampMs]) {
        let routed = match kind {
            Kind::Metric => self.tables.routers[kind as usize].route(rows.column(1).as_string_view()),
            _ => Routed::default(),
        };
        let named = MicroBatch::new(rows, received, Some(routed.order));
        let mut known = KnownIds::default();
        for (class, range) in routed.classes {
            known.forget();
            let stretch = named.stretch(range);
            for at in 0..self.tables.routers[kind as usize].tables(class).len() {
                let table = self.tables.routers[kind as usize].tables(class)[at];
                self.ingest_table(table, &stretch, &mut known);
            }
        }
        let whole = MicroBatch::new(rows, received, None);
        let stretch = whole.whole();
        known.forget();
        for at in 0..self.tables.routers[kind as usize].tables_of_all().len() {
            let table = self.tables.routers[kind as usize].tables_of_all()[at];
            self.ingest_table(table, &stretch, &mut known);
        }
    }

    fn ingest_table(&mut self, table: usize, rows: &Stretch<'_>, known: &mut KnownIds) {
        self.count_in(table, |state, spaces| match state {
            TableState::Aggregate(table, space) => table.ingest(rows, (*space, &mut spaces[*space].keys), known),
            TableState::Rows(table) => table.ingest(rows),
        });
    }

    /// Has `count` count something into a table, unless all its rules rest.
    fn count_in(&mut self, table: usize, count: impl FnOnce(&mut TableState, &mut [SharedKeys]) -> Result<Ingested>) {
        let began = (self.clock)();
        let Tables { tables, spaces, .. } = &mut self.tables;
        let shared = &mut tables[table];
        if shared.rules.iter().all(|index| self.rules[*index].quarantine.is_some()) {
            return;
        }
        let done = count(&mut shared.state, spaces);
        for index in &shared.rules {
            let evaluated = &mut self.rules[*index];
            evaluated.ingested(&done);
            // Rules about single events are only scheduled where there are some.
            if evaluated.rule.front.window_spec == WindowSpec::Instant
                && let TableState::Rows(table) = &shared.state
            {
                table.open_ends().for_each(|end| self.schedule.add(end, *index));
            }
        }
        shared.spent_ns += (self.clock)() - began;
    }

    /// Sets each rule's first tick: the first multiple of its `every` after `start`.
    pub fn start(&mut self, start: TimestampMs) {
        self.started = true;
        for (index, evaluated) in self.rules.iter().enumerate() {
            let every_ms = evaluated.rule.front.every_ms;
            if evaluated.rule.front.window_spec != WindowSpec::Instant {
                self.schedule.add(align_down(start, every_ms) + every_ms, index);
            }
        }
    }

    /// Whether [`Self::start`] was called.
    pub fn started(&self) -> bool {
        self.started || self.is_empty()
    }

    /// The instant of the next tick.
    pub fn next_tick(&self) -> Option<TimestampMs> {
        self.schedule.next()
    }

    /// The rules to evaluate at the next tick, which must be `at`; schedules the tick after.
    pub fn due(&mut self, at: TimestampMs) -> Vec<RuleIndex> {
        let due = self.schedule.take(at);
        for index in &due {
            let front = &self.rules[*index].rule.front;
            if front.window_spec != WindowSpec::Instant {
                self.schedule.add(at + front.every_ms, *index);
            }
        }
        due
    }

    /// Asks for another tick of a rule about single events: its alerts must end some time.
    pub fn again(&mut self, index: RuleIndex, after: TimestampMs) {
        let every_ms = self.rules[index].rule.front.every_ms;
        self.schedule.add(align_down(after, every_ms) + every_ms, index);
    }

    /// Whether a rule has a tick to come.
    pub fn is_scheduled(&self, index: RuleIndex) -> bool {
        self.schedule.of(index).next().is_some()
    }

    /// From when on a rule must know everything that came: a comparison with a window that began before the first event, or
    /// before the rule was there, would compare with half of what was.
    fn reaches_back_to(&self, index: RuleIndex, at: TimestampMs) -> TimestampMs {
        let evaluated = &self.rules[index];
        let leaves = evaluated.leaves.iter().zip(&evaluated.rule.plan.leaves);
        let named = leaves.filter(|(_, leaf)| leaf.stream().window.is_some());
        named.map(|(leaf, _)| leaf.window(at).start).min().unwrap_or(TimestampMs::MAX)
    }

    /// Evaluates a rule over its windows at `at`. An evaluation that fails is counted and finds nothing. `None` where the rule
    /// rests, or compares with a time before `first_event`: then nothing is known, not even that nothing happened.
    pub fn tick(&mut self, index: RuleIndex, at: TimestampMs, first_event: TimestampMs) -> Option<Vec<Breach>> {
        if self.rests(index, at)
            || self.lacks_rows(index)
            || self.reaches_back_to(index, at) < first_event.max(self.rules[index].since)
        {
            return None;
        }
        let began = (self.clock)();
        let answer = self.answer(index, at);
        let shares = self.rules[index].leaves.iter().map(|leaf| {
            let shared = &mut self.tables.tables[leaf.table];
            let share = shared.spent_ns / shared.rules.len().max(1) as u64;
            shared.spent_ns -= share;
            share
        });
        let shared_ns: u64 = shares.sum();
        let evaluated = &mut self.rules[index];
        evaluated.stats.ticks += 1;
        let breaches = match answer {
            Ok(rows) => evaluated.judged(at, rows),
            Err(error) => {
                evaluated.failed(&error);
                if let Some(reason) = over_budget(&error) {
                    evaluated.stats.spent_ns += shared_ns + (self.clock)() - began;
                    self.quarantine_until(index, at + QUARANTINE_MS, &reason);
                    return None;
                }
                Vec::new()
            }
        };
        evaluated.stats.breaches += breaches.len() as u64;
        evaluated.stats.spent_ns += shared_ns + (self.clock)() - began;
        Some(breaches)
    }

    fn answer(&mut self, index: RuleIndex, at: TimestampMs) -> Result<Vec<Breach>> {
        let Self { rules, tables, merger, .. } = self;
        let EvaluatedRule { rule, leaves, .. } = &rules[index];
        for leaf in leaves {
            match &mut tables.tables[leaf.table].state {
                TableState::Aggregate(table, _) => table.seal(at)?,
                TableState::Rows(table) => table.seal(at),
            }
        }
        let silent = leaves.iter().all(|leaf| !tables.tables[leaf.table].state.has_rows(&leaf.window(at)));
        if silent && rule.plan.is_grouped() {
            return Ok(Vec::new());
        }
        if let ([leaf], WindowSpec::Instant) = (leaves.as_slice(), rule.front.window_spec)
            && let TableState::Rows(table) = &mut tables.tables[leaf.table].state
        {
            let (rows, times) = table.rows(&leaf.window(at))?;
            return Ok(rule.output.events(&rule.plan.post_aggregate.run(vec![rows])?, &times)?);
        }
        let sorted = !matches!(rule.plan.post_aggregate, PostAggregate::Chain(_));
        let sources = leaves.iter().zip(&rule.plan.leaves);
        let rows = sources.map(|(leaf, source)| rows_of(leaf, source, tables, merger, at, sorted)).collect::<Result<Vec<_>>>()?;
        let mut breaches = rule.output.breaches(&rule.plan.post_aggregate.run(rows)?, at)?;
        if !sorted {
            breaches.sort_by(Breach::in_order);
        }
        Ok(breaches)
    }

    /// Rebuilds key spaces of which most keys are gone. To be called between ticks.
    pub fn clean_up(&mut self) {
        self.tables.clean_up();
    }

    /// Whether no window holds anything, and nobody is missed who was there once.
    pub fn is_blank(&self) -> bool {
        let idle = |rule: &EvaluatedRule| rule.judge.as_ref().is_none_or(Judge::is_idle);
        self.tables.tables.iter().all(|table: &SharedTable| table.state.is_blank()) && self.rules.iter().all(idle)
    }

    /// Leaves out the ticks before `at`: for stretches of time in which nothing is in any window, however long.
    pub fn skip_to(&mut self, at: TimestampMs) {
        self.schedule.skip_to(at, |index| self.rules[index].rule.front.every_ms);
    }
}

fn rows_of(
    leaf: &LeafUse,
    source: &Leaf,
    tables: &mut Tables,
    merger: &mut Merger,
    at: TimestampMs,
    sorted: bool,
) -> Result<RecordBatch> {
    let Tables { tables, spaces, .. } = tables;
    match &mut tables[leaf.table].state {
        TableState::Aggregate(table, space) => {
            let (columns, rows) = table.evaluate(leaf, at, sorted, &mut spaces[*space].keys, merger)?;
            if rows == 0 {
                Ok(RecordBatch::new_empty(Arc::clone(source.schema())))
            } else {
                batch_of(source.schema(), columns, rows)
            }
        }
        TableState::Rows(table) => Ok(table.rows(&leaf.window(at))?.0),
    }
}
