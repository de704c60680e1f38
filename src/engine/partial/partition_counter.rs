//! The worker's half: counts events and hands on what it counted.

use std::collections::BTreeMap;

use datafusion::common::{DataFusionError, Result};

use crate::engine::next_rules::NextRules;
use crate::engine::params::EngineParams;
use crate::engine::partial::result::{MessageTimes, PartialResult};
use crate::engine::self_alert::SelfAlert;
use crate::engine::topology_calls::report_calls;
use crate::model::event::{EventBatch, SourceId, TABLES};
use crate::rule::Rule;
use crate::topology::learn::LearnParams;
use crate::window::evaluator::Evaluator;

/// Counts events. It knows nothing of time, and forgets what it has handed on.
pub struct PartitionCounter {
    evaluator: Evaluator,
    learn: LearnParams,
    next: PartialResult,
    last: Option<MessageTimes>,
    /// The result's number of each source, by the batches' ids.
    sources: BTreeMap<SourceId, u16>,
    rows: usize,
    /// The engine does not know yet for which rules it counts.
    rules_changed: bool,
}

impl PartitionCounter {
    /// A counter for these rules, which has read up to message `after` of the stream that was created at `born_ns`.
    ///
    /// # Errors
    ///
    /// Those of an engine: a rule's aggregates cannot be set up.
    pub fn new(rules: Vec<Rule>, params: &EngineParams, born_ns: i64, after: u64) -> Result<Self, DataFusionError> {
        Ok(Self {
            evaluator: NextRules::that_only_count(rules, params)?.into_evaluator(),
            learn: params.learn.clone(),
            next: empty(born_ns, after),
            last: None,
            sources: BTreeMap::new(),
            rows: 0,
            rules_changed: true,
        })
    }

    /// Counts for other rules from here on. Call it only when everything counted was handed on. Batches after this hold the label
    /// columns of the new rules.
    pub fn set_rules(&mut self, next: NextRules) {
        self.evaluator = next.into_evaluator();
        self.rules_changed = true;
    }

    /// Counts messages. `sequences` are their positions in the stream, in order, all after what was counted before.
    pub fn ingest(&mut self, batch: &EventBatch, sequences: &[u64]) {
        let (nothing, all) = ([0; TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
        let mut alerts_done = 0;
        let mut commands = batch.commands.iter().peekable();
        for (message, (mark, sequence)) in batch.messages.iter().zip(sequences).enumerate() {
            let number = match self.sources.get(&mark.source) {
                Some(known) => *known,
                None => {
                    let number = self.next.sources.len() as u16;
                    let name = batch.sources.get(usize::from(mark.source)).cloned().unwrap_or_default();
                    self.next.sources.push(name);
                    self.sources.insert(mark.source, number);
                    number
                }
            };
            let alerts = (mark.alerts_end - alerts_done) as u32;
            alerts_done = mark.alerts_end;
            let before = self.next.commands.len();
            while let Some((_, command)) = commands.next_if(|(of, _)| *of == message) {
                self.next.commands.push(command.clone());
            }
            let commands = (self.next.commands.len() - before) as u32;
            self.next.mark(&mut self.last, mark, *sequence, number, (alerts, commands));
            self.next.until = *sequence;
        }
        self.next.messages += batch.messages.len() as u64;
        self.next.events += batch.events() as u64;
        self.next.alerts.extend(batch.alerts.iter().cloned());
        report_calls(&mut self.next.calls, &self.learn, batch, nothing, all);
        self.evaluator.ingest(batch, nothing, all);
        self.rows += all.iter().sum::<usize>();
    }

    /// Adds an alert of the worker itself.
    pub fn add_self_alert(&mut self, alert: SelfAlert) {
        self.next.self_alerts.push(alert);
    }

    /// Events counted and not handed on.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing to hand on.
    pub fn is_empty(&self) -> bool {
        self.next.messages == 0
    }

    /// Where the last result ended.
    pub fn after(&self) -> u64 {
        self.next.after
    }

    /// Hands on what was counted since the last time. The worker has read up to message `until`, and nothing came for `silence_ms`.
    ///
    /// # Errors
    ///
    /// A state that cannot be written as Arrow: a defect.
    pub fn flush(&mut self, until: u64, silence_ms: Option<i64>) -> Result<PartialResult> {
        let windows = if self.rows > 0 || self.rules_changed { Some(self.evaluator.take_partial()?) } else { None };
        let until = until.max(self.next.until);
        (self.rows, self.last, self.rules_changed) = (0, None, false);
        self.sources.clear();
        let next = empty(self.next.born_ns, until);
        let result = std::mem::replace(&mut self.next, next);
        Ok(PartialResult { until, silence_ms, windows, ..result })
    }
}

fn empty(born_ns: i64, after: u64) -> PartialResult {
    PartialResult {
        born_ns,
        after,
        until: after,
        silence_ms: None,
        messages: 0,
        events: 0,
        sources: Vec::new(),
        marks: Vec::new(),
        alerts: Vec::new(),
        commands: Vec::new(),
        self_alerts: Vec::new(),
        calls: Default::default(),
        windows: None,
    }
}
