//! The webhook of Kibana's rules, with squelch's template as its body. An action group called recovered ends an alert.

use std::borrow::Cow;

use crate::io::decode::alert_documents;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split;
use crate::io::decode::template_webhook::{Words, event_of};

/// Kibana's webhook.
pub static FORMAT: Format =
    Format { name: "kibana_webhook", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: split::whole };

const WORDS: Words = Words { resolved: &["recovered", "resolved"], severities: &[] };

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    alert_documents::decode(&payload, sink, |document, sink| event_of(document, sink, WORDS));
    Ok(())
}
