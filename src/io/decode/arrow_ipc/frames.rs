//! The messages of an Arrow IPC stream: what they say of their own size is checked before Arrow's reader acts on it, so that no
//! stream becomes much more in memory than it is in bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{read_dictionary, read_record_batch};
use arrow::ipc::{Endianness, MessageHeader, root_as_message};

use crate::io::decode::rejection::RejectReason;
use crate::model::limits::ARROW_COLUMNS_MAX;
use crate::model::snapshot::ipc_frames::{check_buffers, next_frame};

fn corrupt(why: impl std::fmt::Display) -> RejectReason {
    RejectReason::Arrow(format!("the Arrow stream is corrupt: {why}"))
}

fn from_arrow(error: ArrowError) -> RejectReason {
    corrupt(error)
}

/// The record batches of a stream, of the columns that `project` chooses by the schema.
pub(crate) fn batches(
    mut rest: Buffer,
    project: &mut dyn FnMut(&Schema) -> Result<Vec<usize>, RejectReason>,
) -> Result<Vec<RecordBatch>, RejectReason> {
    let mut schema: Option<(SchemaRef, Vec<usize>)> = None;
    let mut dictionaries: HashMap<i64, ArrayRef> = HashMap::new();
    let mut batches = Vec::new();
    while let Some(frame) = next_frame(&rest).map_err(corrupt)? {
        let header = rest.slice_with_length(frame.header.start, frame.header.len());
        let body = rest.slice_with_length(frame.body.start, frame.body.len());
        rest.advance(frame.body.end);
        let message = root_as_message(&header).map_err(corrupt)?;
        let version = message.version();
        match (message.header_type(), &schema) {
            (MessageHeader::Schema, None) => {
                let read = message.header_as_schema().ok_or_else(|| corrupt("a schema is empty"))?;
                if read.endianness() != Endianness::Little {
                    return Err(RejectReason::Arrow("the Arrow stream is big-endian: only little-endian ones are read".into()));
                }
                let read = Arc::new(fb_to_schema(read));
                if read.fields().len() > ARROW_COLUMNS_MAX {
                    let columns = read.fields().len();
                    return Err(RejectReason::Arrow(format!("{columns} columns, the limit is {ARROW_COLUMNS_MAX}")));
                }
                let projection = project(&read)?;
                schema = Some((read, projection));
            }
            (MessageHeader::DictionaryBatch, Some((schema, _))) => {
                let dictionary = message.header_as_dictionary_batch().ok_or_else(|| corrupt("a dictionary is empty"))?;
                check_buffers(dictionary.data(), body.len()).map_err(RejectReason::Arrow)?;
                if dictionary.isDelta() {
                    return Err(RejectReason::Arrow("delta dictionaries are not read: send whole ones".into()));
                }
                read_dictionary(&body, dictionary, schema, &mut dictionaries, &version).map_err(from_arrow)?;
            }
            (MessageHeader::RecordBatch, Some((schema, projection))) => {
                let batch = message.header_as_record_batch().ok_or_else(|| corrupt("a batch is empty"))?;
                check_buffers(Some(batch), body.len()).map_err(RejectReason::Arrow)?;
                let schema = Arc::clone(schema);
                let read = read_record_batch(&body, batch, schema, &dictionaries, Some(projection), &version);
                batches.push(read.map_err(from_arrow)?);
            }
            (MessageHeader::NONE, _) => {}
            (MessageHeader::Schema, Some(_)) => return Err(corrupt("it has two schemas")),
            (_, None) => return Err(corrupt("it does not begin with a schema")),
            (other, _) => return Err(corrupt(format!("it holds a {other:?}"))),
        }
    }
    Ok(batches)
}
