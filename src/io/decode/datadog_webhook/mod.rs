//! The webhook of Datadog's monitors, with squelch's template as its body. Transitions are Triggered, Warn, No Data, Recovered and each of them again.

use std::borrow::Cow;

use crate::io::decode::alert_documents;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split;
use crate::io::decode::template_webhook::{Words, event_of};

/// Datadog's webhook.
pub static FORMAT: Format =
    Format { name: "datadog_webhook", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: split::whole };

const WORDS: Words = Words {
    resolved: &["recovered"],
    severities: &[
        ("triggered", "critical"),
        ("re-triggered", "critical"),
        ("warn", "warning"),
        ("re-warn", "warning"),
        ("no data", "warning"),
        ("re-no data", "warning"),
    ],
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    alert_documents::decode(&payload, sink, |document, sink| event_of(document, sink, WORDS));
    Ok(())
}
