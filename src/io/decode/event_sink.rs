//! Where every format writes the events of a message: kind and time are checked here, once for all formats.

use crate::io::decode::event_columns::EventColumns;
use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::{RejectReason, RejectionLimiter};
use crate::io::decode::series::series_of;
use crate::io::decode::syntax::Syntax;
use crate::io::decode::table_builders::TableBuilders;
use crate::io::decode::time_check::TimeCheck;
use crate::io::decode::unknown_words::UnknownWords;
use crate::model::event::{Kind, LabelKeys};
use crate::model::time::TimestampMs;

/// Takes the events of one message.
pub struct EventSink<'m> {
    pub(crate) tables: &'m mut TableBuilders,
    pub(crate) time_check: TimeCheck,
    /// The labels that become columns: a format may skip others.
    pub(crate) label_keys: &'m LabelKeys,
    /// The kind of the message's events, if its subject names one; a `kind` field in an event takes precedence.
    pub(crate) kind: Option<Kind>,
    /// Whether the message's headers name JSON or protobuf, for formats that have both.
    pub(crate) syntax: Syntax,
    pub(crate) unknown_words: &'m mut UnknownWords,
    pub(crate) rejections: RejectionLimiter<'m>,
}

impl EventSink<'_> {
    /// Takes one event. The error says why it cannot be taken; then nothing of it was written.
    pub(crate) fn event(&mut self, event: &mut RawEvent<'_>) -> Result<(), RejectReason> {
        let kind = match (&event.kind, self.kind) {
            (Some(kind), _) => kind.parse::<Kind>().map_err(|error| RejectReason::Kind(error.to_string()))?,
            (None, Some(kind)) => kind,
            (None, None) => return Err(RejectReason::Kind("no `kind` field, and the subject names none".into())),
        };
        self.put(kind, event)
    }

    /// Takes one event of this kind. The error says why it cannot be taken; then nothing of it was written.
    pub(crate) fn put(&mut self, kind: Kind, event: &mut RawEvent<'_>) -> Result<(), RejectReason> {
        let ts = match &event.ts {
            Some(Ok(ts)) => *ts,
            Some(Err(why)) => return Err(RejectReason::Time(why.clone())),
            None => return Err(RejectReason::Time("no `ts` field".into())),
        };
        self.time_check.check(ts)?;
        if kind == Kind::Metric && self.label_keys.reads_series() && event.text(TextField::Series).is_none() {
            event.set(TextField::Series, series_of(event));
        }
        self.tables.push(kind, ts, event, self.unknown_words)
    }

    /// Takes record `number` of the message, or hands it back as a line of native JSON.
    pub(crate) fn take(&mut self, number: usize, kind: Kind, event: &mut RawEvent<'_>) {
        let infinite = event.numbers.iter().flatten().find(|value| !value.is_finite());
        let taken = match infinite {
            Some(value) => Err(RejectReason::Field(format!("a value is {value}, no finite number"))),
            None => self.put(kind, event),
        };
        if let Err(reason) = taken {
            let line = event.to_json(kind);
            self.reject(number, &line, reason);
        }
        event.texts[TextField::Series as usize] = None;
    }

    /// When the broker received the message: the time of events that have none of their own.
    pub(crate) fn received_at(&self) -> Option<TimestampMs> {
        self.time_check.received_at
    }

    /// Whether this label of an event of this kind is read by anything.
    pub(crate) fn reads_label(&self, kind: Kind, key: &str) -> bool {
        kind == Kind::Alert || kind == Kind::Metric && self.label_keys.reads_series() || self.label_keys.reads(kind, key)
    }

    /// Takes all rows at once if each of them is good. Otherwise returns `false`, and nothing was written.
    pub(crate) fn whole_columns(&mut self, kind: Kind, columns: &EventColumns) -> bool {
        // Alerts and signals are made of one row at a time.
        let good =
            kind != Kind::Alert && self.label_keys.signals().is_none() && columns.all_good(kind, self.time_check.accepted());
        if good {
            self.tables.append(kind, columns);
        }
        good
    }

    /// Hands back one bad event, by its number in the message, from 1.
    pub(crate) fn reject(&mut self, number: usize, bytes: &[u8], reason: RejectReason) {
        self.rejections.reject(number, bytes, reason);
    }
}
