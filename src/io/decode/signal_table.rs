//! The column builders of the table `signals`. A metric becomes a signal where the mapping knows it; spans and logs become signals by what
//! they are. No state but the rows so far goes into a row, so a replay, a restart and any division of the input give the same signals.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{ArrayRef, Float64Builder, RecordBatch, RecordBatchOptions, StringViewBuilder, TimestampMillisecondBuilder};
use arrow::datatypes::SchemaRef;

use crate::io::decode::raw_event::{NumberField, RawEvent, TextField};
use crate::model::event::{Kind, LabelKeys, UTC};
use crate::model::limits::SIGNAL_NAMES_MAX;
use crate::model::severity::Severity;
use crate::model::signal::field_ref::{FieldRef, SeriesFields};
use crate::model::signal::line::SeriesKind;
use crate::model::signal::mapping::{SPAN_KIND, SPAN_PEER, SignalMapping};
use crate::model::signal::role::Role;
use crate::model::time::TimestampMs;

/// The name of signals that logs become.
const LOG: &str = "log";

/// Builders of the table's columns.
#[derive(Debug)]
pub(crate) struct SignalTable {
    schema: SchemaRef,
    /// `None` where no rule reads signals.
    mapping: Option<Arc<SignalMapping>>,
    /// The lines that can match metrics of a name.
    candidates: HashMap<String, Box<[u32]>, RandomState>,
    labels: Vec<String>,
    ts: TimestampMillisecondBuilder,
    value: Float64Builder,
    /// In the order of the columns, without the number.
    texts: [StringViewBuilder; TEXTS],
    label_columns: Vec<StringViewBuilder>,
    rows: usize,
}

const TEXTS: usize = 9;

/// A row.
#[derive(Clone, Copy, Debug)]
struct Signal<'a> {
    role: Role,
    value: f64,
    resource: Option<&'a str>,
    service: Option<&'a str>,
    host: Option<&'a str>,
    peer: Option<&'a str>,
    name: Option<&'a str>,
    temporality: &'static str,
}

impl SeriesFields for RawEvent<'_> {
    fn field(&self, field: &FieldRef) -> Option<&str> {
        match field {
            FieldRef::Service => self.text(TextField::Service),
            FieldRef::Host => self.text(TextField::Host),
            FieldRef::Env => self.text(TextField::Env),
            FieldRef::Label(key) => self.labels.get(key).map(AsRef::<str>::as_ref),
        }
    }
}

impl SignalTable {
    pub(crate) fn new(label_keys: &LabelKeys) -> Self {
        Self {
            schema: label_keys.schema(Kind::Signal),
            mapping: label_keys.signals().map(Arc::clone),
            candidates: HashMap::default(),
            labels: label_keys.of(Kind::Signal).map(String::from).collect(),
            ts: TimestampMillisecondBuilder::new(),
            value: Float64Builder::new(),
            texts: std::array::from_fn(|_| StringViewBuilder::new()),
            label_columns: label_keys.of(Kind::Signal).map(|_| StringViewBuilder::new()).collect(),
            rows: 0,
        }
    }

    /// Rows since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the signals that an event is, if any.
    #[inline]
    pub(crate) fn push(&mut self, kind: Kind, ts: TimestampMs, event: &RawEvent<'_>) {
        let Some(mapping) = self.mapping.clone() else { return };
        match kind {
            Kind::Metric => self.metric(&mapping, ts, event),
            Kind::Log => self.log(ts, event),
            Kind::Span => self.span(ts, event),
            Kind::Alert | Kind::Signal => {}
        }
    }

    fn metric(&mut self, mapping: &SignalMapping, ts: TimestampMs, event: &RawEvent<'_>) {
        let (Some(name), Some(value)) = (event.text(TextField::Name), event.number(NumberField::Value)) else { return };
        if !self.candidates.contains_key(name) {
            if self.candidates.len() >= SIGNAL_NAMES_MAX {
                self.candidates.clear();
            }
            self.candidates.insert(name.to_string(), mapping.candidates(name).into());
        }
        let Some(line) = self.candidates.get(name).and_then(|lines| mapping.first_match(lines, event)) else { return };
        let of = event.field(&line.of);
        let of_host = line.of == FieldRef::Host;
        let temporality = line.kind.temporality(event.text(TextField::Temporality));
        for role in &line.roles {
            let signal = Signal {
                role: *role,
                value: value * line.factor + 0.0,
                resource: line.resource.as_deref(),
                service: if of_host { None } else { of },
                host: if of_host { of } else { event.field(&line.on) },
                peer: line.seen_by.as_ref().and_then(|field| event.field(field)),
                name: Some(name),
                temporality,
            };
            self.row(ts, event, signal);
        }
    }

    /// A record of an error is one piece of work that failed.
    fn log(&mut self, ts: TimestampMs, event: &RawEvent<'_>) {
        let severity = event.text(TextField::Severity).and_then(|word| word.parse::<Severity>().ok());
        if severity == Some(Severity::Critical) {
            self.row(ts, event, Signal { name: Some(LOG), ..Signal::one(Role::Errors, event) });
        }
    }

    /// A span of a server or consumer is work of its service; one of a client or producer is work of the service that it names, as its caller
    /// sees it. Without a kind, it counts as one of a server. What happens within a service is no work of its own.
    fn span(&mut self, ts: TimestampMs, event: &RawEvent<'_>) {
        let label = |key: &str| event.labels.get(key).map(AsRef::<str>::as_ref);
        let own = event.text(TextField::Service);
        let (service, peer) = match label(SPAN_KIND) {
            None | Some("server" | "consumer") => (own, None),
            Some("client" | "producer") => match label(SPAN_PEER) {
                Some(called) => (Some(called), own),
                None => return,
            },
            Some(_) => return,
        };
        // The host is that of the span's service, not of the one that it calls.
        let host = if peer.is_none() { event.text(TextField::Host) } else { None };
        let one = |role| Signal { service, peer, host, ..Signal::one(role, event) };
        self.row(ts, event, one(Role::Traffic));
        if event.text(TextField::Status) == Some("error") {
            self.row(ts, event, one(Role::Errors));
        }
        if let Some(duration_ms) = event.number(NumberField::DurationMs) {
            let temporality = SeriesKind::Gauge.temporality(None);
            self.row(ts, event, Signal { value: duration_ms / 1_000.0, temporality, ..one(Role::Duration) });
        }
    }

    fn row(&mut self, ts: TimestampMs, event: &RawEvent<'_>, signal: Signal<'_>) {
        let Signal { role, value, resource, service, host, peer, name, temporality } = signal;
        self.rows += 1;
        self.ts.append_value(ts);
        self.value.append_value(value);
        let series = event.text(TextField::Series);
        let texts: [Option<&str>; TEXTS] =
            [Some(role.as_str()), resource, service, host, peer, event.text(TextField::Env), name, Some(temporality), series];
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            builder.append_option(text);
        }
        for (key, builder) in self.labels.iter().zip(&mut self.label_columns) {
            builder.append_option(event.labels.get(key).map(AsRef::<str>::as_ref));
        }
    }

    /// The rows since the last batch.
    pub(crate) fn take(&mut self) -> RecordBatch {
        let ts: ArrayRef = Arc::new(self.ts.finish().with_timezone(UTC));
        let mut texts = self.texts.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let role = texts.next();
        let value: ArrayRef = Arc::new(self.value.finish());
        let labels = self.label_columns.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let columns: Vec<ArrayRef> = [ts].into_iter().chain(role).chain([value]).chain(texts).chain(labels).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        match RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options) {
            Ok(batch) => batch,
            Err(error) => unreachable!("builders follow the schema: {error}"),
        }
    }
}

impl<'a> Signal<'a> {
    /// One piece of work of an event that is no metric.
    fn one(role: Role, event: &'a RawEvent<'_>) -> Self {
        Self {
            role,
            value: 1.0,
            resource: None,
            service: event.text(TextField::Service),
            host: event.text(TextField::Host),
            peer: None,
            name: event.text(TextField::Name),
            temporality: SeriesKind::Increment.temporality(None),
        }
    }
}
