//! What an operator sees of a running squelch: counters and gauges, rendered by prometheus-client from the latest snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::engine::{Engine, EngineStats};
use crate::incident::notify::decision::Decision;
use crate::io::decode::unknown_words::UnknownWord;
use crate::io::http::Status;
use crate::io::nats::client::health::Health;
use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::input::Reading;
use crate::io::nats::input::gap::Gap;
use crate::io::nats::output::OutputStats;
use crate::process::pipeline::decode::Progress;
use crate::process::reload::rules::ReloadStatus;
use crate::process::reload::topology::TopologyStatus;
use crate::process::telemetry::rule_cpu::stopwatch_ns;
use crate::topology::live::TopologySize;

/// What does not work is told by `/readyz` when it lasts so long: a retry or two is nobody's business.
const FAILING_MIN: Duration = Duration::from_secs(10);

/// The state of the process as of the last batch.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    engine: EngineStats,
    rules: Vec<RuleSnapshot>,
    alerts: (usize, usize),
    incidents_open: usize,
    windows: (usize, usize, usize),
    topology: TopologySize,
    watermark_ms: Option<i64>,
    sources: usize,
    slowest: Option<(String, i64)>,
    /// The last message taken in.
    pub sequence: u64,
    /// By reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Words of other systems' alerts that are not known.
    pub unknown_words: Arc<BTreeMap<UnknownWord, u64>>,
    /// Time spent in each stage.
    pub stages: BTreeMap<&'static str, Duration>,
}

#[derive(Clone, Debug)]
struct RuleSnapshot {
    name: String,
    rows: u64,
    ticks: u64,
    breaches: u64,
    dropped: [(&'static str, u64); 5],
    errors: u64,
    quarantines: u64,
    quarantined: Option<String>,
    spent_ns: u64,
}

impl Snapshot {
    /// Takes over how far reading and decoding have come.
    pub fn of_progress(&mut self, progress: Progress) {
        (self.sequence, self.rejected) = (progress.sequence, progress.rejected);
        self.unknown_words = progress.unknown_words;
        self.stages.insert("decode", progress.decoding);
    }

    /// Takes over what the engine says of itself.
    pub fn of_engine(&mut self, engine: &Engine) {
        self.engine = engine.stats();
        self.alerts = engine.alerts_pending_and_firing();
        self.incidents_open = engine.open_incidents();
        self.windows = engine.window_size();
        self.topology = engine.topology_size();
        self.watermark_ms = engine.watermark();
        let (sources, slowest) = engine.sources();
        self.sources = sources;
        self.slowest = slowest.map(|(name, lag_ms)| (name.to_string(), lag_ms));
        let rules = engine.rules().enumerate().map(|(index, (rule, stats, alerts))| RuleSnapshot {
            name: rule.name().to_string(),
            rows: stats.rows,
            ticks: stats.ticks,
            breaches: stats.breaches,
            dropped: [
                ("late", stats.late),
                ("group_limit", stats.overflow),
                ("alert_limit", alerts.over_limit),
                ("same_labels", alerts.same_labels),
                ("bad_severity", alerts.bad_severity),
            ],
            errors: stats.errors,
            quarantines: stats.quarantines,
            quarantined: engine.evaluator().quarantine(index).map(|quarantine| quarantine.reason.clone()),
            spent_ns: stats.spent_ns,
        });
        self.rules = rules.collect();
    }
}

/// The latest snapshot, shared between the engine's thread and the HTTP endpoint.
#[derive(Debug, Default)]
pub struct Telemetry {
    snapshot: Mutex<Snapshot>,
    /// Of reading.
    pub reading: Arc<Reading>,
    /// Of storing results.
    pub storing: Arc<OutputStats>,
    /// Time spent in publishing, microseconds.
    pub publishing_us: AtomicU64,
    /// Whether the connection to NATS stands.
    pub connected: AtomicBool,
    /// Whether the process is stopping.
    pub stopping: AtomicBool,
    /// Whether this process does the work or stands by.
    role: Mutex<Role>,
    /// Checkpoints kept.
    pub checkpoints: AtomicU64,
    /// Checkpoints that could not be kept.
    pub checkpoint_failures: AtomicU64,
    /// Bytes that a restart has to read of the last one.
    pub checkpoint_bytes: AtomicU64,
    /// Bytes written for all of them.
    pub checkpoint_written_bytes: AtomicU64,
    /// What writing them took of a processor, nanoseconds; taking them is a stage.
    pub checkpoint_spent_ns: AtomicU64,
    /// When the last one was kept, by [`stopwatch_ns`]; 0 before the first.
    pub checkpoint_at_ns: AtomicU64,
    /// Why a checkpoint takes so long.
    pub checkpoint_health: Health,
    /// Of rules and their files.
    pub reloads: Arc<ReloadStatus>,
    /// Of the topology's file and bucket.
    pub topology: Arc<TopologyStatus>,
}

/// What this process does.
#[derive(Clone, Default)]
enum Role {
    /// It starts.
    #[default]
    None,
    /// Not the work, and why.
    Waits(&'static str),
    /// It does the work: for as long as it holds the lease, where there is one.
    Leads(Option<HeldLease>),
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::None => "none",
            Role::Waits(why) => why,
            Role::Leads(_) => "leads",
        })
    }
}

impl Telemetry {
    /// Says that this process does not do the work now, and why.
    pub fn wait(&self, why: &'static str) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = Role::Waits(why);
    }

    /// Says that this process does the work, for as long as it holds the lease.
    pub fn lead(&self, lease: Option<HeldLease>) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = Role::Leads(lease);
    }

    fn role(&self) -> Role {
        self.role.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The endpoint's view of the telemetry.
#[derive(Clone, Debug)]
pub struct Endpoint(pub Arc<Telemetry>);

impl Status for Endpoint {
    fn metrics(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err("stopping".into());
        }
        if !self.0.connected.load(Ordering::Relaxed) {
            return Err("no connection to NATS".into());
        }
        match self.0.role() {
            Role::Waits(why) => return Err(why.into()),
            Role::Leads(Some(lease)) if !lease.is_current() => return Err("the lease is not renewed".into()),
            Role::None | Role::Leads(_) => {}
        }
        let lasting = |what: &str, health: &Health| match health.failing_for(FAILING_MIN) {
            Some((lasting, why)) => Err(format!("{what} since {} s: {why}", lasting.as_secs())),
            None => Ok(()),
        };
        lasting("cannot store results", &self.0.storing.health)?;
        lasting("cannot keep a checkpoint", &self.0.checkpoint_health)?;
        lasting("cannot read", &self.0.reading.health)
    }
}

/// Writes metrics one family at a time.
struct Writer<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Writer<'_, '_> {
    fn topology(&mut self, now: &Snapshot) -> std::fmt::Result {
        let topology = &now.topology;
        self.gauge("squelch_topology_version", "Which graph is in force, from 1 at the start", topology.version as i64)?;
        self.gauge("squelch_topology_nodes", "Nodes of the graph in force", topology.nodes as i64)?;
        let edges = topology.edges.iter().map(|(source, edges)| (vec![("source", *source)], *edges as i64));
        self.gauges("squelch_topology_edges", "Edges that each source tells", edges)?;
        let learning = &topology.learning;
        self.counter("squelch_topology_observations", "Calls seen in events", learning.observations)?;
        let dropped = [
            ("late", learning.late),
            ("edge_limit", learning.no_room),
            ("span_limit", learning.spans_no_room),
            ("long_name", learning.long_names),
        ];
        let dropped = dropped.into_iter().map(|(reason, number)| (vec![("reason", reason)], number));
        self.counters("squelch_topology_dropped", "What could not be learned from, by reason", dropped)?;
        self.gauge("squelch_topology_spans", "Spans that wait for parent or children", topology.spans_remembered as i64)?;
        let help = "Looks at the graph around an entity that saw only the nearest";
        self.counter("squelch_topology_looks_cut", help, now.engine.book.surroundings_cut)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> std::fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> std::fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    /// A family of gauges, likewise.
    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Vec<(&'l str, &'l str)>, i64)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A family of counters, told apart by one label or two.
    fn counters<'l, N: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Vec<(&'l str, &'l str)>, N)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Endpoint {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let now = self.0.snapshot();
        self.0.reloads.encode(&mut encoder)?;
        self.0.topology.encode(&mut encoder)?;
        let mut write = Writer(&mut encoder);
        write.counter("squelch_messages", "Messages taken in", now.engine.messages)?;
        write.counter("squelch_events", "Events taken in", now.engine.events)?;
        let rejected = crate::io::decode::rejection::RejectReason::CODES
            .iter()
            .map(|code| (vec![("reason", *code)], now.rejected.get(code).copied().unwrap_or(0)));
        write.counters("squelch_rejected", "Events rejected, by reason", rejected)?;
        let unknown =
            now.unknown_words.iter().map(|(unknown, count)| (vec![("field", unknown.field), ("word", &*unknown.word)], *count));
        write.counters(
            "squelch_unknown_words",
            "Words in severity or status of other systems' alerts that are not known",
            unknown,
        )?;
        write.counter("squelch_late_alerts", "Alerts of other systems that came late", now.engine.late_alerts)?;
        let (reading, kept) = (&self.0.reading, |counter: &AtomicU64| counter.load(Ordering::Relaxed));
        write.gauge("squelch_input_pending", "Messages that wait in the stream", kept(&reading.pending) as i64)?;
        let under_way = kept(&reading.read).saturating_sub(kept(&reading.stored)) as i64;
        let help = "How many places in the stream the last message read is ahead of the last whose results are stored";
        write.gauge("squelch_input_under_way", help, under_way)?;
        write.gauge("squelch_input_sequence", "The last message taken in", now.sequence as i64)?;
        write.counter("squelch_input_redelivered", "Messages that the server sent again", kept(&reading.redelivered))?;
        write.counter(
            "squelch_input_gap_messages",
            "Messages that the stream dropped before they were read",
            kept(&reading.gap_messages),
        )?;
        let gaps = Gap::CODES.iter().zip(&reading.gaps).map(|(cause, number)| (vec![("cause", *cause)], kept(number)));
        write.counters("squelch_input_gaps", "Holes in what is read, by cause", gaps)?;
        write.counter("squelch_input_renewals", "Times that the consumer was made again", kept(&reading.renewals))?;
        write.counter("squelch_input_failures", "Pulls that failed or stalled", kept(&reading.failures))?;
        write.counter("squelch_output_cut", "Revisions that went out shortened", kept(&self.0.storing.cut))?;
        write.counter("squelch_output_retries", "Publishes tried again", kept(&self.0.storing.retries))?;
        let leads = matches!(self.0.role(), Role::Leads(lease) if lease.as_ref().is_none_or(HeldLease::is_current));
        write.gauge("squelch_leading", "Whether this process does the work: 0 where it stands by", i64::from(leads))?;
        write.counter("squelch_checkpoints", "Checkpoints kept", kept(&self.0.checkpoints))?;
        write.counter("squelch_checkpoint_failures", "Checkpoints that could not be kept", kept(&self.0.checkpoint_failures))?;
        write.gauge("squelch_checkpoint_bytes", "Size of the last checkpoint", kept(&self.0.checkpoint_bytes) as i64)?;
        let written = kept(&self.0.checkpoint_written_bytes);
        write.counter(
            "squelch_checkpoint_written_bytes",
            "Bytes written for checkpoints: what lasts is written once",
            written,
        )?;
        let spent_us = kept(&self.0.checkpoint_spent_ns) / 1_000;
        write.counter("squelch_checkpoint_writing_microseconds", "Processor time that writing checkpoints took", spent_us)?;
        let kept_at = kept(&self.0.checkpoint_at_ns);
        if kept_at > 0 {
            let age_s = stopwatch_ns().saturating_sub(kept_at) / 1_000_000_000;
            write.gauge("squelch_checkpoint_age_seconds", "How long ago the last checkpoint was kept", age_s as i64)?;
        }
        write.gauge("squelch_watermark_ms", "How far event time has come, Unix milliseconds", now.watermark_ms.unwrap_or(0))?;
        write.gauge("squelch_sources", "Sources of events that are not idle", now.sources as i64)?;
        let slowest = now.slowest.iter().map(|(subject, lag_ms)| (vec![("subject", subject.as_str())], *lag_ms));
        write.gauges("squelch_source_lag_ms", "How far the slowest source's events lie behind the broker's clock", slowest)?;
        write.gauge("squelch_alerts_pending", "Alerts pending", now.alerts.0 as i64)?;
        write.gauge("squelch_alerts_firing", "Alerts firing", now.alerts.1 as i64)?;
        write.counter("squelch_alerts_fired", "Alerts that fired", now.engine.book.alerts)?;
        write.counter("squelch_alerts_evicted", "Ended alerts that their incident no longer holds", now.engine.book.evicted)?;
        write.gauge("squelch_incidents_open", "Incidents open", now.incidents_open as i64)?;
        write.counter("squelch_incidents_opened", "Incidents opened", now.engine.book.opened)?;
        write.counter("squelch_revisions", "Incident revisions made", now.engine.book.revisions)?;
        write.counter("squelch_notifications", "Revisions of which a person is notified", now.engine.book.notifications)?;
        let decisions = Decision::CODES.into_iter().zip(now.engine.book.decisions);
        let decisions = decisions.map(|(code, number)| (vec![("code", code)], number));
        write.counters("squelch_notify_decisions", "Revisions by the code of the decision whether to notify", decisions)?;
        write.topology(&now)?;
        write.gauge("squelch_window_groups", "Groups known to all windows", now.windows.0 as i64)?;
        write.gauge("squelch_window_panes", "Panes held by all windows", now.windows.1 as i64)?;
        write.gauge("squelch_window_bytes", "Bytes held by all windows", now.windows.2 as i64)?;
        let published = (vec![("stage", "publish")], self.0.publishing_us.load(Ordering::Relaxed));
        let stages =
            now.stages.iter().map(|(stage, spent)| (vec![("stage", *stage)], spent.as_micros() as u64)).chain([published]);
        write.counters("squelch_stage_microseconds", "Time spent in each stage", stages)?;
        let rules = || now.rules.iter();
        write.counters(
            "squelch_rule_rows",
            "Rows that passed a rule's filters",
            rules().map(|rule| (vec![("rule", rule.name.as_str())], rule.rows)),
        )?;
        write.counters(
            "squelch_rule_ticks",
            "Evaluations of a rule",
            rules().map(|rule| (vec![("rule", rule.name.as_str())], rule.ticks)),
        )?;
        write.counters(
            "squelch_rule_breaches",
            "Result rows of a rule",
            rules().map(|rule| (vec![("rule", rule.name.as_str())], rule.breaches)),
        )?;
        write.counters(
            "squelch_rule_errors",
            "Failures of a rule",
            rules().map(|rule| (vec![("rule", rule.name.as_str())], rule.errors)),
        )?;
        write.counters(
            "squelch_rule_cpu_seconds",
            "Time spent on a rule; what rules share is split between them",
            rules().map(|rule| (vec![("rule", rule.name.as_str())], rule.spent_ns as f64 / 1e9)),
        )?;
        write.counters(
            "squelch_rule_quarantines",
            "How often a rule broke a limit and had to rest",
            rules().map(|rule| (vec![("rule", rule.name.as_str())], rule.quarantines)),
        )?;
        let quarantined = rules().map(|rule| {
            let reason = rule.quarantined.as_deref().unwrap_or_default();
            (vec![("rule", rule.name.as_str()), ("reason", reason)], i64::from(rule.quarantined.is_some()))
        });
        write.gauges("squelch_rule_quarantined", "Whether a rule rests, and which limit it broke", quarantined)?;
        let dropped = rules().flat_map(|rule| {
            rule.dropped.iter().map(|(reason, number)| (vec![("rule", rule.name.as_str()), ("reason", *reason)], *number))
        });
        write.counters("squelch_rule_dropped", "What a rule could not use, by reason", dropped)
    }
}
