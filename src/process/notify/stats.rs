//! What notifiers show of themselves, by receiver.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::notify::decide::Silence;
use crate::notify::receiver::News;

/// Of all receivers.
#[derive(Debug, Default)]
pub struct NotifyStats(Mutex<BTreeMap<String, ReceiverStats>>);

/// Of one receiver.
#[derive(Clone, Debug, Default)]
pub struct ReceiverStats {
    /// Messages that arrived, by kind: first, update, edit, close.
    pub sent: [u64; 4],
    /// Requests that are to be tried again.
    pub retries: u64,
    /// Messages that were given up.
    pub given_up: u64,
    /// Incidents that were named in a digest.
    pub in_digests: u64,
    /// Revisions without a message, in the order of [`Silence::CODES`].
    pub silent: [u64; Silence::CODES.len()],
    /// Incidents with something new.
    pub queued: usize,
    /// Incidents that wait for their time.
    pub waiting: usize,
    /// Whether it fails at the moment.
    pub failing: bool,
    /// What people answered at it: taken, refused.
    pub replies: [u64; 2],
    /// From a revision's arrival in the stream to its message, in sum.
    pub delay_ms: u64,
}

/// The names of the kinds of message, in the order of [`ReceiverStats::sent`].
const NEWS: [(News, &str); 4] = [(News::First, "first"), (News::Update, "update"), (News::Edit, "edit"), (News::Close, "close")];

impl ReceiverStats {
    /// Counts a message that arrived.
    pub fn count_sent(&mut self, news: News) {
        if let Some(at) = NEWS.iter().position(|(kind, _)| *kind == news) {
            self.sent[at] += 1;
        }
    }

    /// Counts what somebody answered.
    pub fn count_reply(&mut self, taken: bool) {
        self.replies[usize::from(!taken)] += 1;
    }

    /// Counts a revision without a message.
    pub fn count_silent(&mut self, silence: Silence) {
        if let Some(at) = Silence::CODES.iter().position(|(kind, _)| *kind == silence) {
            self.silent[at] += 1;
        }
    }
}

impl NotifyStats {
    /// Changes what one receiver shows.
    pub fn update(&self, receiver: &str, change: impl FnOnce(&mut ReceiverStats)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(receiver.into()).or_default());
    }

    /// Writes the metrics.
    pub fn encode(self: &Arc<Self>, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.is_empty() {
            return Ok(());
        }
        let counter = |encoder: &mut DescriptorEncoder, name: &str, help: &str, rows: Vec<(Labels<'_>, f64)>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            rows.iter().try_for_each(|(labels, value)| ConstCounter::new(*value).encode(family.encode_family(labels)?))
        };
        let gauge = |encoder: &mut DescriptorEncoder, name: &str, help: &str, rows: Vec<(Labels<'_>, i64)>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            rows.iter().try_for_each(|(labels, value)| ConstGauge::new(*value).encode(family.encode_family(labels)?))
        };
        let each = |of: fn(&ReceiverStats) -> f64| -> Vec<(Labels<'_>, f64)> {
            all.iter().map(|(name, stats)| (vec![("receiver", name.as_str())], of(stats))).collect()
        };
        let each_now = |of: fn(&ReceiverStats) -> i64| -> Vec<(Labels<'_>, i64)> {
            all.iter().map(|(name, stats)| (vec![("receiver", name.as_str())], of(stats))).collect()
        };
        let sent = all.iter().flat_map(|(name, stats)| {
            let kinds = NEWS.iter().zip(stats.sent);
            kinds.map(move |((_, kind), number)| (vec![("receiver", name.as_str()), ("kind", *kind)], number as f64))
        });
        counter(encoder, "squelch_receiver_messages", "Messages that a receiver has taken, by kind", sent.collect())?;
        let silent = all.iter().flat_map(|(name, stats)| {
            let reasons = Silence::CODES.iter().zip(stats.silent);
            reasons.map(move |((_, code), number)| (vec![("receiver", name.as_str()), ("reason", *code)], number as f64))
        });
        let help = "Revisions of which a receiver got no message, by reason";
        counter(encoder, "squelch_receiver_silent", help, silent.collect())?;
        let help = "Requests to a receiver that failed and are tried again";
        counter(encoder, "squelch_receiver_retries", help, each(|stats| stats.retries as f64))?;
        let help = "Messages that a receiver will never take";
        counter(encoder, "squelch_receiver_given_up", help, each(|stats| stats.given_up as f64))?;
        let help = "Incidents that a receiver was notified of in a digest";
        counter(encoder, "squelch_receiver_in_digests", help, each(|stats| stats.in_digests as f64))?;
        let replies = all.iter().flat_map(|(name, stats)| {
            let results = ["taken", "refused"].into_iter().zip(stats.replies);
            results.map(move |(result, number)| (vec![("receiver", name.as_str()), ("result", result)], number as f64))
        });
        counter(encoder, "squelch_receiver_replies", "What people answered at a receiver, by result", replies.collect())?;
        let help = "From the arrival of revisions in the stream to their messages, in sum";
        counter(encoder, "squelch_receiver_delay_seconds", help, each(|stats| stats.delay_ms as f64 / 1e3))?;
        let help = "Incidents of which a receiver has still to be notified";
        gauge(encoder, "squelch_receiver_queued", help, each_now(|stats| stats.queued as i64))?;
        let help = "Incidents that wait for an escalation, the end of quiet hours, or the rate limit";
        gauge(encoder, "squelch_receiver_waiting", help, each_now(|stats| stats.waiting as i64))?;
        gauge(
            encoder,
            "squelch_receiver_failing",
            "Whether a receiver fails at the moment",
            each_now(|stats| i64::from(stats.failing)),
        )
    }
}

type Labels<'a> = Vec<(&'a str, &'a str)>;
