//! Prometheus' remote write 1.0, as Prometheus, Grafana Agent and Alloy, vmagent and others send it: series with labels and samples.

use std::borrow::Cow;

use crate::io::decode::decompress::without_snappy;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::prometheus::samples::{Sample, histogram, label, sample, temporality_of_name};
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::protobuf_records;
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::io::decode::split::protobuf;
use crate::model::event::Kind;

/// Remote write 1.0.
pub static FORMAT: Format = Format {
    name: "prometheus_remote_write",
    media_types: &["application/x-protobuf;proto=prometheus.WriteRequest"],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| protobuf::repeated(message, max, &[&[1]]),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let payload = without_snappy(payload)?;
    let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
    protobuf_records::read(&payload, 1, &mut rows, |rows, message| series(message, rows))
}

#[inline]
fn series<'a>(message: &'a [u8], rows: &mut Rows<'_, '_, 'a>) -> Result<(), ProtobufError> {
    rows.begin_shared();
    for field in Fields::new(message) {
        if let (1, value) = field? {
            let (mut key, mut text) = ("", "");
            for field in Fields::new(value.message(1)?) {
                match field? {
                    (1, value) => key = value.text(1)?,
                    (2, value) => text = value.text(2)?,
                    _ => {}
                }
            }
            label(rows, key, text);
        }
    }
    if let Some(temporality) = rows.event.text(TextField::Name).and_then(temporality_of_name) {
        rows.set(TextField::Temporality, temporality);
    }
    rows.end_shared();
    for field in Fields::new(message) {
        match field? {
            (2, value) => sample(rows, Sample::read(value.message(2)?)?),
            (4, value) => {
                let message = value.message(4)?;
                if let Err(reason) = histogram(rows, message) {
                    rows.reject(message, reason);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
