//! Calls between services that events show, as a worker hands them to the engine: spans with short ids, calls counted.

use std::collections::BTreeMap;

use ahash::HashMap;
use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::topology::learn::{KeyedSpan, SpanFacts, interval_end};
use crate::topology::live::LiveTopology;
use crate::topology::span_calls::SpanKey;

/// Receives observed calls.
pub trait CallSink {
    /// A span, of which a call may follow.
    fn span(&mut self, span: SpanFacts<'_>);

    /// A call.
    fn call(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>);
}

impl CallSink for LiveTopology {
    fn span(&mut self, span: SpanFacts<'_>) {
        Self::span(self, span.keyed());
    }

    fn call(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>) {
        self.calls(ts, from, to, env, 1);
    }
}

/// An index into [`ObservedCalls::names`].
type Name = u32;

/// Calls that were observed, to be handed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObservedCalls {
    names: Vec<String>,
    #[serde(skip)]
    index: HashMap<String, Name>,
    spans: Vec<ObservedSpan>,
    /// By the end of the interval in which they are counted.
    calls: BTreeMap<(TimestampMs, Name, Name, Option<Name>), u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct ObservedSpan {
    ts: TimestampMs,
    service: Name,
    env: Option<Name>,
    own: Option<SpanKey>,
    parent: Option<SpanKey>,
    peer: Option<Name>,
}

impl CallSink for ObservedCalls {
    fn span(&mut self, span: SpanFacts<'_>) {
        let KeyedSpan { ts, service, env, own, parent, peer } = span.keyed();
        if own.is_none() && parent.is_none() && peer.is_none() {
            return;
        }
        let service = self.name(service);
        let env = env.map(|env| self.name(env));
        let peer = peer.map(|peer| self.name(peer));
        self.spans.push(ObservedSpan { ts, service, env, own, parent, peer });
    }

    fn call(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>) {
        let key = (interval_end(ts), self.name(from), self.name(to), env.map(|env| self.name(env)));
        *self.calls.entry(key).or_default() += 1;
    }
}

impl ObservedCalls {
    fn name(&mut self, name: &str) -> Name {
        if let Some(known) = self.index.get(name) {
            return *known;
        }
        let new = self.names.len() as Name;
        self.names.push(name.to_string());
        self.index.insert(name.to_string(), new);
        new
    }

    /// Reports all of them to the topology.
    pub fn replay(&self, topology: &mut LiveTopology) {
        let name = |name: &Name| self.names.get(*name as usize).map_or("", String::as_str);
        for ObservedSpan { ts, service, env, own, parent, peer } in &self.spans {
            let (env, peer) = (env.as_ref().map(name), peer.as_ref().map(name));
            topology.span(KeyedSpan { ts: *ts, service: name(service), env, own: *own, parent: *parent, peer });
        }
        for ((end, from, to, env), number) in &self.calls {
            topology.calls(end - 1, name(from), name(to), env.as_ref().map(name), *number);
        }
    }
}
