//! Messages in, Arrow columns out. Good lines of a bad message still count; a bad line is handed back with its bytes and the
//! reason, and stops nothing.

mod arrow_ipc;
pub mod column_builders;
pub mod decompress;
mod external_alert;
pub mod native_json;
pub mod raw_event;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::io::decode::column_builders::Tables;
use crate::io::decode::decompress::{Encoding, inflate};
use crate::io::decode::native_json::scan::scan;
use crate::io::decode::raw_event::RawEvent;
use crate::model::event::{EventBatch, Kind, LabelKeys, SourceId, Sources};
use crate::model::limits::{
    BYTES_PER_BATCH_MAX, EVENT_BYTES_MAX, MESSAGE_INFLATED_BYTES_MAX, REASON_CHARS_MAX, RECORDING_GAP_MS, RECORDING_STRAYS_MAX,
    REJECTED_LINES_MAX, ROWS_PER_BATCH_MAX,
};
use crate::model::time::{EARLIEST_MS, LATEST_MS, TimestampMs, format_rfc3339};

/// Why an event or a message was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The message could not be inflated, or inflates to too much.
    Inflate(String),
    /// The line is longer than [`EVENT_BYTES_MAX`].
    Size(usize),
    /// The line is no JSON object of the expected shape.
    Json(String),
    /// The Arrow stream is corrupt, or holds what cannot be read.
    Arrow(String),
    /// Neither the subject nor a `kind` field says what the event is.
    Kind(String),
    /// `ts` is missing, unreadable or out of range.
    Time(String),
    /// `ts` lies further ahead of the broker's clock than is allowed.
    Future(String),
    /// A field that the kind needs is missing or unusable.
    Field(String),
}

impl Reason {
    /// The name under which it is counted.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Inflate(_) => "inflate",
            Reason::Size(_) => "size",
            Reason::Json(_) => "json",
            Reason::Arrow(_) => "arrow",
            Reason::Kind(_) => "kind",
            Reason::Time(_) => "time",
            Reason::Future(_) => "future",
            Reason::Field(_) => "field",
        }
    }

    /// All names.
    pub const CODES: [&'static str; 8] = ["inflate", "size", "json", "arrow", "kind", "time", "future", "field"];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Inflate(why) => write!(f, "cannot be inflated: {why}"),
            Reason::Size(bytes) => write!(f, "{bytes} bytes in one line, the limit is {EVENT_BYTES_MAX}"),
            Reason::Json(why)
            | Reason::Arrow(why)
            | Reason::Kind(why)
            | Reason::Time(why)
            | Reason::Future(why)
            | Reason::Field(why) => f.write_str(clip(why)),
        }
    }
}

/// What an event holds may be all of a reason: its beginning tells enough.
fn clip(why: &str) -> &str {
    let end = why.char_indices().nth(REASON_CHARS_MAX).map_or(why.len(), |(at, _)| at);
    &why[..end]
}

/// What was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The line, or the row, within the message, from 1; 0 where the whole message is meant.
    pub line: usize,
    /// The bytes, untouched; a row of an Arrow stream is written as the line that would have said the same.
    pub bytes: Vec<u8>,
    /// Why.
    pub reason: Reason,
    /// Where the whole message stands for lines that are too many to be handed back one by one: how many, by reason.
    pub more: BTreeMap<&'static str, u64>,
}

impl Rejected {
    /// One line, or 0 for the whole message.
    pub fn one(line: usize, bytes: Vec<u8>, reason: Reason) -> Self {
        Self { line, bytes, reason, more: BTreeMap::new() }
    }

    /// How many lines or messages it is, by reason.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let itself = self.more.is_empty().then(|| (self.reason.code(), 1));
        itself.into_iter().chain(self.more.iter().map(|(code, lines)| (*code, *lines)))
    }
}

/// Hands on what is bad in one message, as long as it is not too much: a small one may inflate to millions of bad lines.
#[derive(Default)]
struct Rejections {
    told: usize,
    bytes: usize,
    first_untold: Option<Reason>,
    untold: BTreeMap<&'static str, u64>,
}

impl Rejections {
    fn take(&mut self, bad: Rejected, reject: &mut dyn FnMut(Rejected)) {
        if self.told < REJECTED_LINES_MAX && self.bytes < MESSAGE_INFLATED_BYTES_MAX {
            self.told += 1;
            self.bytes += bad.bytes.len();
            return reject(bad);
        }
        *self.untold.entry(bad.reason.code()).or_default() += 1;
        self.first_untold.get_or_insert(bad.reason);
    }
}

/// How events are written in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// An Arrow IPC stream, one row an event.
    ArrowStream,
}

impl Format {
    /// The format that a `Content-Type` header names. What is not known was always read as JSON.
    pub fn of_header(value: &str) -> Self {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/vnd.apache.arrow.stream") { Format::ArrowStream } else { Format::Json }
    }
}

/// What a message says besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageInfo {
    /// The kind of its events, where the subject tells; a `kind` field in an event goes before it.
    pub kind: Option<Kind>,
    /// How its events are written.
    pub format: Format,
    /// How its bytes are compressed.
    pub encoding: Encoding,
    /// When the broker took it, for judging times that lie in the future.
    pub received_at: Option<TimestampMs>,
    /// Whose event time it tells: see [`Decoder::source`].
    pub source: SourceId,
}

/// How far a recording has come.
#[derive(Debug, Default)]
struct Recording {
    /// Its latest event.
    until: Option<TimestampMs>,
    /// Events in a row that lie far beyond.
    beyond: usize,
}

impl Recording {
    fn take(&mut self, ts: TimestampMs) -> Result<(), Reason> {
        if let Some(until) = self.until.filter(|until| ts > until.saturating_add(RECORDING_GAP_MS)) {
            self.beyond += 1;
            if self.beyond <= RECORDING_STRAYS_MAX {
                return Err(Reason::Future(format!(
                    "`ts` {} lies more than a year after all events before it, the latest of {}: replay recordings of other years by \
                     themselves",
                    format_rfc3339(ts),
                    format_rfc3339(until)
                )));
            }
        }
        self.beyond = 0;
        self.until = self.until.max(Some(ts));
        Ok(())
    }
}

/// Decodes messages into batches.
#[derive(Debug)]
pub struct Decoder {
    tables: Tables,
    label_keys: LabelKeys,
    sources: Sources,
    future_ms: i64,
    recording: Option<Recording>,
    /// Of the messages since the last batch.
    bytes: usize,
}

impl Decoder {
    /// A decoder that keeps these labels, and rejects events later than the broker's clock by more than `future_ms`.
    pub fn new(label_keys: &LabelKeys, future_ms: i64) -> Self {
        Self {
            tables: Tables::new(label_keys),
            label_keys: label_keys.clone(),
            sources: Sources::default(),
            future_ms,
            recording: None,
            bytes: 0,
        }
    }

    /// A decoder for a recording, of which no broker says when it was made: what lies more than a year after all events before it is
    /// rejected, for a time that is wrong would move all windows there and make late what comes after it. A hundred such events in a row
    /// are believed: then what came before was wrong, or another recording.
    pub fn of_recording(label_keys: &LabelKeys) -> Self {
        Self { recording: Some(Recording::default()), ..Self::new(label_keys, i64::MAX) }
    }

    /// From the next message on, keeps other labels. What was decoded must have been taken.
    pub fn set_label_keys(&mut self, label_keys: &LabelKeys) {
        if self.label_keys != *label_keys {
            (self.tables, self.label_keys) = (Tables::new(label_keys), label_keys.clone());
        }
    }

    /// Goes on with sources that have ids already.
    pub fn with_sources(mut self, names: Arc<Vec<String>>) -> Self {
        self.sources = Sources::known(names);
        self
    }

    /// The id of a source of messages: of a subject, say.
    pub fn source(&mut self, name: &str) -> SourceId {
        self.sources.id(name)
    }

    /// Takes one message in. What is bad goes to `reject`.
    pub fn message(&mut self, bytes: &[u8], info: MessageInfo, reject: &mut dyn FnMut(Rejected)) {
        let inflated = inflate(bytes, info.encoding);
        self.bytes += inflated.as_ref().map_or(0, |inflated| inflated.len()).max(bytes.len());
        let mut rejections = Rejections::default();
        let each = &mut |bad: Rejected| rejections.take(bad, reject);
        let taken = match (inflated, info.format) {
            (Ok(inflated), Format::Json) => {
                self.lines(&inflated, info, each);
                Ok(())
            }
            (Ok(inflated), Format::ArrowStream) => arrow_ipc::take_in(self, inflated, info, each),
            (Err(why), _) => Err(Reason::Inflate(why)),
        };
        if let Err(reason) = taken {
            reject(Rejected::one(0, bytes.to_vec(), reason));
        }
        if let Some(reason) = rejections.first_untold {
            reject(Rejected { line: 0, bytes: bytes.to_vec(), reason, more: rejections.untold });
        }
        self.tables.end_message(info.received_at, info.source);
    }

    fn lines(&mut self, bytes: &[u8], info: MessageInfo, reject: &mut dyn FnMut(Rejected)) {
        // One look at the whole message costs less than one at each text of it.
        let Ok(text) = std::str::from_utf8(bytes) else {
            for (i, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                self.line(i + 1, line, info, reject);
            }
            return;
        };
        let mut event = RawEvent::default();
        let (mut number, mut start) = (1, 0);
        while start < bytes.len() {
            let end = match scan(text, start, &mut event) {
                // What is nearly too long is looked at as a line, without the space around it.
                Some(end) if end - start <= EVENT_BYTES_MAX => {
                    if let Err(reason) = self.event(&mut event, info) {
                        reject(Rejected::one(number, bytes[start..end].trim_ascii().to_vec(), reason));
                    }
                    end
                }
                _ => {
                    let length = bytes[start..].iter().position(|byte| *byte == b'\n');
                    let end = length.map_or(bytes.len(), |length| start + length);
                    self.line(number, &bytes[start..end], info, reject);
                    end
                }
            };
            (number, start) = (number + 1, end + 1);
        }
    }

    fn line(&mut self, number: usize, line: &[u8], info: MessageInfo, reject: &mut dyn FnMut(Rejected)) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let taken = if line.len() > EVENT_BYTES_MAX {
            Err(Reason::Size(line.len()))
        } else {
            let event = native_json::parse(line).map_err(|error| Reason::Json(error.to_string()));
            event.and_then(|mut event| self.event(&mut event, info))
        };
        if let Err(reason) = taken {
            reject(Rejected::one(number, line.to_vec(), reason));
        }
    }

    fn event(&mut self, event: &mut RawEvent<'_>, info: MessageInfo) -> Result<(), Reason> {
        let kind = match (&event.kind, info.kind) {
            (Some(kind), _) => kind.parse::<Kind>().map_err(|error| Reason::Kind(error.to_string()))?,
            (None, Some(kind)) => kind,
            (None, None) => return Err(Reason::Kind("no `kind` field, and the subject names none".into())),
        };
        let ts = event.ts.take().ok_or_else(|| Reason::Time("no `ts` field".into()))?.map_err(Reason::Time)?;
        if ts < EARLIEST_MS {
            return Err(Reason::Time(format!(
                "`ts` {ts} lies before 1973: it must be Unix milliseconds, this looks like seconds"
            )));
        }
        if ts > LATEST_MS {
            return Err(Reason::Time(format!("`ts` {ts} lies after the year 9999: it must be Unix milliseconds")));
        }
        if let Some(received_at) = info.received_at.filter(|received_at| ts > received_at.saturating_add(self.future_ms)) {
            return Err(Reason::Future(format!(
                "`ts` {} lies ahead of the broker's clock, {}",
                format_rfc3339(ts),
                format_rfc3339(received_at)
            )));
        }
        if let Some(recording) = &mut self.recording {
            recording.take(ts)?;
        }
        self.tables.push(kind, ts, event)
    }

    /// Whether enough has been decoded for a batch.
    pub fn is_full(&self) -> bool {
        self.tables.rows() >= ROWS_PER_BATCH_MAX || self.bytes >= BYTES_PER_BATCH_MAX
    }

    /// Whether nothing has been decoded since the last batch.
    pub fn is_empty(&self) -> bool {
        self.tables.messages() == 0
    }

    /// The messages decoded since the last call.
    pub fn take(&mut self) -> EventBatch {
        self.bytes = 0;
        self.tables.take(self.sources.names())
    }
}
