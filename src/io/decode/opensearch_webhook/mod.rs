//! The webhook of OpenSearch's alerting, with squelch's template as its body. Severity 1 is the worst of five.

use std::borrow::Cow;

use crate::io::decode::alert_documents;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split;
use crate::io::decode::template_webhook::{Words, event_of};

/// OpenSearch's webhook.
pub static FORMAT: Format = Format {
    name: "opensearch_webhook",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: split::whole,
};

const WORDS: Words = Words {
    resolved: &["completed", "resolved", "recovered"],
    severities: &[("1", "critical"), ("2", "critical"), ("3", "warning"), ("4", "warning"), ("5", "info")],
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    alert_documents::decode(&payload, sink, |document, sink| event_of(document, sink, WORDS));
    Ok(())
}
