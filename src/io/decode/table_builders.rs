//! The column builders of the event tables and of the signals made of their rows. An event is checked completely before any column of it is written.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, RecordBatch, RecordBatchOptions, StringViewArray, StringViewBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::SchemaRef;

use crate::io::decode::event_columns::EventColumns;
use crate::io::decode::external_alert::external_alert;
use crate::io::decode::raw_event::{Field, NumberField, RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::signal_table::SignalTable;
use crate::io::decode::unknown_words::UnknownWords;
use crate::model::command::Command;
use crate::model::event::{EventBatch, ExternalAlert, Kind, LabelKeys, MessageMark, SourceId, TABLES, UTC};
use crate::model::time::TimestampMs;

/// Data buffers of one column up to which they are shared and not copied.
const SHARED_BUFFERS_MAX: usize = 8;

/// Builders for a batch of messages.
#[derive(Debug)]
pub struct TableBuilders {
    /// In the order of their kinds; signals have a table of their own.
    kinds: [Table; TABLES - 1],
    signals: SignalTable,
    alerts: Vec<ExternalAlert>,
    commands: Vec<(usize, Command)>,
    marks: Vec<MessageMark>,
    min_ts: Option<TimestampMs>,
    max_ts: Option<TimestampMs>,
}

#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    labels: Vec<String>,
    times: TimestampMillisecondBuilder,
    columns: Vec<Builder>,
    label_columns: Vec<StringViewBuilder>,
    rows: usize,
}

#[derive(Debug)]
enum Builder {
    Text(TextField, StringViewBuilder),
    Number(NumberField, Float64Builder),
}

impl TableBuilders {
    /// Empty builders with these label columns.
    pub fn new(label_keys: &LabelKeys) -> Self {
        Self {
            kinds: [Kind::Metric, Kind::Log, Kind::Span, Kind::Alert].map(|kind| Table::new(kind, label_keys)),
            signals: SignalTable::new(label_keys),
            alerts: Vec::new(),
            commands: Vec::new(),
            marks: Vec::new(),
            min_ts: None,
            max_ts: None,
        }
    }

    /// Appends one event; an alert of another system also enters the alert life cycle.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        ts: TimestampMs,
        event: &mut RawEvent<'_>,
        unknown: &mut UnknownWords,
    ) -> Result<(), RejectReason> {
        let missing = |field: &str| RejectReason::Field(format!("a {kind} needs `{field}`"));
        match kind {
            Kind::Metric if event.text(TextField::Name).is_none() => return Err(missing("name")),
            Kind::Metric if event.number(NumberField::Value).is_none() => return Err(missing("value")),
            Kind::Log if event.text(TextField::Body).is_none() => return Err(missing("body")),
            Kind::Span if event.text(TextField::Name).is_none() => return Err(missing("name")),
            Kind::Alert => {
                let alert = external_alert(ts, event, unknown)?;
                self.alerts.push(alert);
            }
            _ => {}
        }
        self.signals.push(kind, ts, event);
        self.kinds[kind as usize].push(ts, event);
        self.extend_times(ts, ts);
        Ok(())
    }

    /// Appends whole columns; each of their rows must be good.
    pub(crate) fn append(&mut self, kind: Kind, columns: &EventColumns) {
        self.kinds[kind as usize].append(columns);
        if let (Some(min), Some(max)) = (columns.ts().iter().min(), columns.ts().iter().max()) {
            self.extend_times(*min, *max);
        }
    }

    fn extend_times(&mut self, min: TimestampMs, max: TimestampMs) {
        self.min_ts = Some(self.min_ts.map_or(min, |known| known.min(min)));
        self.max_ts = Some(self.max_ts.map_or(max, |known| known.max(max)));
    }

    /// Adds a command to the current message.
    pub fn push_command(&mut self, command: Command) {
        self.commands.push((self.marks.len(), command));
    }

    /// Ends the current message.
    pub fn end_message(&mut self, received_at: Option<TimestampMs>, source: SourceId) {
        self.marks.push(MessageMark {
            rows_end: std::array::from_fn(|kind| self.kinds.get(kind).map_or(self.signals.rows(), |table| table.rows)),
            alerts_end: self.alerts.len(),
            min_ts: self.min_ts.take(),
            max_ts: self.max_ts.take(),
            received_at,
            source,
        });
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.kinds.iter().map(|table| table.rows).sum::<usize>() + self.signals.rows()
    }

    /// Messages since the last batch.
    pub fn messages(&self) -> usize {
        self.marks.len()
    }

    /// Finishes the batch. `sources` are the names of all sources so far.
    pub fn take(&mut self, sources: &Arc<Vec<String>>) -> EventBatch {
        EventBatch {
            tables: std::array::from_fn(|kind| self.kinds.get_mut(kind).map_or_else(|| self.signals.take(), Table::take)),
            alerts: std::mem::take(&mut self.alerts),
            messages: std::mem::take(&mut self.marks),
            commands: std::mem::take(&mut self.commands),
            sources: Arc::clone(sources),
        }
    }
}

impl Table {
    fn new(kind: Kind, label_keys: &LabelKeys) -> Self {
        let builder = |name: &str| match Field::of(name) {
            Field::Text(field) => Builder::Text(field, StringViewBuilder::new()),
            Field::Number(field) => Builder::Number(field, Float64Builder::new()),
            _ => unreachable!("after `ts` a table has texts and numbers, and no {name}"),
        };
        Self {
            schema: label_keys.schema(kind),
            labels: label_keys.of(kind).map(String::from).collect(),
            times: TimestampMillisecondBuilder::new(),
            columns: kind.columns()[1..].iter().map(|(name, _)| builder(name)).collect(),
            label_columns: label_keys.of(kind).map(|_| StringViewBuilder::new()).collect(),
            rows: 0,
        }
    }

    fn push(&mut self, ts: TimestampMs, event: &RawEvent<'_>) {
        self.rows += 1;
        self.times.append_value(ts);
        for builder in &mut self.columns {
            match builder {
                Builder::Text(field, builder) => builder.append_option(event.text(*field)),
                Builder::Number(field, builder) => builder.append_option(event.number(*field).map(without_sign_of_zero)),
            }
        }
        for (key, builder) in self.labels.iter().zip(&mut self.label_columns) {
            builder.append_option(event.labels.get(key).map(AsRef::<str>::as_ref));
        }
    }

    fn append(&mut self, columns: &EventColumns) {
        let rows = columns.rows();
        self.rows += rows;
        self.times.append_slice(columns.ts());
        for builder in &mut self.columns {
            match builder {
                Builder::Text(field, builder) => append_texts(builder, columns.text(*field), rows),
                Builder::Number(field, builder) => match columns.number(*field) {
                    Some(numbers) => builder.append_array(&numbers.unary(without_sign_of_zero)),
                    None => builder.append_nulls(rows),
                },
            }
        }
        for (key, builder) in self.labels.iter().zip(&mut self.label_columns) {
            append_texts(builder, columns.label(key).as_ref(), rows);
        }
    }

    fn take(&mut self) -> RecordBatch {
        let times: ArrayRef = Arc::new(self.times.finish().with_timezone(UTC));
        let plain = self.columns.iter_mut().map(|builder| match builder {
            Builder::Text(_, builder) => Arc::new(builder.finish()) as ArrayRef,
            Builder::Number(_, builder) => Arc::new(builder.finish()) as ArrayRef,
        });
        let labels = self.label_columns.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let columns: Vec<ArrayRef> = std::iter::once(times).chain(plain).chain(labels).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        match RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options) {
            Ok(batch) => batch,
            Err(error) => unreachable!("builders follow the schema: {error}"),
        }
    }
}

/// -0 and 0 are one number, but values are grouped and told apart by their bits.
fn without_sign_of_zero(number: f64) -> f64 {
    number + 0.0
}

/// Long texts are shared with the message while they lie in few buffers. A message of many small batches is copied: each of its columns
/// would list all those buffers.
fn append_texts(builder: &mut StringViewBuilder, texts: Option<&StringViewArray>, rows: usize) {
    match texts {
        None => (0..rows).for_each(|_| builder.append_null()),
        Some(texts) if texts.data_buffers().len() <= SHARED_BUFFERS_MAX => builder.append_array(texts),
        Some(texts) => texts.iter().for_each(|text| builder.append_option(text)),
    }
}
