//! Messages that are Arrow IPC streams: read in whole before any row of them counts, then taken as whole columns where all rows
//! are good, else row by row as if they were lines.

mod columns;
mod frames;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::buffer::Buffer;
use arrow::datatypes::Schema;

pub(crate) use crate::io::decode::arrow_ipc::columns::Columns;
use crate::io::decode::arrow_ipc::columns::Plan;
use crate::io::decode::arrow_ipc::frames::batches;
use crate::io::decode::{Decoder, MessageInfo, Reason, Rejected};
use crate::model::event::{Kind, LabelKeys};
use crate::model::limits::EVENT_BYTES_MAX;
use crate::model::time::{EARLIEST_MS, LATEST_MS};

/// Takes one stream in. An error is about all of it; what is bad in single rows goes to `reject`.
pub(crate) fn take_in(
    decoder: &mut Decoder,
    bytes: Cow<'_, [u8]>,
    info: MessageInfo,
    reject: &mut dyn FnMut(Rejected),
) -> Result<(), Reason> {
    let (kind, batches) = read(bytes, info.kind, &decoder.label_keys)?;
    let info = MessageInfo { kind: Some(kind), ..info };
    let latest = info.received_at.map_or(LATEST_MS, |at| at.saturating_add(decoder.future_ms).min(LATEST_MS));
    let mut number = 0;
    for columns in &batches {
        if kind != Kind::Alert && decoder.recording.is_none() && columns.all_good(kind, EARLIEST_MS..=latest) {
            decoder.tables.append(kind, columns);
            number += columns.rows();
            continue;
        }
        for row in 0..columns.rows() {
            number += 1;
            if let Err(reason) = take_row(decoder, columns, row, info) {
                reject(Rejected::one(number, columns.row_as_json(kind, row), reason));
            }
        }
    }
    Ok(())
}

fn take_row(decoder: &mut Decoder, columns: &Columns, row: usize, info: MessageInfo) -> Result<(), Reason> {
    let bytes = columns.text_bytes(row);
    if bytes > EVENT_BYTES_MAX {
        return Err(Reason::Size(bytes));
    }
    let mut event = columns.event(row)?;
    decoder.event(&mut event, info)
}

fn read(bytes: Cow<'_, [u8]>, kind: Option<Kind>, label_keys: &LabelKeys) -> Result<(Kind, Vec<Columns>), Reason> {
    let buffer = match bytes {
        // Copied once, to where its columns are aligned.
        Cow::Borrowed(bytes) => Buffer::from(bytes),
        Cow::Owned(bytes) => Buffer::from_vec(bytes),
    };
    let read = || {
        let mut plan = None;
        let mut all = Vec::new();
        let mut set_out = |schema: &Schema| {
            let plan = plan.insert(Plan::new(schema, kind_of(schema, kind)?, label_keys)?);
            Ok(plan.projection())
        };
        let batches = batches(buffer, &mut set_out)?;
        let plan = plan.ok_or_else(|| Reason::Arrow("the Arrow stream has no schema".into()))?;
        let mut budget = crate::model::limits::MESSAGE_INFLATED_BYTES_MAX;
        for batch in &batches {
            all.push(plan.columns(batch, &mut budget)?);
        }
        Ok((plan.kind(), all))
    };
    // Arrow's reader checks what it reads, but answers some of what is wrong with a panic; nothing outlives it here.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Reason::Arrow("the Arrow stream is corrupt".into())))
}

/// The schema goes before the subject, as an event's `kind` field does.
fn kind_of(schema: &Schema, subject: Option<Kind>) -> Result<Kind, Reason> {
    match schema.metadata().get("kind") {
        Some(kind) => kind.parse().map_err(|error: crate::model::event::UnknownKind| Reason::Kind(error.to_string())),
        None => subject.ok_or_else(|| Reason::Kind("no `kind` in the schema's metadata, and the subject names none".into())),
    }
}
