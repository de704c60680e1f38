//! The JSON form of `ExportLogsServiceRequest`.

use serde::Deserialize;

use crate::io::decode::json_text::JsonText;
use crate::io::decode::otlp::attributes::{JsonAttribute, JsonResource, JsonValue, of_json, share};
use crate::io::decode::otlp::ids;
use crate::io::decode::otlp::json_numbers::Unsigned;
use crate::io::decode::otlp_logs::record::{LogRecord, write};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(default, borrow)]
    resource_logs: Vec<ResourceLogs<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(default, borrow)]
    resource: JsonResource<'a>,
    #[serde(default, borrow)]
    scope_logs: Vec<ScopeLogs<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(default, borrow)]
    log_records: Vec<JsonRecord<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonRecord<'a> {
    time_unix_nano: Unsigned,
    observed_time_unix_nano: Unsigned,
    severity_number: i64,
    #[serde(borrow)]
    severity_text: JsonText<'a>,
    #[serde(borrow)]
    body: JsonValue<'a>,
    #[serde(borrow)]
    attributes: Vec<JsonAttribute<'a>>,
    #[serde(borrow)]
    trace_id: JsonText<'a>,
    #[serde(borrow)]
    event_name: JsonText<'a>,
}

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let request: Request<'a> = serde_json::from_slice(payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    for resource in request.resource_logs {
        share(&mut rows, of_json(resource.resource.attributes))?;
        for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            let record = LogRecord {
                time: record.time_unix_nano.0,
                observed_time: record.observed_time_unix_nano.0,
                severity_number: record.severity_number,
                severity_text: record.severity_text.0,
                body: record.body.into(),
                attributes: of_json(record.attributes),
                trace_id: ids::of_json(record.trace_id.0),
                event_name: record.event_name.0,
            };
            write(record, &mut rows)?;
        }
    }
    Ok(())
}
