//! The JSON form of `ExportTraceServiceRequest`.

use serde::Deserialize;

use crate::io::decode::json_text::JsonText;
use crate::io::decode::otlp::attributes::{JsonAttribute, JsonResource, of_json, share};
use crate::io::decode::otlp::ids;
use crate::io::decode::otlp::json_numbers::Unsigned;
use crate::io::decode::otlp_traces::span::{Span, write};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(default, borrow)]
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    #[serde(default, borrow)]
    resource: JsonResource<'a>,
    #[serde(default, borrow)]
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Deserialize)]
struct ScopeSpans<'a> {
    #[serde(default, borrow)]
    spans: Vec<JsonSpan<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonSpan<'a> {
    #[serde(borrow)]
    trace_id: JsonText<'a>,
    #[serde(borrow)]
    span_id: JsonText<'a>,
    #[serde(borrow)]
    parent_span_id: JsonText<'a>,
    #[serde(borrow)]
    name: JsonText<'a>,
    kind: u64,
    start_time_unix_nano: Unsigned,
    end_time_unix_nano: Unsigned,
    status: Status,
    #[serde(borrow)]
    attributes: Vec<JsonAttribute<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u64,
}

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let request: Request<'a> = serde_json::from_slice(payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    for resource in request.resource_spans {
        share(&mut rows, of_json(resource.resource.attributes))?;
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let span = Span {
                trace_id: ids::of_json(span.trace_id.0),
                span_id: ids::of_json(span.span_id.0),
                parent_id: ids::of_json(span.parent_span_id.0),
                name: span.name.0,
                kind: span.kind,
                start: span.start_time_unix_nano.0,
                end: span.end_time_unix_nano.0,
                status: span.status.code,
                attributes: of_json(span.attributes),
            };
            write(span, &mut rows)?;
        }
    }
    Ok(())
}
