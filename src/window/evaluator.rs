//! All rules over all streams: takes event batches in, and at each tick yields a rule's breaches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::common::DataFusionError;

use crate::rule::Rule;
use crate::rule::output::Breach;
use crate::window::judge::Judge;
use crate::window::router::{Router, Share};
use crate::window::table::{AggregateTable, Ingested};
use crate::words::event::{EventBatch, Kind};
use crate::words::time::{TimestampMs, align_down};

/// Index of a rule, in order of names.
pub type RuleIndex = usize;

fn some_of(rows: &RecordBatch, indices: &UInt32Array) -> Result<(RecordBatch, ArrayRef), DataFusionError> {
    let some = take_record_batch(rows, indices)?;
    let times = Arc::clone(some.column(0));
    Ok((some, times))
}

/// What one rule has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

/// The rules, their tables and the state of their windows.
#[derive(Debug)]
pub struct Evaluator {
    rules: Vec<EvaluatedRule>,
    tables: Vec<TableOfRules>,
    routers: [Router; 4],
    /// Ticks to come, by time; rules of one instant in order of names.
    schedule: BTreeMap<TimestampMs, Vec<RuleIndex>>,
}

#[derive(Debug)]
struct EvaluatedRule {
    rule: Arc<Rule>,
    /// Per aggregate of the rule's plan: the table, and which of its columns are the rule's.
    leaves: Vec<(usize, Vec<usize>)>,
    stats: RuleStats,
    last_error: Option<String>,
    judge: Option<Judge>,
}

impl EvaluatedRule {
    fn ingested(&mut self, done: &Result<Ingested, DataFusionError>) {
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
}

#[derive(Debug)]
struct TableOfRules {
    table: AggregateTable,
    kind: Kind,
    rules: Vec<RuleIndex>,
}

impl Evaluator {
    /// An evaluator with empty windows. Rules come sorted by name.
    pub fn new(rules: Vec<Arc<Rule>>) -> Result<Self, DataFusionError> {
        let mut evaluator =
            Self { rules: Vec::new(), tables: Vec::new(), routers: Default::default(), schedule: BTreeMap::new() };
        let mut known: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for (index, rule) in rules.into_iter().enumerate() {
            let mut leaves = Vec::new();
            for source in &rule.plan.aggregates {
                let pane_ms = rule.front.every_ms;
                let at = match known.get(&(source.input_key.clone(), pane_ms)) {
                    Some(at) => *at,
                    None => {
                        let table = AggregateTable::new(source, pane_ms)?;
                        evaluator.tables.push(TableOfRules { table, kind: source.kind, rules: Vec::new() });
                        let at = evaluator.tables.len() - 1;
                        evaluator.routers[source.kind as usize].add(at, source.names.as_ref());
                        known.insert((source.input_key.clone(), pane_ms), at);
                        at
                    }
                };
                let shared = &mut evaluator.tables[at];
                if !shared.rules.contains(&index) {
                    shared.rules.push(index);
                }
                leaves.push((at, shared.table.join(&source.columns, rule.front.window_ms)));
            }
            let judge = Judge::new(&rule.front);
            evaluator.rules.push(EvaluatedRule { rule, leaves, stats: RuleStats::default(), last_error: None, judge });
        }
        Ok(evaluator)
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

    /// What the windows hold now: groups, panes, bytes.
    pub fn size(&self) -> (usize, usize, usize) {
        self.tables.iter().fold((0, 0, 0), |(groups, panes, bytes), shared| {
            (groups + shared.table.groups(), panes + shared.table.panes(), bytes + shared.table.bytes())
        })
    }

    /// The other rules that share a table with this one.
    pub fn shared_with(&self, index: RuleIndex) -> Vec<&str> {
        let tables = self.rules[index].leaves.iter().map(|(table, _)| &self.tables[*table]);
        let mut names: Vec<&str> = tables
            .flat_map(|shared| &shared.rules)
            .filter(|other| **other != index)
            .map(|other| self.rules[*other].rule.name())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Counts rows `from[k]..to[k]` of each table of the batch in.
    ///
    /// A table that cannot count its rows in (a cast that fails, say) loses that micro-batch, counted for each of its rules; the
    /// others go on.
    pub fn ingest(&mut self, batch: &EventBatch, from: [usize; 4], to: [usize; 4]) {
        for kind in Kind::ALL {
            let (start, end) = (from[kind as usize], to[kind as usize]);
            let router = &self.routers[kind as usize];
            if start == end || router.is_empty() {
                continue;
            }
            let rows = batch.tables[kind as usize].slice(start, end - start);
            let times = Arc::clone(rows.column(0));
            let name_column = (kind == Kind::Metric).then_some(1);
            let (tables, rules) = (&mut self.tables, &mut self.rules);
            router.route(&rows, name_column, |at, share| {
                let shared = &mut tables[at];
                debug_assert_eq!(shared.kind, kind, "the router leads rows to tables of their stream");
                let done = match share {
                    Share::All => shared.table.ingest(&rows, &times),
                    Share::Some(indices) => some_of(&rows, indices).and_then(|(some, times)| shared.table.ingest(&some, &times)),
                };
                for index in &shared.rules {
                    rules[*index].ingested(&done);
                }
            });
        }
    }

    /// Sets each rule's first tick: the first multiple of its `every` after `start`.
    pub fn start(&mut self, start: TimestampMs) {
        for (index, evaluated) in self.rules.iter().enumerate() {
            let every_ms = evaluated.rule.front.every_ms;
            self.schedule.entry(align_down(start, every_ms) + every_ms).or_default().push(index);
        }
    }

    /// Whether [`Self::start`] was called.
    pub fn started(&self) -> bool {
        self.is_empty() || !self.schedule.is_empty()
    }

    /// The instant of the next tick.
    pub fn next_tick(&self) -> Option<TimestampMs> {
        self.schedule.first_key_value().map(|(at, _)| *at)
    }

    /// The rules to evaluate at the next tick, which must be `at`; schedules the tick after.
    pub fn due(&mut self, at: TimestampMs) -> Vec<RuleIndex> {
        let Some(mut due) = self.schedule.remove(&at) else { return Vec::new() };
        due.sort_unstable();
        for index in &due {
            let next = at + self.rules[*index].rule.front.every_ms;
            self.schedule.entry(next).or_default().push(*index);
        }
        due
    }

    /// Evaluates a rule over the window that ends at `at`. An evaluation that fails is counted and finds nothing.
    pub fn tick(&mut self, index: RuleIndex, at: TimestampMs) -> Vec<Breach> {
        let window: Range<TimestampMs> = at - self.rules[index].rule.front.window_ms..at;
        let answer = self.seal(index, at).and_then(|()| {
            let evaluated = &self.rules[index];
            let silent = evaluated.leaves.iter().all(|(table, _)| !self.tables[*table].table.has_rows(&window));
            if silent && evaluated.rule.plan.is_grouped() {
                return Ok(Vec::new());
            }
            evaluate(&evaluated.rule, &evaluated.leaves, &self.tables, &window)
        });
        let evaluated = &mut self.rules[index];
        evaluated.stats.ticks += 1;
        match answer {
            Ok(rows) => {
                let breaches = match &mut evaluated.judge {
                    Some(judge) => {
                        let refused = judge.refused();
                        let breaches = judge.judge(at, rows);
                        evaluated.stats.overflow += judge.refused() - refused;
                        breaches
                    }
                    None => rows,
                };
                evaluated.stats.breaches += breaches.len() as u64;
                breaches
            }
            Err(error) => {
                evaluated.failed(&error);
                Vec::new()
            }
        }
    }

    fn seal(&mut self, index: RuleIndex, at: TimestampMs) -> Result<(), DataFusionError> {
        self.rules[index].leaves.iter().try_for_each(|(table, _)| self.tables[*table].table.seal(at))
    }

    /// Whether no window holds anything, and nobody is missed who was there once.
    pub fn is_blank(&self) -> bool {
        let idle = |evaluated: &EvaluatedRule| evaluated.judge.as_ref().is_none_or(Judge::is_idle);
        self.tables.iter().all(|shared| shared.table.panes() == 0) && self.rules.iter().all(idle)
    }

    /// Leaves out the ticks before `at`: for stretches of time in which nothing is in any window, however long.
    pub fn skip_to(&mut self, at: TimestampMs) {
        for (next, rules) in std::mem::take(&mut self.schedule) {
            for index in rules {
                let every_ms = self.rules[index].rule.front.every_ms;
                let first = align_down(at - 1, every_ms) + every_ms;
                self.schedule.entry(next.max(first)).or_default().push(index);
            }
        }
    }
}

fn evaluate(
    rule: &Rule,
    leaves: &[(usize, Vec<usize>)],
    tables: &[TableOfRules],
    window: &Range<TimestampMs>,
) -> Result<Vec<Breach>, DataFusionError> {
    let sources = rule.plan.aggregates.iter();
    let rows = leaves
        .iter()
        .zip(sources)
        .map(|((table, mine), source)| tables[*table].table.evaluate(window, mine, &source.leaf_schema));
    let result = rule.plan.rest.run(rows.collect::<Result<Vec<_>, _>>()?)?;
    Ok(rule.output.breaches(&result, window.end)?)
}
