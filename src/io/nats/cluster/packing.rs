//! Bytes as they go into a stream between squelch processes: compressed, with a checksum, bounded when they are read.

use std::io::Read;

use crate::model::limits::PART_BYTES_MAX;

/// Compresses.
///
/// # Errors
///
/// Those of the compressor.
pub fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
    encoder.include_checksum(true)?;
    std::io::Write::write_all(&mut encoder, bytes)?;
    encoder.finish()
}

/// The bytes that [`pack`] was given.
///
/// # Errors
///
/// They are damaged, or too many.
pub fn unpack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let read = zstd::Decoder::new(bytes)?.take(PART_BYTES_MAX as u64 + 1).read_to_end(&mut unpacked)?;
    if read > PART_BYTES_MAX {
        return Err(std::io::Error::other(format!("more than {PART_BYTES_MAX} bytes")));
    }
    Ok(unpacked)
}
