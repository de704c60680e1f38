//! Messages in, batches of Arrow columns out. Good events of a bad message count; bad ones are handed back.

use std::sync::Arc;

use crate::io::decode::command::{self, CommandOrigin};
use crate::io::decode::decompress::decompress;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::native_json;
use crate::io::decode::rejection::{RejectReason, Rejected, RejectionLimiter};
use crate::io::decode::table_builders::TableBuilders;
use crate::io::decode::time_check::TimeCheck;
use crate::io::decode::unknown_words::UnknownWords;
use crate::model::event::{EventBatch, LabelKeys, SourceId, Sources};
use crate::model::limits::{BYTES_PER_BATCH_MAX, ROWS_PER_BATCH_MAX};

/// Decodes messages into batches.
#[derive(Debug)]
pub struct Decoder {
    tables: TableBuilders,
    label_keys: LabelKeys,
    sources: Sources,
    future_ms: i64,
    unknown_words: UnknownWords,
    /// Decompressed bytes of the messages since the last batch.
    bytes: usize,
}

impl Decoder {
    /// A decoder that keeps these labels, and rejects events that are ahead of the broker's clock by more than `future_ms`.
    pub fn new(label_keys: &LabelKeys, future_ms: i64) -> Self {
        Self {
            tables: TableBuilders::new(label_keys),
            label_keys: label_keys.clone(),
            sources: Sources::default(),
            future_ms,
            unknown_words: UnknownWords::default(),
            bytes: 0,
        }
    }

    /// Keeps other labels from the next message on. The batch so far must have been taken.
    pub fn set_label_keys(&mut self, label_keys: &LabelKeys) {
        if self.label_keys != *label_keys {
            (self.tables, self.label_keys) = (TableBuilders::new(label_keys), label_keys.clone());
        }
    }

    /// Continues with the source ids of a checkpoint.
    pub fn with_sources(mut self, names: Arc<Vec<String>>) -> Self {
        self.sources = Sources::known(names);
        self
    }

    /// The id of a source of messages, for example of a subject.
    pub fn source(&mut self, name: &str) -> SourceId {
        self.sources.id(name)
    }

    /// Decodes one message. What is bad goes to `reject`.
    pub fn message(&mut self, bytes: &[u8], info: MessageInfo, reject: &mut dyn FnMut(Rejected)) {
        if let Some(origin) = info.command {
            return self.command(bytes, origin, info, reject);
        }
        let decompressed = decompress(bytes, info.encoding);
        self.bytes += decompressed.as_ref().map_or(0, |payload| payload.len()).max(bytes.len());
        let mut sink = EventSink {
            tables: &mut self.tables,
            time_check: TimeCheck { received_at: info.received_at, future_ms: self.future_ms },
            label_keys: &self.label_keys,
            kind: info.kind,
            syntax: info.syntax,
            unknown_words: &mut self.unknown_words,
            rejections: RejectionLimiter::new(reject),
        };
        let decoded = match decompressed {
            Ok(payload) => {
                let suggested = info.suggested.filter(|format| (format.recognise)(&payload));
                let format = info.format.or(suggested).unwrap_or(&native_json::FORMAT);
                (format.decode)(payload, &mut sink)
            }
            Err(why) => Err(RejectReason::Inflate(why)),
        };
        sink.rejections.end_message(bytes, decoded.err());
        self.tables.end_message(info.received_at, info.source);
    }

    fn command(&mut self, bytes: &[u8], origin: CommandOrigin, info: MessageInfo, reject: &mut dyn FnMut(Rejected)) {
        self.bytes += bytes.len();
        let time_check = TimeCheck { received_at: info.received_at, future_ms: self.future_ms };
        match command::decode(bytes, origin, &time_check) {
            Ok(command) => self.tables.push_command(command),
            Err(why) => reject(Rejected::one(0, bytes.to_vec(), why)),
        }
        self.tables.end_message(info.received_at, info.source);
    }

    /// Words of other systems' alerts that are not known.
    pub fn unknown_words(&mut self) -> &mut UnknownWords {
        &mut self.unknown_words
    }

    /// Whether there is enough for a batch.
    pub fn is_full(&self) -> bool {
        self.tables.rows() >= ROWS_PER_BATCH_MAX || self.bytes >= BYTES_PER_BATCH_MAX
    }

    /// Whether no message came since the last batch.
    pub fn is_empty(&self) -> bool {
        self.tables.messages() == 0
    }

    /// The messages decoded since the last batch.
    pub fn take(&mut self) -> EventBatch {
        self.bytes = 0;
        self.tables.take(self.sources.names())
    }
}
