//! The engine's state, and the step from one input to the revisions that follow.
//!
//! Within one step, time moves from message to message. Whenever the watermark passes instants at which something is due (a
//! rule's tick, another system's alert, a decision to notify), they are handled in order of time. At one instant rules come first,
//! by name, then alerts of other systems, then all incidents once.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::DataFusionError;

use crate::alert::external::ExternalAlerts;
use crate::alert::lifecycle::{AlertCounts, AlertPolicy, RuleAlerts};
use crate::alert::{EndReason, Texts, Transition};
use crate::engine::input::Input;
use crate::engine::params::{EngineParams, EngineStats};
use crate::engine::partial::partition_merge::PartitionMerge;
use crate::engine::teams::Teams;
use crate::incident::command_answer::CommandAnswer;
use crate::incident::invariants::Invariants;
use crate::incident::revision::Revision;
use crate::incident::store::IncidentStore;
use crate::model::command::Command;
use crate::model::event::{EventBatch, ExternalAlert, TABLES};
use crate::model::fingerprint::Fingerprint;
use crate::model::limits::{ALERTS_PER_RULE_MAX, QUARANTINE_MS};
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::output_columns::Breach;
use crate::rule::definition::window_spec::WindowSpec;
use crate::rule::sql::value_direction::lower_is_worse;
use crate::topology::Topology;
use crate::topology::live::LiveTopology;
use crate::window::evaluator::Evaluator;
use crate::window::limits::WindowLimits;
use crate::window::rule_stats::RuleStats;
use crate::window::time::watermark::{Watermark, WatermarkParams};

/// Other systems' alerts of one such interval are handled together, at its end: in a storm that is sixty decisions a minute, and not
/// as many as there are alerts.
const EXTERNAL_BATCH_MS: i64 = 1_000;

/// All state of a run. See the module for how time moves.
pub struct Engine {
    pub(super) watermark: Watermark,
    /// The names of sources, by id.
    pub(super) sources: Arc<Vec<String>>,
    /// The partial results of partitions, where workers read the events.
    pub(super) partitions: PartitionMerge,
    pub(super) evaluator: Evaluator,
    pub(super) alerts: Vec<RuleAlerts>,
    pub(super) external: ExternalAlerts,
    /// Alerts of other systems that the watermark has not reached, by time. At one instant starts come before ends.
    pub(super) awaited_alerts: BTreeMap<(TimestampMs, bool, Fingerprint, Severity), ExternalAlert>,
    pub(super) topology: LiveTopology,
    pub(super) incidents: IncidentStore,
    pub(super) limits: WindowLimits,
    pub(super) alerts_max: usize,
    /// Everything up to here has been handled.
    pub(super) handled_until: TimestampMs,
    pub(super) stats: EngineStats,
    /// Commands that came before the first event.
    pub(super) waiting_commands: Vec<Command>,
    /// Answers to commands that nobody asked for yet.
    pub(super) answers: Vec<CommandAnswer>,
    /// Who owns which entity.
    pub(super) teams: Teams,
    /// Checked in builds with debug assertions.
    pub(super) invariants: Invariants,
}

impl Engine {
    /// An engine without history.
    pub fn new(rules: Vec<Rule>, topology: Topology, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::of(rules.into_iter().map(Arc::new).collect(), topology, params)
    }

    /// The same over shared rules: planning is what takes long, so engines may share it.
    pub fn of(rules: Vec<Arc<Rule>>, topology: Topology, params: &EngineParams) -> Result<Self, DataFusionError> {
        let alerts = rules.iter().map(|rule| RuleAlerts::new(policy_of(rule, params.alerts_max))).collect();
        let topology = LiveTopology::new(topology, params.learn.clone());
        let teams = Teams::of(&rules);
        Ok(Self {
            watermark: Watermark::new(WatermarkParams {
                lateness_ms: params.lateness_ms,
                idle_ms: params.idle_ms,
                source_wait_ms: params.source_wait_ms,
            }),
            sources: Arc::default(),
            partitions: PartitionMerge::default(),
            evaluator: Evaluator::new(rules, params.limits, params.clock)?,
            alerts,
            external: ExternalAlerts::new(params.external_expiry_ms, params.external_entity.clone()),
            awaited_alerts: BTreeMap::new(),
            incidents: IncidentStore::new(params.correlation.clone(), params.notify.clone(), Arc::clone(topology.current())),
            topology,
            limits: params.limits,
            alerts_max: params.alerts_max,
            handled_until: TimestampMs::MIN,
            stats: EngineStats::default(),
            waiting_commands: Vec::new(),
            answers: Vec::new(),
            teams,
            invariants: Invariants::default(),
        })
    }

    /// Applies one input and returns the revisions that follow from it, in order.
    pub fn step(&mut self, input: Input<'_>) -> Vec<Revision> {
        let mut revisions = Vec::new();
        match input {
            Input::Events(batch) => self.ingest(batch, &mut revisions),
            Input::Partial { partition, position, partial } => self.ingest_partial(partition, position, partial, &mut revisions),
            Input::Idle { silence_ms } => {
                self.watermark.observe_silence(silence_ms);
                self.advance(&mut revisions);
            }
            Input::Topology { source, parts } => self.set_topology(source, parts),
            Input::Rules(next) => self.set_rules(*next, &mut revisions),
            Input::SelfAlert(alert) => self.raise(alert),
            Input::Quarantine { rule, reason } => self.quarantine(rule, reason, &mut revisions),
            Input::End => {
                self.watermark.end();
                self.advance(&mut revisions);
            }
        }
        self.check_invariants(&revisions);
        self.teams.add_to(&mut revisions);
        revisions
    }

    pub(super) fn check_invariants(&mut self, revisions: &[Revision]) {
        if cfg!(debug_assertions)
            && let Err(what) = self.invariants.see(revisions)
        {
            unreachable!("{what}");
        }
    }

    /// Suspends a rule. Its alerts end: nobody looks any more whether they hold.
    fn quarantine(&mut self, rule: &str, reason: &str, revisions: &mut Vec<Revision>) {
        let index = (0..self.evaluator.len()).find(|index| self.evaluator.rule(*index).name() == rule);
        if let (Some(index), Some(now)) = (index, self.watermark.now())
            && self.evaluator.quarantine(index).is_none()
        {
            self.evaluator.quarantine_until(index, now + QUARANTINE_MS, reason);
            let ended = self.alerts[index].end_all(self.handled_until, EndReason::RuleSuspended);
            if !ended.is_empty() {
                revisions.extend(self.apply(self.handled_until, ended));
            }
        }
    }

    fn ingest(&mut self, batch: &EventBatch, revisions: &mut Vec<Revision>) {
        self.sources = Arc::clone(&batch.sources);
        let mut rows_done = [0; TABLES];
        let mut alerts_done = 0;
        let mut commands = batch.commands.iter().peekable();
        for (message, mark) in batch.messages.iter().enumerate() {
            for alert in &batch.alerts[alerts_done..mark.alerts_end] {
                self.await_alert(alert.clone());
            }
            alerts_done = mark.alerts_end;
            self.watermark.observe(mark);
            self.stats.messages += 1;
            // Rows are ingested in one piece unless time passes something that is due, or a command is decided: only then does it matter
            // which rows count.
            let is_due = self.is_due();
            if is_due || commands.peek().is_some_and(|(of, _)| *of == message) {
                self.learn(batch, rows_done, mark.rows_end);
                self.evaluator.ingest(batch, rows_done, mark.rows_end);
                rows_done = mark.rows_end;
            }
            if is_due {
                self.advance(revisions);
            }
            while let Some((_, command)) = commands.next_if(|(of, _)| *of == message) {
                self.command(command.clone(), revisions);
            }
        }
        let all = std::array::from_fn(|kind| batch.tables[kind].num_rows());
        self.learn(batch, rows_done, all);
        self.evaluator.ingest(batch, rows_done, all);
        self.stats.events += batch.events() as u64;
    }

    pub(super) fn is_due(&self) -> bool {
        let Some(now) = self.watermark.now() else { return false };
        !self.evaluator.started() || self.evaluator.instant_rules_due(now) || self.next_due().is_some_and(|at| at <= now)
    }

    /// The next instant at which something happens by itself.
    fn next_due(&self) -> Option<TimestampMs> {
        self.evaluator.next_tick().into_iter().chain(self.next_due_but_ticks()).min()
    }

    /// The same without the rules' ticks.
    fn next_due_but_ticks(&self) -> Option<TimestampMs> {
        let awaited =
            self.awaited_alerts.first_key_value().map(|((at, ..), _)| align_down(*at - 1, EXTERNAL_BATCH_MS) + EXTERNAL_BATCH_MS);
        [awaited, self.external.next_expiry(), self.incidents.wake_at()]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.handled_until.saturating_add(1)))
    }

    /// Handles every due instant up to the watermark.
    pub(super) fn advance(&mut self, revisions: &mut Vec<Revision>) {
        let Some(now) = self.watermark.now() else { return };
        if !self.evaluator.started() {
            self.evaluator.start(now);
        }
        self.date_self_alerts(now);
        if !self.waiting_commands.is_empty() {
            self.decide_waiting_commands(revisions);
        }
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
        self.evaluator.seal_instant_rules(now);
        // Observed calls must not pile up where nothing else happens.
        self.learn_until(now);
    }

    /// Whether ticks can change nothing until the next event: every window is empty and no rule has an alert that could end.
    fn is_quiet(&self) -> bool {
        let alive = |index: usize, alerts: &RuleAlerts| {
            let (pending, firing) = alerts.pending_and_firing();
            pending > 0 || (firing > 0 && !self.evaluator.rule(index).plan.answers_silence)
        };
        self.evaluator.is_blank() && !self.alerts.iter().enumerate().any(|(index, alerts)| alive(index, alerts))
    }

    fn handle(&mut self, at: TimestampMs, revisions: &mut Vec<Revision>) {
        self.learn_until(at);
        let mut transitions = Vec::new();
        for index in self.evaluator.take_due(at) {
            // A window that ends before the first event has no answer, not even that nothing happened.
            if let Some(first) = self.watermark.min_ts().filter(|first| at > *first) {
                let Some(breaches) = self.evaluator.evaluate(index, at, first) else {
                    if self.evaluator.quarantine(index).is_some() {
                        transitions.extend(self.alerts[index].end_all(at, EndReason::RuleSuspended));
                    }
                    continue;
                };
                let forgotten = self.evaluator.take_forgotten(index);
                let rule = self.evaluator.rule(index);
                let texts = |breach: &Breach, severity| texts_of(rule, breach, severity);
                transitions.extend(self.alerts[index].evaluate(at, breaches, &forgotten, &texts));
                if rule.front.window_spec == WindowSpec::Instant && self.alerts[index].pending_and_firing() != (0, 0) {
                    self.evaluator.schedule_after(index, at);
                }
            }
        }
        transitions.extend(self.receive_external_alerts(at));
        transitions.extend(self.external.expire(at));
        self.evaluator.compact();
        self.handled_until = at;
        if !transitions.is_empty() || self.incidents.wake_at().is_some_and(|wake| wake <= at) {
            revisions.extend(self.apply(at, transitions));
        }
    }

    /// Updates incidents with what happened to alerts at `at`.
    pub(super) fn apply(&mut self, at: TimestampMs, transitions: Vec<Transition>) -> Vec<Revision> {
        let Self { alerts, incidents, .. } = self;
        let pending = |env: &str| alerts.iter().flat_map(|alerts| alerts.pending(env)).cloned().collect();
        incidents.apply(at, transitions, &pending)
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

    /// What it has counted so far.
    pub fn stats(&self) -> EngineStats {
        EngineStats { book: self.incidents.counts(), ..self.stats }
    }

    /// How many incidents are open now.
    pub fn open_incidents(&self) -> usize {
        self.incidents.open()
    }

    /// How many alerts are pending and how many are firing now; other systems' alerts are among the latter.
    pub fn alerts_pending_and_firing(&self) -> (usize, usize) {
        let mine = self.alerts.iter().map(RuleAlerts::pending_and_firing).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
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

pub(super) fn policy_of(rule: &Rule, alerts_max: usize) -> AlertPolicy {
    let front = &rule.front;
    AlertPolicy {
        entity: front.entity.clone(),
        peer: front.peer.clone(),
        period_ms: front.every_ms,
        window_ms: front.window_ms,
        for_ms: front.for_ms,
        keep_firing_for_ms: front.keep_firing_for_ms,
        alerts_max: alerts_max.min(ALERTS_PER_RULE_MAX),
        lower_is_worse: lower_is_worse(&rule.file.sql()),
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
