//! Finds calls between services in tables of spans and metrics.

use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::TimestampMillisecondType;

use crate::model::event::{EventBatch, Kind, TABLES, label_column};
use crate::topology::learn::{LearnParams, SpanFacts};
use crate::topology::observed_calls::CallSink;

/// Reports the calls in rows `from[k]..to[k]` of each table.
pub(super) fn report_calls(
    sink: &mut impl CallSink,
    params: &LearnParams,
    batch: &EventBatch,
    from: [usize; TABLES],
    to: [usize; TABLES],
) {
    let rows = |kind: Kind| from[kind as usize]..to[kind as usize];
    if params.spans && !rows(Kind::Span).is_empty() {
        report_span_calls(sink, params, &batch.tables[Kind::Span as usize], rows(Kind::Span));
    }
    if params.metrics && !rows(Kind::Metric).is_empty() {
        report_metric_calls(sink, params, &batch.tables[Kind::Metric as usize], rows(Kind::Metric));
    }
}

/// A text column, where the table has it.
fn texts<'a>(table: &'a RecordBatch, name: &str) -> Option<&'a StringViewArray> {
    table.column_by_name(name).and_then(|column| column.as_string_view_opt())
}

fn text(column: Option<&StringViewArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row)).filter(|text| !text.is_empty())
}

fn report_span_calls(sink: &mut impl CallSink, params: &LearnParams, table: &RecordBatch, rows: Range<usize>) {
    let times = table.column(0).as_primitive::<TimestampMillisecondType>().values();
    let columns = ["service", "env", "trace_id", "span_id", "parent_id"].map(|name| texts(table, name));
    let [service, env, trace_id, span_id, parent_id] = columns;
    let peer = texts(table, &label_column(&params.peer));
    for row in rows {
        let Some(service) = text(service, row) else { continue };
        sink.span(SpanFacts {
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

fn report_metric_calls(sink: &mut impl CallSink, params: &LearnParams, table: &RecordBatch, rows: Range<usize>) {
    let (client, server) = (texts(table, &label_column(&params.client)), texts(table, &label_column(&params.server)));
    if client.is_none() || server.is_none() {
        return;
    }
    let times = table.column(0).as_primitive::<TimestampMillisecondType>().values();
    let env = texts(table, "env");
    for row in rows {
        if let (Some(client), Some(server)) = (text(client, row), text(server, row)) {
            sink.call(times[row], client, server, text(env, row));
        }
    }
}
