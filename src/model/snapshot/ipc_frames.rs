//! The frames of an Arrow IPC stream. What a message says of sizes is checked here, before a reader makes room for it.

use std::fmt::Display;
use std::ops::Range;

use arrow::ipc::{RecordBatch, root_as_message};

const CONTINUATION: u32 = u32::MAX;
const WORD: usize = size_of::<u32>();

/// Where the next message of a stream lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header, which Arrow can read.
    pub header: Range<usize>,
    /// What follows the header.
    pub body: Range<usize>,
}

/// The next message; `None` where the stream ends, with or without its mark.
///
/// # Errors
///
/// What is wrong with it.
pub fn next_frame(stream: &[u8]) -> Result<Option<Frame>, String> {
    if stream.is_empty() {
        return Ok(None);
    }
    let (mut length, mut start) = (word(stream, 0)?, WORD);
    if length == CONTINUATION {
        (length, start) = (word(stream, start)?, start + WORD);
    }
    if length == 0 {
        return if start == stream.len() { Ok(None) } else { Err("something follows its end".into()) };
    }
    let header = range(stream, start, length as usize)?;
    let message = root_as_message(&stream[header.clone()]).map_err(text)?;
    let body = range(stream, header.end, usize::try_from(message.bodyLength()).map_err(text)?)?;
    Ok(Some(Frame { header, body }))
}

/// Whether what a batch says of its buffers is no more than the `body` bytes that there are.
///
/// # Errors
///
/// They are compressed, so that nobody knows; or lie over each other, and could be copied, where they are not aligned, as often as they
/// are named.
pub fn check_buffers(batch: Option<RecordBatch<'_>>, body: usize) -> Result<(), String> {
    let batch = batch.ok_or("the Arrow stream is corrupt: a batch is empty")?;
    if batch.compression().is_some() {
        return Err("compressed buffers are not read: compress the message, with Content-Encoding".into());
    }
    let mut bytes = 0;
    for buffer in batch.buffers().into_iter().flatten() {
        let length = u64::try_from(buffer.length()).map_err(|error| format!("the Arrow stream is corrupt: {error}"))?;
        bytes += length.min(1 << 40);
    }
    if bytes > body as u64 {
        return Err("the Arrow stream is corrupt: its buffers lie over each other".into());
    }
    Ok(())
}

fn word(stream: &[u8], start: usize) -> Result<u32, String> {
    stream[range(stream, start, WORD)?].try_into().map(u32::from_le_bytes).map_err(text)
}

fn range(stream: &[u8], start: usize, length: usize) -> Result<Range<usize>, String> {
    let there = stream.len() - start;
    if length > there {
        return Err(format!("{length} bytes should follow, and {there} do"));
    }
    Ok(start..start + length)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
