//! The graph of an engine that runs: what events tell of it, what others tell, and when it comes into force.
//!
//! What is learned comes into force at instants of event time that do not depend on how messages were batched. What others tell
//! comes into force between two batches.

use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::TimestampMillisecondType;

use crate::engine::Engine;
use crate::model::event::{EventBatch, Kind, label_column};
use crate::model::time::TimestampMs;
use crate::topology::definition::{TopologyDefinition, TopologySource};
use crate::topology::learn::{LearnParams, SpanFacts};
use crate::topology::live::{LiveTopology, TopologyCensus};
use crate::topology::observed_calls::Told;

impl Engine {
    /// What a source tells of the graph, from here on.
    pub(crate) fn set_topology(&mut self, source: TopologySource, parts: TopologyDefinition) {
        if self.topology.set(source, parts) {
            let now = self.watermark.now().unwrap_or(TimestampMs::MIN);
            self.book.set_topology(now, self.topology.current().clone());
        }
    }

    /// Sees the calls that rows `from[k]..to[k]` of each table tell of.
    pub(crate) fn learn(&mut self, batch: &EventBatch, from: [usize; 4], to: [usize; 4]) {
        let params = self.topology.learn_params().clone();
        tell(&mut self.topology, &params, batch, from, to);
    }

    /// What was learned of the time before `at` comes into force.
    pub(crate) fn learn_until(&mut self, at: TimestampMs) {
        if self.topology.advance(at) {
            self.book.set_topology(at, self.topology.current().clone());
        }
    }

    /// The graph in force.
    pub fn topology(&self) -> &LiveTopology {
        &self.topology
    }

    /// How large the graph in force is, and of what it came.
    pub fn topology_census(&self) -> TopologyCensus {
        self.topology.census()
    }
}

/// Tells of the calls in rows `from[k]..to[k]` of each table.
pub(crate) fn tell(told: &mut impl Told, params: &LearnParams, batch: &EventBatch, from: [usize; 4], to: [usize; 4]) {
    let rows = |kind: Kind| from[kind as usize]..to[kind as usize];
    if params.spans && !rows(Kind::Span).is_empty() {
        tell_of_spans(told, params, &batch.tables[Kind::Span as usize], rows(Kind::Span));
    }
    if params.metrics && !rows(Kind::Metric).is_empty() {
        tell_of_metrics(told, params, &batch.tables[Kind::Metric as usize], rows(Kind::Metric));
    }
}

/// A column of texts, where the table has it.
fn texts<'a>(table: &'a RecordBatch, name: &str) -> Option<&'a StringViewArray> {
    table.column_by_name(name).and_then(|column| column.as_string_view_opt())
}

fn text(column: Option<&StringViewArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row)).filter(|text| !text.is_empty())
}

fn tell_of_spans(told: &mut impl Told, params: &LearnParams, table: &RecordBatch, rows: Range<usize>) {
    let times = table.column(0).as_primitive::<TimestampMillisecondType>().values();
    let columns = ["service", "env", "trace_id", "span_id", "parent_id"].map(|name| texts(table, name));
    let [service, env, trace_id, span_id, parent_id] = columns;
    let peer = texts(table, &label_column(&params.peer));
    for row in rows {
        let Some(service) = text(service, row) else { continue };
        told.span(SpanFacts {
            ts: times[row],
            service,
            env: text(env, row),
            trace_id: text(trace_id, row),
            span_id: text(span_id, row),
            parent_id: text(parent_id, row),
            peer: text(peer, row),
        });
    }
}

fn tell_of_metrics(told: &mut impl Told, params: &LearnParams, table: &RecordBatch, rows: Range<usize>) {
    let (client, server) = (texts(table, &label_column(&params.client)), texts(table, &label_column(&params.server)));
    if client.is_none() || server.is_none() {
        return;
    }
    let times = table.column(0).as_primitive::<TimestampMillisecondType>().values();
    let env = texts(table, "env");
    for row in rows {
        if let (Some(client), Some(server)) = (text(client, row), text(server, row)) {
            told.call(times[row], client, server, text(env, row));
        }
    }
}
