//! Rows of the event tables as lines of native JSON, to be compared.

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, TimestampMillisecondType};
use squelch::model::event::{EventBatch, Kind, label_of_column};

/// All rows, table by table.
pub fn rows_as_json(batch: &EventBatch) -> Vec<String> {
    let tables = Kind::ALL.into_iter().zip(&batch.tables);
    tables.flat_map(|(kind, table)| (0..table.num_rows()).map(move |row| row_as_json(kind, table, row))).collect()
}

/// A row of a table as a line of native JSON.
fn row_as_json(kind: Kind, batch: &RecordBatch, row: usize) -> String {
    let mut line = format!("{{\"kind\":\"{kind}\"");
    let mut labels = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()).filter(|(_, column)| column.is_valid(row)) {
        let value = match field.data_type() {
            DataType::Utf8View => serde_json::to_string(column.as_string_view().value(row)).unwrap(),
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
            _ => column.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
        };
        match label_of_column(field.name()) {
            Some(key) => write!(labels, "{}\"{key}\":{value}", if labels.is_empty() { "" } else { "," }).unwrap(),
            None => write!(line, ",\"{}\":{value}", field.name()).unwrap(),
        }
    }
    let labels = if labels.is_empty() { labels } else { format!(",\"labels\":{{{labels}}}") };
    format!("{line}{labels}}}")
}
