//! Prometheus' remote write 2.0: all texts in one table of symbols, and the type of each metric beside its samples.

use std::borrow::Cow;

use crate::io::decode::decompress::without_snappy;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::prometheus::samples::{Sample, histogram, label, sample, temporality_of_name};
use crate::io::decode::protobuf::{Fields, ProtobufError, push_varints};
use crate::io::decode::protobuf_records;
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::io::decode::split::protobuf;
use crate::model::event::Kind;

/// Remote write 2.0.
pub static FORMAT: Format = Format {
    name: "prometheus_remote_write_v2",
    media_types: &["application/x-protobuf;proto=io.prometheus.write.v2.Request"],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    // Each piece has the whole table of symbols.
    split: |message, max| protobuf::repeated(message, max, &[&[5]]),
};

const SYMBOLS: u32 = 4;
const TIMESERIES: u32 = 5;

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let payload = without_snappy(payload)?;
    let mut symbols = Vec::new();
    for field in Fields::new(&payload) {
        match field {
            Ok((SYMBOLS, value)) => symbols.push(value.text(SYMBOLS)?),
            Ok(_) => {}
            // What is before the fault counts.
            Err(_) => break,
        }
    }
    let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
    protobuf_records::read(&payload, TIMESERIES, &mut rows, |rows, message| series(message, &symbols, rows))
}

fn series<'a>(message: &'a [u8], symbols: &[&'a str], rows: &mut Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let (mut references, mut metric_type) = (Vec::new(), 0);
    for field in Fields::new(message) {
        match field? {
            (1, value) => push_varints(value, 1, &mut references)?,
            (5, value) => metric_type = type_of(value.message(5)?)?,
            _ => {}
        }
    }
    let symbol = |at: u64| {
        let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at)).copied();
        symbol.ok_or_else(|| RejectReason::Protobuf(format!("symbol {at} is named, and there are {}", symbols.len())))
    };
    rows.begin_shared();
    for pair in references.chunks(2) {
        let [key, value] = pair else { return Err(RejectReason::Protobuf("a label has no value".into())) };
        label(rows, symbol(*key)?, symbol(*value)?);
    }
    let by_name = rows.event.text(TextField::Name).and_then(temporality_of_name);
    if let Some(temporality) = temporality_of_type(metric_type).or(by_name) {
        rows.set(TextField::Temporality, temporality);
    }
    rows.end_shared();
    for field in Fields::new(message) {
        match field? {
            (2, value) => sample(rows, Sample::read(value.message(2)?)?),
            (3, value) => {
                let message = value.message(3)?;
                if let Err(reason) = histogram(rows, message) {
                    rows.reject(message, reason);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn type_of(metadata: &[u8]) -> Result<u64, ProtobufError> {
    let mut metric_type = 0;
    for field in Fields::new(metadata) {
        if let (1, value) = field? {
            metric_type = value.unsigned(1)?;
        }
    }
    Ok(metric_type)
}

/// Counters and histograms only rise; quantiles of a summary do not, so its type says nothing of a single series.
fn temporality_of_type(metric_type: u64) -> Option<&'static str> {
    match metric_type {
        1 | 3 => Some("cumulative"),
        2 | 4 | 6 | 7 => Some("gauge"),
        _ => None,
    }
}
