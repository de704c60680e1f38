//! The raw endpoint of Splunk's HTTP event collector: each line is a log record.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::log_documents::decode_lines;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split::lines;

/// Raw lines.
pub static FORMAT: Format =
    Format { name: "splunk_hec_raw", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: lines::lines };

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    decode_lines(&payload, sink);
    Ok(())
}
