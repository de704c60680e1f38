//! Floor 3: the engine, a function of its input. It owns all state, reads no clock and does no I/O: the same messages in the
//! same order give the same revisions, live, replayed or batched anew.
//!
//! Within one step, time moves from message to message. Whenever the watermark passes instants at which something is due (a
//! rule's tick, another system's alert, a decision), they are handled in order of time, and at one instant: rules by name, then
//! alerts of others, then the book of incidents once.

pub mod partial;
pub mod reload;
pub mod self_alert;
pub mod snapshot;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use datafusion::common::DataFusionError;

use crate::alert::external::ExternalAlerts;
use crate::alert::lifecycle::{AlertCounts, AlertPolicy, RuleAlerts};
use crate::alert::{Texts, Transition};
use crate::engine::partial::Part;
use crate::engine::partial::partition_merge::Lanes;
use crate::engine::self_alert::SelfAlert;
use crate::incident::invariants::Invariants;
use crate::incident::notify::NotifyParams;
use crate::incident::store::{IncidentCounts, IncidentStore};
use crate::incident::{CorrelationParams, Revision};
use crate::model::event::{EventBatch, ExternalAlert};
use crate::model::fingerprint::Fingerprint;
use crate::model::limits::{ALERTS_PER_RULE_MAX, QUARANTINE_MS};
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::output_columns::Breach;
use crate::rule::definition::window_spec::WindowSpec;
use crate::topology::Topology;
use crate::topology::definition::{TopologyDefinition, TopologySource};
use crate::topology::learn::LearnParams;
use crate::topology::live::LiveTopology;
use crate::window::WindowLimits;
use crate::window::evaluator::{CostClock, Evaluator, RuleStats};
use crate::window::time::watermark::{Watermark, WatermarkParams};

/// What the engine is set to. Times in milliseconds of event time.
#[derive(Clone, Debug)]
pub struct EngineParams {
    /// How much later than the latest event an event may come.
    pub lateness_ms: i64,
    /// After how long a source that sends nothing is not waited for.
    pub idle_ms: i64,
    /// How far a source that lags behind the others may hold time back; 0 for not at all.
    pub source_wait_ms: i64,
    /// After how long another system's alert counts as resolved if nothing is heard of it.
    pub external_expiry_ms: i64,
    /// How alerts are tied.
    pub correlation: CorrelationParams,
    /// When people are told.
    pub notify: NotifyParams,
    /// What is learned of the topology.
    pub learn: LearnParams,
    /// What one rule may hold.
    pub limits: WindowLimits,
    /// Alerts that one rule may have at once.
    pub alerts_max: usize,
    /// Measures what rules cost; no result depends on it.
    pub clock: CostClock,
}

impl Default for EngineParams {
    fn default() -> Self {
        Self {
            lateness_ms: 10_000,
            idle_ms: 30_000,
            source_wait_ms: 30_000,
            external_expiry_ms: 4 * 3_600_000,
            correlation: CorrelationParams::default(),
            notify: NotifyParams::default(),
            learn: LearnParams::default(),
            limits: WindowLimits::default(),
            alerts_max: ALERTS_PER_RULE_MAX,
            clock: || 0,
        }
    }
}

/// What comes of other systems within this time is looked at together, at its end.
const TOGETHER_MS: i64 = 1_000;

/// What the engine takes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// Messages, decoded.
    Events(&'a EventBatch),
    /// What the worker of a partition made of messages, and where that was found.
    Part {
        /// Which, from 0.
        partition: usize,
        /// To be told again after a restart.
        place: u64,
        /// What it says.
        part: &'a Part,
    },
    /// Nothing has arrived for this long, and nothing waits to be read.
    Idle {
        /// Since the last message.
        silence_ms: i64,
    },
    /// A source tells other parts of the topology than before.
    Topology {
        /// Which.
        source: TopologySource,
        /// All that it tells.
        parts: TopologyDefinition,
    },
    /// Squelch itself has something to say.
    Own(SelfAlert),
    /// A rule costs more than it may, whoever measured it: it rests.
    Quarantine {
        /// Its name.
        rule: &'a str,
        /// What it took too much of.
        reason: &'a str,
    },
    /// There will be no more messages.
    End,
}

/// What the engine has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStats {
    /// Events taken in.
    pub events: u64,
    /// Messages taken in.
    pub messages: u64,
    /// Alerts of other systems that came later than the allowed lateness; they count from when they came.
    pub late_alerts: u64,
    /// What became of incidents.
    pub book: IncidentCounts,
}

/// The engine.
pub struct Engine {
    watermark: Watermark,
    /// The names of sources, by id.
    sources: Arc<Vec<String>>,
    /// Where others read the events.
    lanes: Lanes,
    evaluator: Evaluator,
    alerts: Vec<RuleAlerts>,
    external: ExternalAlerts,
    /// Alerts of other systems that the watermark has not reached: by time; at one instant what begins comes before what ends.
    awaited: BTreeMap<(TimestampMs, bool, Fingerprint, Severity), ExternalAlert>,
    topology: LiveTopology,
    book: IncidentStore,
    limits: WindowLimits,
    alerts_max: usize,
    /// The last instant handled.
    handled: TimestampMs,
    stats: EngineStats,
    /// Builds with debug assertions ask themselves.
    invariants: Invariants,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(rules: Vec<Rule>, topology: Topology, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::of(rules.into_iter().map(Arc::new).collect(), topology, params)
    }

    /// The same over rules that other engines have too: their planning is what takes long.
    pub fn of(rules: Vec<Arc<Rule>>, topology: Topology, params: &EngineParams) -> Result<Self, DataFusionError> {
        let alerts = rules.iter().map(|rule| RuleAlerts::new(policy_of(rule, params.alerts_max))).collect();
        let topology = LiveTopology::new(topology, params.learn.clone());
        Ok(Self {
            watermark: Watermark::new(WatermarkParams {
                lateness_ms: params.lateness_ms,
                idle_ms: params.idle_ms,
                source_wait_ms: params.source_wait_ms,
            }),
            sources: Arc::default(),
            lanes: Lanes::default(),
            evaluator: Evaluator::new(rules, params.limits, params.clock)?,
            alerts,
            external: ExternalAlerts::new(params.external_expiry_ms),
            awaited: BTreeMap::new(),
            book: IncidentStore::new(params.correlation.clone(), params.notify.clone(), Arc::clone(topology.current())),
            topology,
            limits: params.limits,
            alerts_max: params.alerts_max,
            handled: TimestampMs::MIN,
            stats: EngineStats::default(),
            invariants: Invariants::default(),
        })
    }

    /// Takes input in and returns what follows from it, in order.
    pub fn step(&mut self, input: Input<'_>) -> Vec<Revision> {
        let mut revisions = Vec::new();
        match input {
            Input::Events(batch) => self.take_in(batch, &mut revisions),
            Input::Part { partition, place, part } => self.take_part(partition, place, part, &mut revisions),
            Input::Idle { silence_ms } => {
                self.watermark.idle(silence_ms);
                self.advance(&mut revisions);
            }
            Input::Topology { source, parts } => self.set_topology(source, parts),
            Input::Own(alert) => self.raise(alert),
            Input::Quarantine { rule, reason } => self.quarantine(rule, reason),
            Input::End => {
                self.watermark.end();
                self.advance(&mut revisions);
            }
        }
        self.watch(&revisions);
        revisions
    }

    fn watch(&mut self, revisions: &[Revision]) {
        if cfg!(debug_assertions)
            && let Err(what) = self.invariants.see(revisions)
        {
            unreachable!("{what}");
        }
    }

    fn quarantine(&mut self, rule: &str, reason: &str) {
        let index = (0..self.evaluator.len()).find(|index| self.evaluator.rule(*index).name() == rule);
        if let (Some(index), Some(now)) = (index, self.watermark.now())
            && self.evaluator.quarantine(index).is_none()
        {
            self.evaluator.quarantine_until(index, now + QUARANTINE_MS, reason);
        }
    }

    fn take_in(&mut self, batch: &EventBatch, revisions: &mut Vec<Revision>) {
        self.sources = Arc::clone(&batch.sources);
        let mut rows_done = [0; 4];
        let mut alerts_done = 0;
        for mark in &batch.messages {
            for alert in &batch.alerts[alerts_done..mark.alerts_end] {
                self.await_alert(alert.clone());
            }
            alerts_done = mark.alerts_end;
            self.watermark.message(mark);
            self.stats.messages += 1;
            // Rows wait for their batch until time passes something that is due: only then does it matter what was counted in.
            if self.is_due() {
                self.learn(batch, rows_done, mark.rows_end);
                self.evaluator.ingest(batch, rows_done, mark.rows_end);
                rows_done = mark.rows_end;
                self.advance(revisions);
            }
        }
        let all = std::array::from_fn(|kind| batch.tables[kind].num_rows());
        self.learn(batch, rows_done, all);
        self.evaluator.ingest(batch, rows_done, all);
        self.stats.events += batch.events() as u64;
    }

    fn await_alert(&mut self, mut alert: ExternalAlert) {
        if alert.ts <= self.handled {
            self.stats.late_alerts += 1;
            alert.ts = self.handled + 1;
        }
        let fingerprint = Fingerprint::new(&alert.name, &alert.labels);
        self.awaited.insert((alert.ts, !alert.firing, fingerprint, alert.severity), alert);
    }

    fn is_due(&self) -> bool {
        let Some(now) = self.watermark.now() else { return false };
        !self.evaluator.started() || self.evaluator.passes(now) || self.next_due().is_some_and(|at| at <= now)
    }

    /// The next instant at which something happens by itself.
    fn next_due(&self) -> Option<TimestampMs> {
        self.evaluator.next_tick().into_iter().chain(self.next_due_but_ticks()).min()
    }

    fn next_due_but_ticks(&self) -> Option<TimestampMs> {
        // Alerts of one second are one event: in a storm that is sixty decisions a minute and not as many as there are alerts.
        let awaited = self.awaited.first_key_value().map(|((at, ..), _)| align_down(*at - 1, TOGETHER_MS) + TOGETHER_MS);
        [awaited, self.external.next_expiry(), self.book.wake_at()]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.handled.saturating_add(1)))
    }

    /// Handles every instant up to the watermark.
    fn advance(&mut self, revisions: &mut Vec<Revision>) {
        let Some(now) = self.watermark.now() else { return };
        if !self.evaluator.started() {
            self.evaluator.start(now);
        }
        self.time_raised(now);
        while let Some(at) = self.next_due().filter(|at| *at <= now) {
            if self.is_quiet() {
                let until = self.next_due_but_ticks().map_or(now, |other| other.min(now));
                if until > at {
                    self.evaluator.skip_to(until);
                    continue;
                }
            }
            self.handle(at, revisions);
        }
        self.evaluator.pass(now);
        // Where nothing happens, what was seen must not pile up.
        self.learn_until(now);
    }

    /// Whether ticks can change nothing until another event comes: every window is empty and no rule's alert is alive.
    fn is_quiet(&self) -> bool {
        let alive = |index: usize, alerts: &RuleAlerts| {
            let (pending, firing) = alerts.census();
            pending > 0 || (firing > 0 && self.evaluator.rule(index).plan.is_grouped())
        };
        self.evaluator.is_blank() && !self.alerts.iter().enumerate().any(|(index, alerts)| alive(index, alerts))
    }

    fn handle(&mut self, at: TimestampMs, revisions: &mut Vec<Revision>) {
        self.learn_until(at);
        let mut transitions = Vec::new();
        for index in self.evaluator.due(at) {
            // A window that ends before the first event has no answer, not even that nothing happened.
            if let Some(first) = self.watermark.min_ts().filter(|first| at > *first) {
                let Some(breaches) = self.evaluator.tick(index, at, first) else { continue };
                let rule = self.evaluator.rule(index);
                transitions
                    .extend(self.alerts[index].evaluate(at, breaches, &|breach, severity| texts_of(rule, breach, severity)));
                if rule.front.window_spec == WindowSpec::Instant && self.alerts[index].census() != (0, 0) {
                    self.evaluator.again(index, at);
                }
            }
        }
        transitions.extend(self.hear(at));
        transitions.extend(self.external.expire(at));
        self.evaluator.clean_up();
        self.handled = at;
        if !transitions.is_empty() || self.book.wake_at().is_some_and(|wake| wake <= at) {
            revisions.extend(self.apply(at, transitions));
        }
    }

    /// Tells the book.
    fn apply(&mut self, at: TimestampMs, transitions: Vec<Transition>) -> Vec<Revision> {
        let Self { alerts, book, .. } = self;
        let pending = |env: &str| alerts.iter().flat_map(|alerts| alerts.pending(env)).cloned().collect();
        book.apply(at, transitions, &pending)
    }

    fn hear(&mut self, at: TimestampMs) -> Vec<Transition> {
        let mut transitions = Vec::new();
        while let Some(entry) = self.awaited.first_entry().filter(|entry| entry.key().0 <= at) {
            let ((_, _, fingerprint, _), alert) = entry.remove_entry();
            transitions.extend(self.external.hear(fingerprint, alert));
        }
        transitions
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Option<TimestampMs> {
        self.watermark.now()
    }

    /// The names of sources of events, by id.
    pub fn source_names(&self) -> &Arc<Vec<String>> {
        &self.sources
    }

    /// How many sources of events are active, and which of them lags most behind the broker's clock, by how much.
    pub fn sources(&self) -> (usize, Option<(&str, i64)>) {
        let (active, slowest) = self.watermark.sources();
        let named = |(id, lag)| Some((self.sources.get(usize::from(id))?.as_str(), lag));
        (active, slowest.and_then(named))
    }

    /// What it has done so far.
    pub fn stats(&self) -> EngineStats {
        EngineStats { book: self.book.counts(), ..self.stats }
    }

    /// Incidents open now.
    pub fn open_incidents(&self) -> usize {
        self.book.open()
    }

    /// Alerts pending and firing now, other systems' among the latter.
    pub fn alert_census(&self) -> (usize, usize) {
        let mine = self.alerts.iter().map(RuleAlerts::census).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (mine.0, mine.1 + self.external.firing())
    }

    /// Groups, panes and bytes in all windows now.
    pub fn window_size(&self) -> (usize, usize, usize) {
        self.evaluator.size()
    }

    /// Each rule with what it has done and what could not become an alert.
    pub fn rules(&self) -> impl Iterator<Item = (&Rule, RuleStats, AlertCounts)> {
        (0..self.evaluator.len())
            .map(|index| (self.evaluator.rule(index).as_ref(), self.evaluator.stats(index), self.alerts[index].counts()))
    }

    /// The evaluator, for `explain`.
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }
}

fn policy_of(rule: &Rule, alerts_max: usize) -> AlertPolicy {
    let front = &rule.front;
    AlertPolicy {
        entity: front.entity.clone(),
        peer: front.peer.clone(),
        period_ms: front.every_ms,
        window_ms: front.window_ms,
        for_ms: front.for_ms,
        keep_firing_for_ms: front.keep_firing_for_ms,
        alerts_max: alerts_max.min(ALERTS_PER_RULE_MAX),
        ..AlertPolicy::new(&front.rule, front.severity)
    }
}

fn texts_of(rule: &Rule, breach: &Breach, severity: Severity) -> Texts {
    let row = rule.templates.row(breach, severity.as_str());
    Texts {
        summary: rule.templates.summary(&row),
        description: rule.templates.description(&row),
        runbook: rule.front.runbook.clone(),
    }
}
