//! Calls from spans: a span names its parent by id. The parent may arrive before it, after it, or never.
//!
//! A pair counts when its two times lie within [`SPAN_PAIR_MS`], at the later of the two. So it does not matter which came first, and
//! nothing has to be remembered for longer.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::limits::{SPAN_PAIR_MS, SPANS_REMEMBERED_MAX};
use crate::model::time::TimestampMs;

/// A hash of a span's id and trace. Two spans of one minute with the same hash are less likely than a wrong service name.
pub(crate) type SpanKey = u64;

/// Spans that may still find a parent or a child.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spans {
    /// Never walked through: the order of a hash map is nobody's.
    #[serde(serialize_with = "in_order")]
    parents: HashMap<SpanKey, ParentSpan>,
    #[serde(serialize_with = "in_order")]
    waiting: HashMap<SpanKey, Vec<ChildSpan>>,
    /// When each entry may be dropped.
    until: BTreeMap<TimestampMs, Vec<SpanKey>>,
    remembered: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ParentSpan {
    service: Arc<str>,
    at: TimestampMs,
}

/// A span as the child of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChildSpan {
    pub(crate) service: Arc<str>,
    pub(crate) env: Option<Arc<str>>,
    pub(crate) at: TimestampMs,
}

/// A call that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) env: Option<Arc<str>>,
    pub(crate) at: TimestampMs,
}

pub(crate) fn key(trace: &str, span: &str) -> SpanKey {
    let mut hasher = DefaultHasher::new();
    (trace, span).hash(&mut hasher);
    hasher.finish()
}

impl Spans {
    /// Observes a span, and calls `found` for each call that it completes. Returns whether there was room to remember it.
    pub(crate) fn observe(
        &mut self,
        own: Option<SpanKey>,
        parent: Option<SpanKey>,
        child: ChildSpan,
        found: &mut dyn FnMut(Call),
    ) -> bool {
        let mut room = true;
        if let Some(own) = own {
            // A repeated span was paired when it came first.
            let waiting = self.waiting.get(&own).filter(|_| !self.parents.contains_key(&own));
            for waiting in waiting.into_iter().flatten() {
                pair(&child.service, child.at, waiting, found);
            }
            room &= self.remember_span(own, &child);
        }
        if let Some(parent) = parent {
            match self.parents.get(&parent) {
                Some(parent) => pair(&parent.service, parent.at, &child, found),
                None => room &= self.remember_child(parent, child),
            }
        }
        room
    }

    fn remember_span(&mut self, key: SpanKey, span: &ChildSpan) -> bool {
        if self.parents.contains_key(&key) {
            return true;
        }
        if self.remembered >= SPANS_REMEMBERED_MAX {
            return false;
        }
        self.parents.insert(key, ParentSpan { service: Arc::clone(&span.service), at: span.at });
        self.keep(key, span.at);
        true
    }

    fn remember_child(&mut self, parent: SpanKey, child: ChildSpan) -> bool {
        if self.remembered >= SPANS_REMEMBERED_MAX {
            return false;
        }
        self.keep(parent, child.at);
        self.waiting.entry(parent).or_default().push(child);
        true
    }

    fn keep(&mut self, key: SpanKey, at: TimestampMs) {
        self.remembered += 1;
        // Whole seconds: a few lists instead of one for each millisecond.
        self.until.entry((at + SPAN_PAIR_MS).div_euclid(1000) * 1000 + 1000).or_default().push(key);
    }

    /// Drops what no span of `from` or later can pair with.
    pub(crate) fn forget_before(&mut self, from: TimestampMs) {
        while let Some(entry) = self.until.first_entry().filter(|entry| *entry.key() <= from) {
            for key in entry.remove() {
                if self.parents.get(&key).is_some_and(|parent| parent.at + SPAN_PAIR_MS < from) {
                    self.parents.remove(&key);
                    self.remembered -= 1;
                }
                if let Some(waiting) = self.waiting.get_mut(&key) {
                    let before = waiting.len();
                    waiting.retain(|child| child.at + SPAN_PAIR_MS >= from);
                    self.remembered -= before - waiting.len();
                    if waiting.is_empty() {
                        self.waiting.remove(&key);
                    }
                }
            }
        }
    }

    /// How many spans are remembered.
    pub(crate) fn len(&self) -> usize {
        self.remembered
    }
}

/// The same spans give the same bytes, in every process.
fn in_order<T: Serialize, S: Serializer>(map: &HashMap<SpanKey, T>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut entries: Vec<(&SpanKey, &T)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| **key);
    serializer.collect_map(entries)
}

fn pair(parent: &Arc<str>, parent_at: TimestampMs, child: &ChildSpan, found: &mut dyn FnMut(Call)) {
    if *parent != child.service && (parent_at - child.at).abs() <= SPAN_PAIR_MS {
        let (from, to) = (Arc::clone(parent), Arc::clone(&child.service));
        found(Call { from, to, env: child.env.clone(), at: parent_at.max(child.at) });
    }
}
