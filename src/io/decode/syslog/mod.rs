//! Syslog as RFC 5424 has it, and as the older BSD form: one message, several with a line each, or each led by its length.

mod header;

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::io::decode::syslog::header::Message;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;

/// Syslog.
pub static FORMAT: Format = Format {
    name: "syslog",
    media_types: &[],
    subject_tokens: &["syslog"],
    recognise: |payload| payload.first() == Some(&b'<') || payload.first().is_some_and(u8::is_ascii_digit),
    decode,
    split: split::lines::lines,
};

/// The severities, 0 to 7, in OpenTelemetry's names, as its data model maps them.
const SEVERITIES: [&str; 8] = ["FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG"];

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    for frame in frames(&payload) {
        rows.begin();
        let written = if frame.len() > EVENT_BYTES_MAX {
            Err(RejectReason::Size(frame.len()))
        } else {
            write(frame, &mut rows).map_err(RejectReason::Line)
        };
        if let Err(reason) = written {
            rows.reject(frame, reason);
        }
    }
    Ok(())
}

/// The messages of a payload: `LENGTH SPACE MESSAGE`, or lines.
fn frames(payload: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), payload);
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let framed = length.filter(|_| rest.get(digits) == Some(&b' ')).and_then(|length| {
            let start = digits + 1;
            Some((rest.get(start..start.checked_add(length)?)?, &rest[start + length..]))
        });
        let (frame, after) = framed.unwrap_or_else(|| {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            (&rest[..end], rest.get(end + 1..).unwrap_or_default())
        });
        if !frame.trim_ascii().is_empty() {
            found.push(frame.trim_ascii_end());
        }
        rest = after;
    }
    found
}

fn write<'a>(frame: &'a [u8], rows: &mut Rows<'_, '_, 'a>) -> Result<(), String> {
    let text = std::str::from_utf8(frame).map_err(|_| "a message is no UTF-8".to_string())?;
    let message = Message::parse(text)?;
    for (key, value) in message.structured {
        rows.pair(key, value);
    }
    for (key, value) in [("procid", message.process_id), ("msgid", message.message_id), ("appname", message.app)] {
        if let Some(value) = value {
            rows.pair(key.into(), value.into());
        }
    }
    if let Some(host) = message.host {
        rows.pair("host.name".into(), host.into());
    }
    // The program is the service, unless structured data names one.
    if let (None, Some(app)) = (rows.event.text(TextField::Service), message.app) {
        rows.set(TextField::Service, app);
    }
    rows.label("facility", || (message.priority / 8).to_string().into());
    rows.set(TextField::Severity, SEVERITIES[usize::from(message.priority % 8)]);
    rows.set(TextField::Body, message.body);
    rows.time(message.ts);
    rows.take();
    Ok(())
}
