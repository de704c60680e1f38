//! Decompression with a limit on the result: a zip bomb is an error, not an outage.

use std::borrow::Cow;
use std::io::Read;

use crate::io::decode::rejection::RejectReason;
use crate::model::limits::MESSAGE_INFLATED_BYTES_MAX;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Not compressed.
    #[default]
    Plain,
    /// gzip, also with several members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// What HTTP calls deflate: zlib, or without its header.
    Deflate,
    /// A snappy block, as Prometheus and Loki send it, without frames.
    Snappy,
}

impl Encoding {
    /// The encoding that a `Content-Encoding` header names; `None` if it is unknown.
    pub fn of_header(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Encoding::Plain),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            "deflate" => Some(Encoding::Deflate),
            "snappy" => Some(Encoding::Snappy),
            _ => None,
        }
    }

    /// The encoding by a file name's extension.
    pub fn of_path(path: &std::path::Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Encoding::Gzip,
            Some("zst" | "zstd") => Encoding::Zstd,
            _ => Encoding::Plain,
        }
    }
}

/// Decompresses a message.
pub fn decompress(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, [u8]>, String> {
    match encoding {
        Encoding::Plain => Ok(Cow::Borrowed(bytes)),
        Encoding::Gzip => bounded(flate2::read::MultiGzDecoder::new(bytes)).map(Cow::Owned),
        Encoding::Zstd => bounded(zstd::Decoder::new(bytes).map_err(|error| error.to_string())?).map(Cow::Owned),
        Encoding::Deflate if is_zlib(bytes) => bounded(flate2::read::ZlibDecoder::new(bytes)).map(Cow::Owned),
        Encoding::Deflate => bounded(flate2::read::DeflateDecoder::new(bytes)).map(Cow::Owned),
        Encoding::Snappy => snappy(bytes).map(Cow::Owned),
    }
}

/// The two bytes of a zlib header: deflate, and a checksum of the header.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

/// A block claims its length before its content: memory is reserved for no more than the limit.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let length = snap::raw::decompress_len(bytes).map_err(|error| error.to_string())?;
    if length > MESSAGE_INFLATED_BYTES_MAX {
        return Err(format!("more than {MESSAGE_INFLATED_BYTES_MAX} bytes come out"));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(|error| error.to_string())
}

fn bounded(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let limit = MESSAGE_INFLATED_BYTES_MAX as u64;
    reader.take(limit + 1).read_to_end(&mut inflated).map_err(|error| error.to_string())?;
    if inflated.len() as u64 > limit {
        return Err(format!("more than {limit} bytes come out"));
    }
    Ok(inflated)
}

/// The content of a payload that may be a snappy block although no header says so, as Loki's clients send it. The protobuf messages of these
/// formats begin with field 1 or 4. A block begins with its length, which may look the same, but a message is then no good block.
pub fn without_snappy(payload: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, RejectReason> {
    match (payload.first().copied(), snappy(&payload)) {
        (None, _) => Ok(payload),
        (Some(_), Ok(content)) => Ok(Cow::Owned(content)),
        (Some(0x0a | 0x22), Err(_)) => Ok(payload),
        (Some(_), Err(why)) => Err(RejectReason::Inflate(why)),
    }
}
