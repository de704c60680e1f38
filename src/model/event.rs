//! Events as Arrow columns: one table a kind, and the table of signals, which is made of the others' rows.
//!
//! There is no column `labels`. Only the label keys that some rule reads become columns, named `labels['key']` as in the rule's
//! SQL: a map column would be searched at each access.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use serde::{Deserialize, Serialize};

use crate::model::command::Command;
use crate::model::labels::Labels;
use crate::model::limits::SOURCES_MAX;
use crate::model::severity::Severity;
use crate::model::signal::mapping::{SPAN_LABELS, SignalMapping};
use crate::model::time::TimestampMs;

/// What an event is, which is also the table that it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A sample of a metric: table `metrics`.
    Metric,
    /// A log record: table `logs`.
    Log,
    /// A span of a trace: table `spans`.
    Span,
    /// An alert of another system: table `alerts`, and the alert life cycle.
    Alert,
    /// What metrics, logs and spans say in a known role: table `signals`. No sender can send one.
    Signal,
}

/// The number of tables.
pub const TABLES: usize = Kind::ALL.len();

impl Kind {
    /// All kinds, in the order of their tables.
    pub const ALL: [Kind; 5] = [Kind::Metric, Kind::Log, Kind::Span, Kind::Alert, Kind::Signal];

    /// The SQL table that holds events of this kind.
    pub fn table(self) -> &'static str {
        match self {
            Kind::Metric => "metrics",
            Kind::Log => "logs",
            Kind::Span => "spans",
            Kind::Alert => "alerts",
            Kind::Signal => "signals",
        }
    }

    /// The kind whose table has this name.
    pub fn of_table(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.table() == name)
    }

    /// The columns of this kind's table besides the label columns, in order. `ts` always comes first.
    pub fn columns(self) -> &'static [(&'static str, Column)] {
        use Column::{Number, Text, Time};
        match self {
            Kind::Metric => &[
                ("ts", Time),
                ("name", Text),
                ("value", Number),
                ("service", Text),
                ("host", Text),
                ("env", Text),
                ("temporality", Text),
                ("series", Text),
            ],
            Kind::Log => &[
                ("ts", Time),
                ("severity", Text),
                ("body", Text),
                ("service", Text),
                ("host", Text),
                ("env", Text),
                ("trace_id", Text),
            ],
            Kind::Span => &[
                ("ts", Time),
                ("name", Text),
                ("duration_ms", Number),
                ("status", Text),
                ("service", Text),
                ("host", Text),
                ("env", Text),
                ("trace_id", Text),
                ("span_id", Text),
                ("parent_id", Text),
            ],
            Kind::Alert => &[
                ("ts", Time),
                ("name", Text),
                ("status", Text),
                ("severity", Text),
                ("service", Text),
                ("host", Text),
                ("env", Text),
            ],
            Kind::Signal => &[
                ("ts", Time),
                ("role", Text),
                ("value", Number),
                ("resource", Text),
                ("service", Text),
                ("host", Text),
                ("peer", Text),
                ("env", Text),
                ("name", Text),
                ("temporality", Text),
                ("series", Text),
            ],
        }
    }

    /// The column by which the table's rows are sorted to the rules that read them. It is the second one, where there is one.
    pub fn routed_by(self) -> Option<&'static str> {
        match self {
            Kind::Metric => Some("name"),
            Kind::Signal => Some("role"),
            Kind::Log | Kind::Span | Kind::Alert => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Metric => "metric",
            Kind::Log => "log",
            Kind::Span => "span",
            Kind::Alert => "alert",
            Kind::Signal => "signal",
        })
    }
}

/// The text is not the name of a kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown kind {0:?}: use metric, log, span or alert")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "metric" | "metrics" => Ok(Kind::Metric),
            "log" | "logs" => Ok(Kind::Log),
            "span" | "spans" | "trace" | "traces" => Ok(Kind::Span),
            "alert" | "alerts" => Ok(Kind::Alert),
            _ => Err(UnknownKind(text.to_string())),
        }
    }
}

/// The time zone of the column `ts`: an instant, unlike a local time, which has no zone.
pub const UTC: &str = "UTC";

/// The type of a column of an event table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `Timestamp(Millisecond)` of UTC, never null.
    Time,
    /// `Utf8View`, null where the event lacks it.
    Text,
    /// `Float64`, null where the event lacks it.
    Number,
}

impl Column {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Column::Time => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
            Column::Text => DataType::Utf8View,
            Column::Number => DataType::Float64,
        }
    }
}

/// The name of the column that holds the label `key`: `labels['key']`.
pub fn label_column(key: &str) -> String {
    format!("labels['{key}']")
}

/// The label that a column named as by [`label_column`] holds.
pub fn label_of_column(column: &str) -> Option<&str> {
    column.strip_prefix("labels['")?.strip_suffix("']")
}

/// The label keys that are read, by kind: the decoder drops all others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelKeys {
    /// Keys that rules read.
    rules: [BTreeSet<String>; TABLES],
    /// Keys that only other parts read. Compiled rules refer to columns by index, so these come after the keys of rules.
    others: [BTreeSet<String>; TABLES],
    /// Whether rules read the column `series` of metrics, which costs the decoder a hash for each event.
    series: bool,
    /// Whether rules read the table `signals`.
    signals: bool,
    /// What series are signals; the mapping that ships, where none is set.
    mapping: Option<Arc<SignalMapping>>,
}

impl LabelKeys {
    /// Adds a key that rules read of `kind`.
    pub fn insert(&mut self, kind: Kind, key: &str) {
        self.rules[kind as usize].insert(key.to_string());
        self.others[kind as usize].remove(key);
    }

    /// Adds a key that other parts read of `kind`: the column indices of rules stay as they are.
    pub fn insert_other(&mut self, kind: Kind, key: &str) {
        if !self.rules[kind as usize].contains(key) {
            self.others[kind as usize].insert(key.to_string());
        }
    }

    /// Rules read the column `series`.
    pub fn read_series(&mut self) {
        self.series = true;
    }

    /// Whether the column `series` is filled.
    pub fn reads_series(&self) -> bool {
        self.series
    }

    /// Rules read the table `signals`.
    pub fn read_signals(&mut self) {
        self.signals = true;
    }

    /// Sets what series are signals.
    pub fn set_mapping(&mut self, mapping: Arc<SignalMapping>) {
        self.mapping = Some(mapping);
    }

    /// What series are signals, if any rule reads signals.
    pub fn signals(&self) -> Option<&Arc<SignalMapping>> {
        self.signals.then(|| self.mapping.as_ref().unwrap_or(SignalMapping::shipped()))
    }

    /// Whether anything reads this label of events of `kind`.
    pub fn reads(&self, kind: Kind, key: &str) -> bool {
        self.rules[kind as usize].contains(key) || self.others[kind as usize].contains(key) || self.signals_read(kind, key)
    }

    /// Whether anything reads labels of events of `kind`.
    pub fn reads_any(&self, kind: Kind) -> bool {
        self.of(kind).next().is_some() || self.signals
    }

    fn signals_read(&self, kind: Kind, key: &str) -> bool {
        let Some(mapping) = self.signals() else { return false };
        match kind {
            Kind::Alert | Kind::Signal => false,
            _ if self.rules[Kind::Signal as usize].contains(key) => true,
            Kind::Metric => mapping.reads_label(key),
            Kind::Span => SPAN_LABELS.contains(&key),
            Kind::Log => false,
        }
    }

    /// Adds the keys that rules read in `other`.
    pub fn extend(&mut self, other: &LabelKeys) {
        for kind in Kind::ALL {
            other.rules[kind as usize].iter().for_each(|key| self.insert(kind, key));
        }
        self.series |= other.series;
        self.signals |= other.signals;
    }

    /// The keys of `kind`, in the order of their columns.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.rules[kind as usize].iter().chain(&self.others[kind as usize]).map(String::as_str)
    }

    /// The Arrow schema of `kind`'s table with these label columns at its end.
    pub fn schema(&self, kind: Kind) -> SchemaRef {
        let plain = kind.columns().iter().map(|(name, column)| Field::new(*name, column.data_type(), *column != Column::Time));
        let labels = self.of(kind).map(|key| Field::new(label_column(key), DataType::Utf8View, true));
        Arc::new(Schema::new(plain.chain(labels).collect::<Vec<_>>()))
    }
}

/// An alert of another system, as it enters the alert life cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalAlert {
    /// When the other system reported it.
    pub ts: TimestampMs,
    /// The other system's name for the alert; used as the rule's name.
    pub name: String,
    /// Firing or resolved.
    pub firing: bool,
    /// The other system's severity.
    pub severity: Severity,
    /// What identifies it where the other system has an id for it; else its name and labels do.
    pub key: Option<String>,
    /// All labels, with `service`, `host` and `env` among them.
    pub labels: Labels,
    /// A sentence for people.
    pub summary: Option<String>,
    /// The address of the runbook.
    pub runbook: Option<String>,
}

/// The source whose event time a message advances: an index into [`EventBatch::sources`].
pub type SourceId = u16;

/// Assigns ids to sources, in the order of their first message. Sources beyond [`SOURCES_MAX`] share the id 0.
#[derive(Clone, Debug)]
pub struct Sources {
    names: Arc<Vec<String>>,
    ids: BTreeMap<String, SourceId>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { names: Arc::new(vec!["others".into()]), ids: BTreeMap::new() }
    }
}

impl Sources {
    /// Continues with the ids of a checkpoint; the first name stands for all sources without an id of their own.
    pub fn known(names: Arc<Vec<String>>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let ids = names.iter().enumerate().skip(1).map(|(id, name)| (name.clone(), id as SourceId)).collect();
        Self { names, ids }
    }

    /// The id of a source.
    pub fn id(&mut self, name: &str) -> SourceId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        if self.names.len() >= SOURCES_MAX {
            return 0;
        }
        let id = self.names.len() as SourceId;
        Arc::make_mut(&mut self.names).push(name.into());
        self.ids.insert(name.into(), id);
        id
    }

    /// The names, by id.
    pub fn names(&self) -> &Arc<Vec<String>> {
        &self.names
    }
}

/// Where a message ends within an [`EventBatch`], and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageMark {
    /// Rows of each table (in the order of [`Kind::ALL`]) that belong to this message or to one before it.
    pub rows_end: [usize; TABLES],
    /// External alerts that belong to this message or to one before it.
    pub alerts_end: usize,
    /// The latest event time in the message; `None` if no event of it was good.
    pub max_ts: Option<TimestampMs>,
    /// The earliest event time in the message.
    pub min_ts: Option<TimestampMs>,
    /// When the broker received the message; `None` in a replay.
    pub received_at: Option<TimestampMs>,
    /// The source whose event time it advances.
    pub source: SourceId,
}

/// Decoded messages, in the order in which they arrived: the engine's input.
#[derive(Clone, Debug)]
pub struct EventBatch {
    /// The rows of each table, in the order of [`Kind::ALL`], columns as in [`LabelKeys::schema`].
    pub tables: [RecordBatch; TABLES],
    /// The alerts of other systems, in order.
    pub alerts: Vec<ExternalAlert>,
    /// One mark a message.
    pub messages: Vec<MessageMark>,
    /// Commands, in order, each with the index of its message.
    pub commands: Vec<(usize, Command)>,
    /// The names of sources known so far, by id.
    pub sources: Arc<Vec<String>>,
}

impl EventBatch {
    /// When the broker received each row; in a replay, the event's own time.
    pub fn received(&self, kind: Kind, rows: Range<usize>) -> Vec<TimestampMs> {
        let own = self.tables[kind as usize].column(0).as_primitive::<TimestampMillisecondType>().values();
        let mut received = Vec::with_capacity(rows.len());
        for mark in &self.messages {
            let end = mark.rows_end[kind as usize].min(rows.end);
            let mine = rows.start + received.len()..end;
            received.extend(mine.map(|row| mark.received_at.unwrap_or(own[row])));
        }
        received.extend(own[rows.start + received.len()..rows.end].iter());
        received
    }

    /// The events in the batch, of all kinds.
    pub fn events(&self) -> usize {
        self.tables[..Kind::Signal as usize].iter().map(RecordBatch::num_rows).sum()
    }
}
