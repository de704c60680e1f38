//! Record batches as an Arrow IPC stream, whole or message by message, so that each batch can be a chunk of its own.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{MessageHeader, root_as_message};
use bytes::Bytes;

use crate::model::snapshot::ipc_frames::{check_buffers, next_frame};

/// The schema message that begins a stream.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    Ok(std::mem::take(writer.get_mut()))
}

/// One batch as a message of a stream that begins with `schema`.
pub fn encode_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<Bytes, ArrowError> {
    if batch.schema() != *schema {
        return Err(ArrowError::SchemaError(format!("the batch has schema {:?}, its stream {schema:?}", batch.schema())));
    }
    let mut writer = StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size()), schema)?;
    writer.get_mut().clear();
    writer.write(batch)?;
    Ok(Bytes::from(std::mem::take(writer.get_mut())))
}

/// Batches of one schema as a whole stream.
pub fn encode_stream(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let schema: SchemaRef = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.into_inner()
}

/// The batches of a stream. The sizes that its messages claim are checked before Arrow's reader allocates for them.
pub fn decode_stream(stream: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut rest = stream;
    while let Some(frame) = next_frame(rest).map_err(ArrowError::ParseError)? {
        let message = root_as_message(&rest[frame.header]).map_err(|error| ArrowError::ParseError(error.to_string()))?;
        match message.header_type() {
            MessageHeader::RecordBatch => check_buffers(message.header_as_record_batch(), frame.body.len()),
            MessageHeader::DictionaryBatch => {
                check_buffers(message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()), frame.body.len())
            }
            _ => Ok(()),
        }
        .map_err(ArrowError::ParseError)?;
        rest = &rest[frame.body.end..];
    }
    StreamReader::try_new(Cursor::new(stream), None)?.collect()
}
