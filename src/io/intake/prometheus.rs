//! Prometheus and what sends as it does (vmagent, vmalert, Grafana Agent and Alloy, Loki's ruler, Grafana): remote write 1.0 and 2.0 at
//! `/api/v1/write`, alerts at `/api/v2/alerts`.

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, TEXT, empty};
use crate::model::event::Kind;
use crate::model::limits::MESSAGE_INFLATED_BYTES_MAX;

static REMOTE_WRITE: System = System { name: "prometheus", refused: |_, refusal| refusal.answer(TEXT, format!("{refusal}\n")) };
static ALERTMANAGER: System = System { name: "prometheus", refused: alerts_refused };

static WRITE: Endpoint = Endpoint::new(&REMOTE_WRITE, Examine::Ask(write));
static ALERTS: Endpoint =
    Endpoint::new(&ALERTMANAGER, Examine::Is(Content::of("prometheus_alerts", Kind::Alert), || empty(StatusCode::OK)));

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new().route("/api/v1/write", post(&WRITE)).route("/api/v2/alerts", post(&ALERTS))
}

/// The API of Alertmanager answers errors with a JSON text.
fn alerts_refused(_: &Parts, refusal: &Refusal) -> Response {
    refusal.answer(JSON, serde_json::Value::from(refusal.to_string()).to_string())
}

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// The message that the `Content-Type` header names. Without a name it is 1.0.
fn message_of<'a>(received: &'a Received<'_>) -> &'a str {
    let parameters = received.header(header::CONTENT_TYPE).unwrap_or_default().split(';').skip(1);
    let named = parameters.filter_map(|parameter| parameter.split_once('=')).find(|(key, _)| key.trim() == "proto");
    named.map_or(V1, |(_, name)| name.trim().trim_matches('"'))
}

fn write(received: &Received<'_>) -> Result<Taken, Refusal> {
    let media_type = received.media_type();
    if !matches!(media_type.as_str(), "" | "application/x-protobuf") {
        return Err(Refusal::UnsupportedType(format!("{media_type} is no remote write: send application/x-protobuf")));
    }
    let mut answer = empty(StatusCode::NO_CONTENT);
    let format = match message_of(received) {
        V1 => "prometheus_remote_write",
        V2 => {
            // A sender that does not learn how much was written takes it for lost.
            let written = written_in(received).ok_or_else(|| Refusal::Malformed(format!("this is no {V2} in a snappy block")))?;
            for (name, number) in [
                ("x-prometheus-remote-write-samples-written", written.samples),
                ("x-prometheus-remote-write-histograms-written", written.histograms),
                ("x-prometheus-remote-write-exemplars-written", written.exemplars),
            ] {
                answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(number));
            }
            "prometheus_remote_write_v2"
        }
        other => return Err(Refusal::UnsupportedType(format!("{other} is unknown: send {V1} or {V2}"))),
    };
    Ok(Taken { content: Some(Content { format, kind: Some(Kind::Metric), encoding: Some("snappy") }), answer })
}

/// What is in a request; `None` where it is none.
fn written_in(received: &Received<'_>) -> Option<Written> {
    snap::raw::decompress_len(received.body).ok().filter(|bytes| *bytes <= MESSAGE_INFLATED_BYTES_MAX)?;
    Written::of_request(&snap::raw::Decoder::new().decompress_vec(received.body).ok()?)
}

/// What a request of 2.0 holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

impl Written {
    /// Counts fields by their numbers; nothing is decoded: `Request{timeseries 5}`, `TimeSeries{samples 2, histograms 3, exemplars 4}`.
    fn of_request(bytes: &[u8]) -> Option<Self> {
        let mut written = Written::default();
        each_field(bytes, &mut |tag, series| {
            if tag == 5 {
                each_field(series, &mut |tag, _| {
                    match tag {
                        2 => written.samples += 1,
                        3 => written.histograms += 1,
                        4 => written.exemplars += 1,
                        _ => {}
                    }
                    Some(())
                })?;
            }
            Some(())
        })?;
        Some(written)
    }
}

/// Calls with each field's number, and its bytes where it is a message or a text; `None` where this is no protobuf.
fn each_field(mut bytes: &[u8], each: &mut dyn FnMut(u32, &[u8]) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
            let (field, rest) = bytes.split_at_checked(length)?;
            each(tag, field)?;
            bytes = rest;
        } else {
            skip_field(wire_type, tag, &mut bytes, prost::encoding::DecodeContext::default()).ok()?;
            each(tag, &[])?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_counted() {
        let field = |tag: u8, body: &[u8]| [&[tag << 3 | 2, body.len() as u8], body].concat();
        let sample = field(2, &[9, 0, 0, 0, 0, 0, 0, 240, 63, 16, 1]);
        let series = field(5, &[field(1, &[1, 2]), sample.clone(), sample, field(4, &[]), field(3, &[])].concat());
        let request = [field(4, b""), field(4, b"up"), series.clone(), series].concat();
        assert_eq!(Written::of_request(&request), Some(Written { samples: 4, histograms: 2, exemplars: 2 }));
        assert_eq!(Written::of_request(&[]), Some(Written::default()));
        assert_eq!(Written::of_request(&request[..request.len() - 1]), None);
        assert_eq!(Written::of_request(&[0xff; 20]), None);
    }
}
