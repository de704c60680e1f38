//! Edges learned from events: spans whose parent is of another service, spans that name a peer, and metrics with a client and a
//! server label. Pure: event time only.
//!
//! Observations are counted in intervals of [`LEARN_EVERY_MS`]. When time passes the end of an interval, all of it is added at once. So
//! what is learned does not depend on the order within an interval, and the graph changes at few instants.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::event::{Kind, LabelKeys};
use crate::model::limits::{LEARN_EVERY_MS, LEARNED_EDGES_MAX, LEARNED_NAME_BYTES_MAX, LEARNING_PENDING_MAX};
use crate::model::time::TimestampMs;
use crate::topology::definition::Edge;
use crate::topology::node_kind::EdgeKind;
use crate::topology::span_calls::{ChildSpan, SpanKey, Spans, key};

/// What is learned, and how long an edge lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnParams {
    /// Learn from spans: from parent and child, and from the peer label.
    pub spans: bool,
    /// Learn from metrics that have both labels.
    pub metrics: bool,
    /// The label of a span that names what it calls.
    pub peer: String,
    /// The label of a metric that names the caller.
    pub client: String,
    /// The label of a metric that names the called.
    pub server: String,
    /// An edge exists from this many observations on.
    pub observations: u64,
    /// It is removed when it was not observed for this long, in milliseconds of event time.
    pub forget_ms: i64,
}

impl Default for LearnParams {
    fn default() -> Self {
        Self {
            spans: true,
            metrics: false,
            peer: "peer.service".into(),
            client: "client".into(),
            server: "server".into(),
            observations: 3,
            forget_ms: 24 * 3_600_000,
        }
    }
}

impl LearnParams {
    /// Nothing is learned.
    pub fn off() -> Self {
        Self { spans: false, metrics: false, ..Self::default() }
    }

    /// Adds the labels that learning needs to those that the decoder keeps.
    pub fn add_label_keys(&self, keys: &mut LabelKeys) {
        if self.spans {
            keys.insert_other(Kind::Span, &self.peer);
        }
        if self.metrics {
            keys.insert_other(Kind::Metric, &self.client);
            keys.insert_other(Kind::Metric, &self.server);
        }
    }
}

/// What a span shows of calls.
#[derive(Clone, Copy, Debug)]
pub struct SpanFacts<'a> {
    /// Its time.
    pub ts: TimestampMs,
    /// The service that made it.
    pub service: &'a str,
    /// Its environment.
    pub env: Option<&'a str>,
    /// Its trace.
    pub trace_id: Option<&'a str>,
    /// Itself.
    pub span_id: Option<&'a str>,
    /// The span that caused it.
    pub parent_id: Option<&'a str>,
    /// What it calls, where a label names it.
    pub peer: Option<&'a str>,
}

/// What a span shows of calls, with each id hashed together with the trace.
#[derive(Clone, Copy, Debug)]
pub struct KeyedSpan<'a> {
    /// Its time.
    pub ts: TimestampMs,
    /// The service that made it.
    pub service: &'a str,
    /// Its environment.
    pub env: Option<&'a str>,
    /// Itself.
    pub own: Option<SpanKey>,
    /// The span that caused it.
    pub parent: Option<SpanKey>,
    /// What it calls, where a label names it.
    pub peer: Option<&'a str>,
}

/// What learning has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnCounts {
    /// Calls observed.
    pub observations: u64,
    /// Observations that came after the end of their interval.
    pub late: u64,
    /// Observations that a limit left no room for.
    pub no_room: u64,
    /// Spans that could not be remembered for their parent or children.
    pub spans_no_room: u64,
    /// Names that were too long.
    pub long_names: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct CallEdge {
    from: Arc<str>,
    to: Arc<str>,
    env: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct EdgeRecord {
    observations: u64,
    /// The end of the last interval in which it was observed.
    last_observed: TimestampMs,
}

/// Learns edges.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learner {
    params: LearnParams,
    /// `forget_ms` in whole intervals.
    forget_ms: i64,
    names: BTreeSet<Arc<str>>,
    spans: Spans,
    /// By the end of the interval.
    pending: BTreeMap<TimestampMs, BTreeMap<CallEdge, u64>>,
    pending_edges: usize,
    edges: BTreeMap<CallEdge, EdgeRecord>,
    /// No edge was last observed before this.
    oldest: TimestampMs,
    /// Intervals that end up to here were added.
    added_until: TimestampMs,
    counts: LearnCounts,
}

impl Learner {
    /// Goes on from a snapshot, with its own settings.
    pub fn restore(&mut self, saved: Self) {
        let fresh = Self::new(self.params.clone());
        *self = Self { params: fresh.params, forget_ms: fresh.forget_ms, ..saved };
    }

    /// A learner that has observed nothing.
    pub fn new(params: LearnParams) -> Self {
        let forget_ms = interval_end(params.forget_ms.max(1) - 1).max(LEARN_EVERY_MS);
        Self {
            params,
            forget_ms,
            names: BTreeSet::new(),
            spans: Spans::default(),
            pending: BTreeMap::new(),
            pending_edges: 0,
            edges: BTreeMap::new(),
            oldest: TimestampMs::MAX,
            added_until: TimestampMs::MIN,
            counts: LearnCounts::default(),
        }
    }

    /// Its settings.
    pub fn params(&self) -> &LearnParams {
        &self.params
    }

    /// What was counted so far.
    pub fn counts(&self) -> LearnCounts {
        self.counts
    }

    /// The spans that wait for a parent or children.
    pub fn spans_remembered(&self) -> usize {
        self.spans.len()
    }

    /// The edges that were observed often enough, in order.
    pub fn edges(&self) -> impl Iterator<Item = Edge> {
        let enough = self.edges.iter().filter(|(_, known)| known.observations >= self.params.observations);
        enough.map(|(edge, _)| Edge {
            from: Arc::clone(&edge.from),
            to: Arc::clone(&edge.to),
            kind: EdgeKind::Calls,
            env: edge.env.as_deref().map(String::from),
        })
    }

    /// Observes a span.
    pub fn span(&mut self, span: KeyedSpan<'_>) {
        if self.is_late(span.ts, 1) {
            return;
        }
        if let Some(peer) = span.peer {
            self.calls(span.ts, span.service, peer, span.env, 1);
        }
        let (own, parent) = (span.own, span.parent);
        if (own.is_none() && parent.is_none()) || span.service.is_empty() {
            return;
        }
        let Some(service) = self.name(span.service) else { return };
        let child = ChildSpan { service, env: span.env.and_then(|env| self.name(env)), at: span.ts };
        let mut calls = Vec::new();
        if !self.spans.observe(own, parent, child, &mut |call| calls.push(call)) {
            self.counts.spans_no_room += 1;
        }
        for call in calls {
            self.observe(call.at, CallEdge { from: call.from, to: call.to, env: call.env }, 1);
        }
    }

    /// Observes `number` calls at `ts`.
    pub fn calls(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>, number: u64) {
        if from.is_empty() || to.is_empty() || from == to || self.is_late(ts, number) {
            return;
        }
        let (Some(from), Some(to)) = (self.name(from), self.name(to)) else { return };
        let env = env.and_then(|env| self.name(env));
        self.observe(ts, CallEdge { from, to, env }, number);
    }

    fn is_late(&mut self, ts: TimestampMs, number: u64) -> bool {
        let late = interval_end(ts) <= self.added_until;
        self.counts.late += if late { number } else { 0 };
        late
    }

    fn observe(&mut self, ts: TimestampMs, edge: CallEdge, number: u64) {
        self.counts.observations += number;
        let seen = self.pending.entry(interval_end(ts)).or_default();
        if let Some(known) = seen.get_mut(&edge) {
            *known += number;
        } else if self.pending_edges < LEARNING_PENDING_MAX {
            seen.insert(edge, number);
            self.pending_edges += 1;
        } else {
            self.counts.no_room += number;
        }
    }

    /// The shared copy of a name.
    fn name(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some(known) = self.names.get(name) {
            return Some(Arc::clone(known));
        }
        if name.len() > LEARNED_NAME_BYTES_MAX {
            self.counts.long_names += 1;
            return None;
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        Some(name)
    }

    /// Advances to the next instant, at most to `until`, at which [`Self::edges`] change. Returns whether they did.
    pub fn advance(&mut self, until: TimestampMs) -> bool {
        if !self.params.spans && !self.params.metrics {
            return false;
        }
        while let Some(at) = self.next_instant().filter(|at| *at <= until) {
            self.added_until = self.added_until.max(at);
            if self.add_interval(at) {
                return true;
            }
        }
        if interval_end(until) > interval_end(self.added_until) {
            self.spans.forget_before(interval_end(until) - LEARN_EVERY_MS);
            self.names.retain(|name| Arc::strong_count(name) > 1);
        }
        self.added_until = self.added_until.max(until);
        false
    }

    fn next_instant(&self) -> Option<TimestampMs> {
        let forget = (!self.edges.is_empty()).then(|| self.oldest.saturating_add(self.forget_ms));
        self.pending.keys().next().copied().into_iter().chain(forget).min()
    }

    /// Adds the interval that edge at `at`, and removes edges that were not observed for too long.
    fn add_interval(&mut self, at: TimestampMs) -> bool {
        let enough = self.params.observations;
        let mut changed = false;
        for (edge, number) in self.pending.remove(&at).unwrap_or_default() {
            self.pending_edges -= 1;
            let room = self.edges.len() < LEARNED_EDGES_MAX;
            match self.edges.get_mut(&edge) {
                Some(known) => {
                    changed |= known.observations < enough && known.observations + number >= enough;
                    *known = EdgeRecord { observations: known.observations + number, last_observed: at };
                }
                None if room => {
                    changed |= number >= enough;
                    self.edges.insert(edge, EdgeRecord { observations: number, last_observed: at });
                    self.oldest = self.oldest.min(at);
                }
                None => self.counts.no_room += number,
            }
        }
        if self.oldest.saturating_add(self.forget_ms) <= at {
            let forget_ms = self.forget_ms;
            self.edges.retain(|_, known| {
                let stays = known.last_observed + forget_ms > at;
                changed |= !stays && known.observations >= enough;
                stays
            });
            self.oldest = self.edges.values().map(|known| known.last_observed).min().unwrap_or(TimestampMs::MAX);
        }
        changed
    }
}

impl<'a> SpanFacts<'a> {
    /// The same with short ids.
    pub fn keyed(self) -> KeyedSpan<'a> {
        let id = |id: Option<&str>| id.filter(|id| !is_no_id(id)).and_then(|id| Some(key(self.trace_id?, id)));
        let Self { ts, service, env, peer, .. } = self;
        KeyedSpan { ts, service, env, own: id(self.span_id), parent: id(self.parent_id), peer }
    }
}

/// Exporters write a missing parent as zeros.
fn is_no_id(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

/// The end of the interval that an instant lies in.
pub(crate) fn interval_end(ts: TimestampMs) -> TimestampMs {
    (ts.div_euclid(LEARN_EVERY_MS) + 1).saturating_mul(LEARN_EVERY_MS)
}
