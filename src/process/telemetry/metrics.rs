//! All metrics of `/metrics`, by subject: their names, help texts and values. docs/metrics.md lists them. Units are seconds and bytes,
//! as Prometheus asks for; prometheus-client adds `_total` to the names of counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::incident::notify::decision::Decision;
use crate::io::decode::rejection::RejectReason;
use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::input::gap::Gap;
use crate::process::telemetry::snapshot::{RuleSnapshot, Snapshot};
use crate::process::telemetry::stopwatch::monotonic_ns;
use crate::process::telemetry::{Role, Telemetry, intake};

/// The metrics of a process.
#[derive(Clone, Debug)]
pub struct Metrics(pub Arc<Telemetry>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let (telemetry, now) = (&*self.0, self.0.snapshot());
        intake::encode(&telemetry.intake, &mut encoder)?;
        let mut families = Families(&mut encoder);
        families.rule_files(telemetry)?;
        families.input(telemetry, &now)?;
        families.output(telemetry, &now)?;
        families.checkpoints(telemetry)?;
        families.time(&now)?;
        families.alerts_and_incidents(&now)?;
        families.topology(telemetry, &now)?;
        families.windows(&now)?;
        families.rules(&now.rules)?;
        telemetry.receivers.encode(&mut encoder)
    }
}

type Labels<'l> = Vec<(&'l str, &'l str)>;

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn seconds_of_ns(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn seconds_of_ms(ms: i64) -> f64 {
    ms as f64 / 1e3
}

/// Writes families of metrics.
struct Families<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Families<'_, '_> {
    fn rule_files(&mut self, telemetry: &Telemetry) -> std::fmt::Result {
        let files = telemetry.rules.figures();
        self.gauge("squelch_rules", "Rules in force", files.rules as i64)?;
        let results = ["ok", "partly", "failed"];
        let reloads = results.map(|result| (vec![("result", result)], files.reloads.get(result).copied().unwrap_or(0)));
        self.counters("squelch_rule_reloads", "Reloads of changed rule files, by result", reloads)?;
        let stale = files.stale.iter().map(|rule| (vec![("rule", rule.as_str())], 1_i64));
        self.gauges("squelch_rule_stale", "1 while an old version of a rule is in force because its file is bad", stale)
    }

    fn input(&mut self, telemetry: &Telemetry, now: &Snapshot) -> std::fmt::Result {
        self.counter("squelch_messages", "Messages taken in", now.engine.messages)?;
        self.counter("squelch_events", "Events taken in", now.engine.events)?;
        let reasons = RejectReason::CODES.iter();
        let rejected = reasons.map(|code| (vec![("reason", *code)], now.rejected.get(code).copied().unwrap_or(0)));
        self.counters("squelch_rejected", "Events rejected, by reason", rejected)?;
        let unknown =
            now.unknown_words.iter().map(|(unknown, count)| (vec![("field", unknown.field), ("word", &*unknown.word)], *count));
        let help = "Words in severity or status of other systems' alerts that are not known";
        self.counters("squelch_unknown_words", help, unknown)?;
        self.counter("squelch_late_alerts", "Alerts of other systems that came late", now.engine.late_alerts)?;
        let input = &telemetry.input;
        self.gauge("squelch_input_pending_messages", "Messages that wait in the stream", value(&input.pending) as i64)?;
        let unstored = value(&input.read).saturating_sub(value(&input.stored)) as i64;
        let help = "How far, in stream positions, the last message read is ahead of the last whose results are stored";
        self.gauge("squelch_input_unstored_messages", help, unstored)?;
        self.gauge("squelch_input_sequence", "The last message taken in", now.sequence as i64)?;
        self.counter("squelch_input_redelivered", "Messages that the server delivered again", value(&input.redelivered))?;
        let help = "Messages that the stream dropped before they were read";
        self.counter("squelch_input_gap_messages", help, value(&input.gap_messages))?;
        let gaps = Gap::CODES.iter().zip(&input.gaps).map(|(cause, number)| (vec![("cause", *cause)], value(number)));
        self.counters("squelch_input_gaps", "Gaps in the input, by cause", gaps)?;
        self.counter("squelch_input_consumers_recreated", "Consumers created again while running", value(&input.recreated))?;
        self.counter("squelch_input_pull_failures", "Pulls that failed or stalled", value(&input.failures))
    }

    fn output(&mut self, telemetry: &Telemetry, now: &Snapshot) -> std::fmt::Result {
        let help = "Revisions that were published shortened";
        self.counter("squelch_output_truncated", help, value(&telemetry.output.truncated))?;
        self.counter("squelch_output_retries", "Writes tried again", value(&telemetry.output.retries))?;
        let role = telemetry.role();
        let is_leader = matches!(role, Role::Active(lease) if lease.as_ref().is_none_or(HeldLease::is_current));
        self.gauge("squelch_leader", "1 while this process does the work, 0 while it stands by", i64::from(is_leader))?;
        let published = (vec![("stage", "publish")], seconds_of_ns(value(&telemetry.publishing_ns)));
        let stages = now.stages.iter().map(|(stage, spent)| (vec![("stage", *stage)], spent.as_secs_f64()));
        self.counters("squelch_stage_seconds", "Time spent in each stage", stages.chain([published]))
    }

    fn checkpoints(&mut self, telemetry: &Telemetry) -> std::fmt::Result {
        self.counter("squelch_checkpoints", "Checkpoints stored", value(&telemetry.checkpoints))?;
        let failures = value(&telemetry.checkpoint_failures);
        self.counter("squelch_checkpoint_failures", "Checkpoints that could not be stored", failures)?;
        let bytes = value(&telemetry.checkpoint_bytes) as i64;
        self.gauge("squelch_checkpoint_bytes", "Size of the last checkpoint: what a restart reads", bytes)?;
        let help = "Bytes written for checkpoints; data that no longer changes is written once";
        self.counter("squelch_checkpoint_written_bytes", help, value(&telemetry.checkpoint_written_bytes))?;
        let cpu = seconds_of_ns(value(&telemetry.checkpoint_cpu_ns));
        self.counter("squelch_checkpoint_write_cpu_seconds", "Processor time spent in writing checkpoints", cpu)?;
        match value(&telemetry.checkpoint_at_ns) {
            0 => Ok(()),
            at => {
                let age = seconds_of_ns(monotonic_ns().saturating_sub(at));
                self.gauge("squelch_checkpoint_age_seconds", "Age of the last checkpoint", age)
            }
        }
    }

    fn time(&mut self, now: &Snapshot) -> std::fmt::Result {
        let watermark = seconds_of_ms(now.watermark_ms.unwrap_or(0));
        let help = "The watermark: how far event time has come, in Unix time; 0 before the first event";
        self.gauge("squelch_watermark_timestamp_seconds", help, watermark)?;
        self.gauge("squelch_sources", "Sources of events that are not idle", now.sources as i64)?;
        let slowest = now.slowest.iter().map(|(subject, ms)| (vec![("subject", subject.as_str())], seconds_of_ms(*ms)));
        let help = "How far the events of the slowest source are behind the broker's clock";
        self.gauges("squelch_source_lag_seconds", help, slowest)
    }

    fn alerts_and_incidents(&mut self, now: &Snapshot) -> std::fmt::Result {
        let incidents = &now.engine.book;
        self.gauge("squelch_alerts_pending", "Alerts pending", now.alerts_pending as i64)?;
        self.gauge("squelch_alerts_firing", "Alerts firing", now.alerts_firing as i64)?;
        self.counter("squelch_alerts_fired", "Alerts that fired", incidents.alerts)?;
        let help = "Ended alerts that their incident no longer holds";
        self.counter("squelch_alerts_evicted", help, incidents.evicted)?;
        self.gauge("squelch_incidents_open", "Incidents open", now.incidents_open as i64)?;
        self.counter("squelch_incidents_opened", "Incidents opened", incidents.opened)?;
        self.counter("squelch_revisions", "Revisions of incidents", incidents.revisions)?;
        self.counter("squelch_notifications", "Revisions that notify a person", incidents.notifications)?;
        let decisions = Decision::CODES.into_iter().zip(incidents.decisions);
        let decisions = decisions.map(|(code, number)| (vec![("code", code)], number));
        self.counters("squelch_notify_decisions", "Revisions by the code of the decision whether to notify", decisions)
    }

    fn topology(&mut self, telemetry: &Telemetry, now: &Snapshot) -> std::fmt::Result {
        let inputs = telemetry.topology.figures();
        let reloads =
            inputs.reloads.iter().map(|((source, result), number)| (vec![("source", *source), ("result", *result)], *number));
        self.counters("squelch_topology_reloads", "Changes of the topology that were read, by source and result", reloads)?;
        let invalid = inputs.invalid.iter().map(|(source, number)| (vec![("source", *source)], *number as i64));
        let help = "Files or keys of the topology whose newest version is bad; the last good one is in force";
        self.gauges("squelch_topology_invalid", help, invalid)?;
        let topology = &now.topology;
        self.gauge("squelch_topology_version", "Version of the graph in force, from 1 at the start", topology.version as i64)?;
        self.gauge("squelch_topology_nodes", "Nodes of the graph in force", topology.nodes as i64)?;
        let edges = topology.edges.iter().map(|(source, edges)| (vec![("source", *source)], *edges as i64));
        self.gauges("squelch_topology_edges", "Edges of each source", edges)?;
        let learning = &topology.learning;
        self.counter("squelch_topology_observations", "Calls seen in events", learning.observations)?;
        let dropped = [
            ("late", learning.late),
            ("edge_limit", learning.no_room),
            ("span_limit", learning.spans_no_room),
            ("long_name", learning.long_names),
        ];
        let dropped = dropped.into_iter().map(|(reason, number)| (vec![("reason", reason)], number));
        self.counters("squelch_topology_dropped", "Observations that could not be used, by reason", dropped)?;
        let help = "Spans that wait for their parent or children";
        self.gauge("squelch_topology_pending_spans", help, topology.spans_remembered as i64)?;
        let help = "Searches around an entity that covered only the nearest nodes";
        self.counter("squelch_topology_searches_truncated", help, now.engine.book.surroundings_cut)
    }

    fn windows(&mut self, now: &Snapshot) -> std::fmt::Result {
        let (groups, panes, bytes) = now.windows;
        self.gauge("squelch_window_groups", "Groups known to all windows", groups as i64)?;
        self.gauge("squelch_window_panes", "Panes held by all windows", panes as i64)?;
        self.gauge("squelch_window_bytes", "Bytes held by all windows", bytes as i64)
    }

    fn rules(&mut self, rules: &[RuleSnapshot]) -> std::fmt::Result {
        let mut counters = |name, help, of: fn(&RuleSnapshot) -> u64| {
            self.counters(name, help, rules.iter().map(|rule| (vec![("rule", rule.name.as_str())], of(rule))))
        };
        counters("squelch_rule_rows", "Rows that passed a rule's filters", |rule| rule.rows)?;
        counters("squelch_rule_evaluations", "Evaluations of a rule", |rule| rule.evaluations)?;
        counters("squelch_rule_breaches", "Result rows of a rule", |rule| rule.breaches)?;
        counters("squelch_rule_errors", "Failures of a rule", |rule| rule.errors)?;
        counters("squelch_rule_quarantines", "How often a rule exceeded a limit and was quarantined", |rule| rule.quarantines)?;
        let seconds = rules.iter().map(|rule| (vec![("rule", rule.name.as_str())], seconds_of_ns(rule.spent_ns)));
        let help = "Time spent on a rule; shared work is divided between the rules";
        self.counters("squelch_rule_cpu_seconds", help, seconds)?;
        let quarantined = rules.iter().map(|rule| {
            let reason = rule.quarantined.as_deref().unwrap_or_default();
            (vec![("rule", rule.name.as_str()), ("reason", reason)], i64::from(rule.quarantined.is_some()))
        });
        self.gauges("squelch_rule_quarantined", "1 while a rule is quarantined, with the limit that it exceeded", quarantined)?;
        let dropped = rules.iter().flat_map(|rule| {
            let labels = |reason| vec![("rule", rule.name.as_str()), ("reason", reason)];
            rule.dropped.iter().map(move |(reason, number)| (labels(*reason), *number))
        });
        self.counters("squelch_rule_dropped", "Rows and breaches that a rule could not use, by reason", dropped)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> std::fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn counters<'l, N: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l>, N)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> std::fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn gauges<'l, N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l>, N)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
