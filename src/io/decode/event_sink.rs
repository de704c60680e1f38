//! Where every format writes the events of a message: kind and time are checked here, once for all formats.

use crate::io::decode::event_columns::EventColumns;
use crate::io::decode::raw_event::RawEvent;
use crate::io::decode::rejection::{RejectReason, RejectionLimiter};
use crate::io::decode::table_builders::TableBuilders;
use crate::io::decode::time_check::TimeCheck;
use crate::io::decode::unknown_words::UnknownWords;
use crate::model::event::{Kind, LabelKeys};

/// Takes the events of one message.
pub struct EventSink<'m> {
    pub(crate) tables: &'m mut TableBuilders,
    pub(crate) time_check: TimeCheck,
    /// The labels that become columns: a format may skip others.
    pub(crate) label_keys: &'m LabelKeys,
    /// The kind of the message's events, if its subject names one; a `kind` field in an event takes precedence.
    pub(crate) kind: Option<Kind>,
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
        let ts = event.ts.take().ok_or_else(|| RejectReason::Time("no `ts` field".into()))?.map_err(RejectReason::Time)?;
        self.time_check.check(ts)?;
        self.tables.push(kind, ts, event, self.unknown_words)
    }

    /// Takes all rows at once if each of them is good. Otherwise returns `false`, and nothing was written.
    pub(crate) fn whole_columns(&mut self, kind: Kind, columns: &EventColumns) -> bool {
        let good = kind != Kind::Alert && columns.all_good(kind, self.time_check.accepted());
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
