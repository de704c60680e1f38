//! Writes records as events, one after the other, that share what stands above them in the message: an OTLP resource, the labels of a Loki
//! stream or of a series. What a record says itself takes precedence.
//!
//! A name becomes a column where it means one ([`semantic`](crate::io::decode::semantic)), and a label where a rule reads it.

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::raw_event::{NUMBER_FIELDS, NumberField, RawEvent, TEXT_FIELDS, Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::{Meaning, Ranks};
use crate::model::event::Kind;
use crate::model::time::TimestampMs;

/// Which column a name means.
pub(crate) type MeaningOf = fn(&str) -> Option<Meaning>;

/// Writes records of one kind.
pub(crate) struct Rows<'s, 'm, 'a> {
    pub(crate) sink: &'s mut EventSink<'m>,
    kind: Kind,
    meaning_of: MeaningOf,
    /// The event that is being written; its first labels are shared.
    pub(crate) event: RawEvent<'a>,
    ranks: Ranks,
    shared: Shared<'a>,
    /// Records so far.
    pub(crate) number: usize,
}

#[derive(Default)]
struct Shared<'a> {
    labels: usize,
    texts: [Option<Text<'a>>; TEXT_FIELDS],
    ranks: Ranks,
}

/// What becomes of a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    meaning: Option<Meaning>,
    label: bool,
}

impl<'s, 'm, 'a> Rows<'s, 'm, 'a> {
    pub(crate) fn new(sink: &'s mut EventSink<'m>, kind: Kind, meaning_of: MeaningOf) -> Self {
        let (event, ranks, shared) = (RawEvent::default(), Ranks::default(), Shared::default());
        Self { sink, kind, meaning_of, event, ranks, shared, number: 0 }
    }

    /// Begins what records share.
    pub(crate) fn begin_shared(&mut self) {
        self.event.clear();
        self.ranks = Ranks::default();
        self.shared = Shared::default();
    }

    /// What was written since [`Self::begin_shared`] holds for the records that follow.
    pub(crate) fn end_shared(&mut self) {
        let (labels, texts) = (self.event.labels.0.len(), self.event.texts.clone());
        self.shared = Shared { labels, texts, ranks: self.ranks.shared() };
    }

    /// Begins a record.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.event.labels.0.truncate(self.shared.labels);
        self.event.texts.clone_from(&self.shared.texts);
        self.event.numbers = [None; NUMBER_FIELDS];
        self.event.ts = None;
        self.ranks = self.shared.ranks;
        self.number += 1;
    }

    /// What becomes of a pair with this key; `None` if nothing does.
    #[inline]
    pub(crate) fn wanted(&self, key: &str) -> Option<Wanted> {
        let wanted = Wanted { meaning: (self.meaning_of)(key), label: self.sink.reads_label(self.kind, key) };
        (wanted.meaning.is_some() || wanted.label).then_some(wanted)
    }

    /// Writes a pair.
    #[inline]
    pub(crate) fn put(&mut self, wanted: Wanted, key: Text<'a>, value: Text<'a>) {
        match wanted {
            Wanted { meaning: Some(meaning), label: false } => self.ranks.offer(&mut self.event, meaning, &key, value),
            Wanted { meaning, label: _ } => {
                if let Some(meaning) = meaning {
                    self.ranks.offer(&mut self.event, meaning, &key, value.clone());
                }
                self.event.labels.0.push((key, value));
            }
        }
    }

    /// Writes a pair, if anything becomes of it.
    #[inline]
    pub(crate) fn pair(&mut self, key: Text<'a>, value: Text<'a>) {
        if let Some(wanted) = self.wanted(&key) {
            self.put(wanted, key, value);
        }
    }

    /// Writes a label that the record does not name so itself, if a rule reads it.
    pub(crate) fn label(&mut self, key: &'static str, value: impl FnOnce() -> Text<'a>) {
        if self.sink.reads_label(self.kind, key) {
            self.event.labels.0.push((key.into(), value()));
        }
    }

    /// Sets a text field, whatever was written for it.
    pub(crate) fn set(&mut self, field: TextField, text: impl Into<Text<'a>>) {
        self.event.set(field, text);
    }

    /// Sets a number field.
    pub(crate) fn set_number(&mut self, field: NumberField, number: f64) {
        self.event.numbers[field as usize] = Some(number);
    }

    /// Sets the time; without one, the time of arrival counts.
    #[inline]
    pub(crate) fn time(&mut self, ts: Option<TimestampMs>) {
        self.event.ts = ts.or(self.sink.received_at()).map(Ok);
    }

    /// The same with nanoseconds, of which 0 are none.
    #[inline]
    pub(crate) fn nanoseconds(&mut self, nanoseconds: u64) {
        self.time((nanoseconds != 0).then_some((nanoseconds / 1_000_000) as TimestampMs));
    }

    /// Takes the event of the record.
    #[inline]
    pub(crate) fn take(&mut self) {
        self.sink.take(self.number, self.kind, &mut self.event);
    }

    /// Takes the event as the value of a metric. A value that is no number is no value.
    #[inline]
    pub(crate) fn take_value(&mut self, value: f64) {
        // A name that is empty is none, and the event is handed back for want of one.
        let name = &mut self.event.texts[TextField::Name as usize];
        if name.as_deref() == Some("") {
            *name = None;
        }
        if !value.is_nan() {
            self.set_number(NumberField::Value, value);
            self.take();
        }
    }

    /// Hands back the record.
    pub(crate) fn reject(&mut self, bytes: &[u8], reason: impl Into<RejectReason>) {
        self.sink.reject(self.number.max(1), bytes, reason.into());
    }
}
