//! Decompression with a limit on the result: a zip bomb is an error, not an outage.

use std::borrow::Cow;
use std::io::Read;

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
}

impl Encoding {
    /// The encoding that a `Content-Encoding` header names; `None` if it is unknown.
    pub fn of_header(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Encoding::Plain),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
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
    }
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
