//! The frame around stored checkpoints: magic bytes before the content, its SHA-256 digest behind it. A checkpoint that is cut off or
//! damaged is detected by them, wherever it is stored.

use sha2::{Digest as _, Sha256};

const MAGIC: [u8; 8] = *b"squelchC";
/// Length of a digest.
pub const DIGEST_BYTES: usize = 32;

/// Why framed content cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// The magic bytes are missing.
    #[error("no checkpoint")]
    NoMagic,
    /// The end is missing.
    #[error("truncated")]
    Truncated,
    /// The content does not match its digest.
    #[error("damaged: its checksum does not match")]
    Mismatch,
}

/// A SHA-256 digest.
pub type Digest = [u8; DIGEST_BYTES];

/// The digest of `content`.
pub fn digest(content: &[u8]) -> Digest {
    Sha256::digest(content).into()
}

/// Computes the digest of bytes that come in parts.
#[derive(Default)]
pub struct DigestWriter(Sha256);

impl DigestWriter {
    /// Adds the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The digest of all parts.
    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

/// What is to be written before and behind `content`. They come apart from it, so that large content is not copied.
pub fn header_and_trailer(content: &[u8]) -> [Vec<u8>; 2] {
    [MAGIC.to_vec(), digest(content).to_vec()]
}

/// The content of a frame.
///
/// # Errors
///
/// The bytes are no frame, or not a whole one.
pub fn verify(mut framed: Vec<u8>) -> Result<Vec<u8>, ChecksumError> {
    if !framed.starts_with(&MAGIC) {
        return Err(ChecksumError::NoMagic);
    }
    framed.drain(..MAGIC.len());
    let content = framed.len().checked_sub(DIGEST_BYTES).ok_or(ChecksumError::Truncated)?;
    let expected = framed.split_off(content);
    if digest(&framed).as_slice() == expected { Ok(framed) } else { Err(ChecksumError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_and_changed_frames_are_refused() {
        let [header, trailer] = header_and_trailer(b"state");
        let framed = [header, b"state".to_vec(), trailer].concat();
        assert_eq!(verify(framed.clone()), Ok(b"state".to_vec()));
        for length in 0..framed.len() {
            assert!(verify(framed[..length].to_vec()).is_err(), "{length} bytes");
        }
        for changed in 0..framed.len() {
            let mut other = framed.clone();
            other[changed] ^= 1;
            assert!(verify(other).is_err(), "byte {changed}");
        }
    }
}
