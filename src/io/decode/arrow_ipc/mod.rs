//! Messages that are Arrow IPC streams, a row an event. A stream is read in whole before any row of it counts; its columns are taken
//! as they are where all rows are good, else row by row.

mod column_plan;
mod frames;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::buffer::Buffer;
use arrow::datatypes::Schema;

use crate::io::decode::arrow_ipc::column_plan::ColumnPlan;
use crate::io::decode::arrow_ipc::frames::batches;
use crate::io::decode::event_columns::EventColumns;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split;
use crate::model::event::{Kind, LabelKeys, UnknownKind};
use crate::model::limits::{EVENT_BYTES_MAX, MESSAGE_INFLATED_BYTES_MAX};

/// Arrow IPC streams.
pub static FORMAT: Format = Format {
    name: "arrow_ipc",
    media_types: &["application/vnd.apache.arrow.stream"],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: split::whole,
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let (kind, batches) = read(payload, sink.kind, sink.label_keys)?;
    sink.kind = Some(kind);
    let mut number = 0;
    for columns in &batches {
        if sink.whole_columns(kind, columns) {
            number += columns.rows();
            continue;
        }
        for row in 0..columns.rows() {
            number += 1;
            if let Err(reason) = decode_row(columns, row, sink) {
                sink.reject(number, &columns.row_as_json(kind, row), reason);
            }
        }
    }
    Ok(())
}

fn decode_row(columns: &EventColumns, row: usize, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let bytes = columns.text_bytes(row);
    if bytes > EVENT_BYTES_MAX {
        return Err(RejectReason::Size(bytes));
    }
    sink.event(&mut columns.event(row)?)
}

fn read(payload: Cow<'_, [u8]>, kind: Option<Kind>, label_keys: &LabelKeys) -> Result<(Kind, Vec<EventColumns>), RejectReason> {
    let buffer = match payload {
        // Copied once, to where its columns are aligned.
        Cow::Borrowed(bytes) => Buffer::from(bytes),
        Cow::Owned(bytes) => Buffer::from_vec(bytes),
    };
    let read = || {
        let mut plan = None;
        let mut all = Vec::new();
        let mut project = |schema: &Schema| {
            let plan = plan.insert(ColumnPlan::new(schema, kind_of(schema, kind)?, label_keys)?);
            Ok(plan.projection())
        };
        let batches = batches(buffer, &mut project)?;
        let plan = plan.ok_or_else(|| RejectReason::Arrow("the Arrow stream has no schema".into()))?;
        let mut budget = MESSAGE_INFLATED_BYTES_MAX;
        for batch in &batches {
            all.push(plan.columns(batch, &mut budget)?);
        }
        Ok((plan.kind(), all))
    };
    // Arrow's reader panics on some corrupt streams. No state outlives the panic.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(RejectReason::Arrow("the Arrow stream is corrupt".into())))
}

/// The schema's metadata takes precedence over the subject, as an event's `kind` field does.
fn kind_of(schema: &Schema, subject: Option<Kind>) -> Result<Kind, RejectReason> {
    match schema.metadata().get("kind") {
        Some(kind) => kind.parse().map_err(|error: UnknownKind| RejectReason::Kind(error.to_string())),
        None => {
            subject.ok_or_else(|| RejectReason::Kind("no `kind` in the schema's metadata, and the subject names none".into()))
        }
    }
}
