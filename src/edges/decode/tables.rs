//! Column builders of the four event tables: an event is checked in whole before any column of it is written.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, RecordBatch, RecordBatchOptions, StringViewBuilder, TimestampMillisecondBuilder};
use arrow::datatypes::SchemaRef;

use crate::edges::decode::Reason;
use crate::edges::decode::json::{RawEvent, Text};
use crate::words::event::{Column, EventBatch, ExternalAlert, Kind, LabelKeys, MessageMark};
use crate::words::labels::Labels;
use crate::words::limits::EXTERNAL_LABELS_MAX;
use crate::words::severity::Severity;
use crate::words::time::TimestampMs;

/// Builders for a batch of messages.
#[derive(Debug)]
pub struct Tables {
    kinds: [Table; 4],
    alerts: Vec<ExternalAlert>,
    marks: Vec<MessageMark>,
    min_ts: Option<TimestampMs>,
    max_ts: Option<TimestampMs>,
}

#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    labels: Vec<String>,
    times: TimestampMillisecondBuilder,
    columns: Vec<(&'static str, Builder)>,
    label_columns: Vec<StringViewBuilder>,
    rows: usize,
}

#[derive(Debug)]
enum Builder {
    Text(StringViewBuilder),
    Number(Float64Builder),
}

impl Tables {
    /// Empty builders with these label columns.
    pub fn new(label_keys: &LabelKeys) -> Self {
        Self {
            kinds: Kind::ALL.map(|kind| Table::new(kind, label_keys)),
            alerts: Vec::new(),
            marks: Vec::new(),
            min_ts: None,
            max_ts: None,
        }
    }

    /// Writes one event.
    pub fn push(&mut self, kind: Kind, ts: TimestampMs, event: &RawEvent<'_>) -> Result<(), Reason> {
        let missing = |field: &str| Reason::Field(format!("a {kind} needs `{field}`"));
        match kind {
            Kind::Metric if event.name.is_none() => return Err(missing("name")),
            Kind::Metric if event.value.is_none() => return Err(missing("value")),
            Kind::Log if event.body.is_none() => return Err(missing("body")),
            Kind::Span if event.name.is_none() => return Err(missing("name")),
            Kind::Alert => {
                let alert = external_alert(ts, event)?;
                self.alerts.push(alert);
            }
            _ => {}
        }
        self.kinds[kind as usize].push(ts, event);
        self.min_ts = Some(self.min_ts.map_or(ts, |known| known.min(ts)));
        self.max_ts = Some(self.max_ts.map_or(ts, |known| known.max(ts)));
        Ok(())
    }

    /// The message ends here.
    pub fn end_message(&mut self, received_at: Option<TimestampMs>) {
        self.marks.push(MessageMark {
            rows_end: std::array::from_fn(|kind| self.kinds[kind].rows),
            alerts_end: self.alerts.len(),
            min_ts: self.min_ts.take(),
            max_ts: self.max_ts.take(),
            received_at,
        });
    }

    /// Rows written since the last batch.
    pub fn rows(&self) -> usize {
        self.kinds.iter().map(|table| table.rows).sum()
    }

    /// Messages ended since the last batch.
    pub fn messages(&self) -> usize {
        self.marks.len()
    }

    /// Ends the batch.
    pub fn take(&mut self) -> EventBatch {
        EventBatch {
            tables: std::array::from_fn(|kind| self.kinds[kind].take()),
            alerts: std::mem::take(&mut self.alerts),
            messages: std::mem::take(&mut self.marks),
        }
    }
}

impl Table {
    fn new(kind: Kind, label_keys: &LabelKeys) -> Self {
        let builder = |column: &Column| match column {
            Column::Number => Builder::Number(Float64Builder::new()),
            Column::Text | Column::Time => Builder::Text(StringViewBuilder::new()),
        };
        Self {
            schema: label_keys.schema(kind),
            labels: label_keys.of(kind).map(String::from).collect(),
            times: TimestampMillisecondBuilder::new(),
            columns: kind.columns()[1..].iter().map(|(name, column)| (*name, builder(column))).collect(),
            label_columns: label_keys.of(kind).map(|_| StringViewBuilder::new()).collect(),
            rows: 0,
        }
    }

    fn push(&mut self, ts: TimestampMs, event: &RawEvent<'_>) {
        self.rows += 1;
        self.times.append_value(ts);
        for (name, builder) in &mut self.columns {
            match builder {
                Builder::Text(builder) => builder.append_option(text_of(event, name).map(AsRef::<str>::as_ref)),
                Builder::Number(builder) => builder.append_option(if *name == "value" { event.value } else { event.duration_ms }),
            }
        }
        for (key, builder) in self.labels.iter().zip(&mut self.label_columns) {
            builder.append_option(event.labels.get(key).map(AsRef::<str>::as_ref));
        }
    }

    fn take(&mut self) -> RecordBatch {
        let times: ArrayRef = Arc::new(self.times.finish());
        let plain = self.columns.iter_mut().map(|(_, builder)| match builder {
            Builder::Text(builder) => Arc::new(builder.finish()) as ArrayRef,
            Builder::Number(builder) => Arc::new(builder.finish()) as ArrayRef,
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

fn text_of<'e, 'a>(event: &'e RawEvent<'a>, column: &str) -> Option<&'e Text<'a>> {
    match column {
        "name" => event.name.as_ref(),
        "service" => event.service.as_ref(),
        "host" => event.host.as_ref(),
        "env" => event.env.as_ref(),
        "severity" => event.severity.as_ref(),
        "body" => event.body.as_ref(),
        "status" => event.status.as_ref(),
        "trace_id" => event.trace_id.as_ref(),
        "span_id" => event.span_id.as_ref(),
        "parent_id" => event.parent_id.as_ref(),
        _ => None,
    }
}

fn external_alert(ts: TimestampMs, event: &RawEvent<'_>) -> Result<ExternalAlert, Reason> {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.to_string());
    let name = text(&event.name).or_else(|| event.labels.get("alertname").map(|name| name.to_string()));
    let name = name.ok_or_else(|| Reason::Field("an alert needs `name`".into()))?;
    let firing = match event.status.as_deref() {
        None | Some("firing" | "triggered" | "alerting" | "open") => true,
        Some("resolved" | "ok" | "closed") => false,
        Some(other) => return Err(Reason::Field(format!("`status` is {other:?}: an alert is firing or resolved"))),
    };
    // A word that we do not know must not silence an alert: it counts as a warning.
    let severity = event.severity.as_ref().or_else(|| event.labels.get("severity"));
    let severity = severity.map_or(Severity::Warning, |word| word.parse().unwrap_or(Severity::Warning));
    let own = [("service", &event.service), ("host", &event.host), ("env", &event.env)];
    let own = own.into_iter().filter_map(|(key, value)| Some((key.to_string(), text(value)?)));
    let given = event.labels.0.iter().take(EXTERNAL_LABELS_MAX).filter(|(key, _)| key != "severity" && key != "alertname");
    let labels = Labels::new(given.map(|(key, value)| (key.to_string(), value.to_string())).chain(own));
    let note = |keys: [&str; 2]| keys.iter().find_map(|key| event.annotations.get(key)).map(|note| note.to_string());
    Ok(ExternalAlert {
        ts,
        name,
        firing,
        severity,
        labels,
        summary: note(["summary", "description"]),
        runbook: note(["runbook_url", "runbook"]),
    })
}
