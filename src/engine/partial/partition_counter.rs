//! The worker's half: counts events in and says what it has counted.

use std::collections::BTreeMap;

use datafusion::common::{DataFusionError, Result};

use crate::engine::EngineParams;
use crate::engine::partial::{Marked, Part};
use crate::engine::reload::NextRules;
use crate::engine::self_alert::SelfAlert;
use crate::engine::topology::tell;
use crate::model::event::{EventBatch, SourceId};
use crate::rule::Rule;
use crate::topology::learn::LearnParams;
use crate::window::evaluator::Evaluator;

/// Counts events in. It knows nothing of time, and forgets what it has said.
pub struct Folder {
    evaluator: Evaluator,
    learn: LearnParams,
    part: Part,
    last: Option<Marked>,
    /// The part's number of each source, by the batches' ids.
    sources: BTreeMap<SourceId, u16>,
    rows: usize,
    /// Nobody has heard yet which rules it counts for.
    renewed: bool,
}

impl Folder {
    /// A folder for these rules, which has read up to message `after` of the stream that was made at `born_ns`.
    ///
    /// # Errors
    ///
    /// Those of an engine: a rule's aggregates cannot be set up.
    pub fn new(rules: Vec<Rule>, params: &EngineParams, born_ns: i64, after: u64) -> Result<Self, DataFusionError> {
        Ok(Self {
            evaluator: NextRules::that_only_count(rules, params)?.into_evaluator(),
            learn: params.learn.clone(),
            part: empty(born_ns, after),
            last: None,
            sources: BTreeMap::new(),
            rows: 0,
            renewed: true,
        })
    }

    /// Counts for other rules from here on; what was counted must have been handed on. Batches after this hold the label columns
    /// of the new rules, which are such that only count.
    pub fn set_rules(&mut self, next: NextRules) {
        self.evaluator = next.into_evaluator();
        self.renewed = true;
    }

    /// Counts messages in. `sequences` are their places in the stream, in order; all lie after what was counted before.
    pub fn take_in(&mut self, batch: &EventBatch, sequences: &[u64]) {
        let (nothing, all) = ([0; 4], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
        let mut alerts_done = 0;
        for (mark, sequence) in batch.messages.iter().zip(sequences) {
            let number = match self.sources.get(&mark.source) {
                Some(known) => *known,
                None => {
                    let number = self.part.sources.len() as u16;
                    let name = batch.sources.get(usize::from(mark.source)).cloned().unwrap_or_default();
                    self.part.sources.push(name);
                    self.sources.insert(mark.source, number);
                    number
                }
            };
            let alerts = (mark.alerts_end - alerts_done) as u32;
            alerts_done = mark.alerts_end;
            self.part.mark(&mut self.last, mark, *sequence, number, alerts);
            self.part.until = *sequence;
        }
        self.part.messages += batch.messages.len() as u64;
        self.part.events += batch.events() as u64;
        self.part.alerts.extend(batch.alerts.iter().cloned());
        tell(&mut self.part.calls, &self.learn, batch, nothing, all);
        self.evaluator.ingest(batch, nothing, all);
        self.rows += all.iter().sum::<usize>();
    }

    /// Has something to say that no event tells.
    pub fn own(&mut self, alert: SelfAlert) {
        self.part.own.push(alert);
    }

    /// Events counted in and not handed on.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing to hand on.
    pub fn is_empty(&self) -> bool {
        self.part.messages == 0
    }

    /// Up to where the last part went.
    pub fn after(&self) -> u64 {
        self.part.after
    }

    /// Hands on what was counted since the last time, having read up to message `until`, and how long it has been silent since.
    ///
    /// # Errors
    ///
    /// A state that cannot be written as Arrow: a defect.
    pub fn part(&mut self, until: u64, silence_ms: Option<i64>) -> Result<Part> {
        let windows = if self.rows > 0 || self.renewed { Some(self.evaluator.export()?) } else { None };
        let until = until.max(self.part.until);
        (self.rows, self.last, self.renewed) = (0, None, false);
        self.sources.clear();
        let next = empty(self.part.born_ns, until);
        let part = std::mem::replace(&mut self.part, next);
        Ok(Part { until, silence_ms, windows, ..part })
    }
}

fn empty(born_ns: i64, after: u64) -> Part {
    Part {
        born_ns,
        after,
        until: after,
        silence_ms: None,
        messages: 0,
        events: 0,
        sources: Vec::new(),
        marks: Vec::new(),
        alerts: Vec::new(),
        own: Vec::new(),
        calls: Default::default(),
        windows: None,
    }
}
