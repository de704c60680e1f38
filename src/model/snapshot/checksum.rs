//! Bytes that tell whether they are whole: a mark before them, a digest behind them. Wherever checkpoints are kept, this is their form.

use sha2::{Digest, Sha256};

const MARK: [u8; 8] = *b"squelchC";
/// Length of a digest.
pub const DIGEST_BYTES: usize = 32;

/// What is wrong with bytes that should be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// They are something else.
    #[error("no checkpoint")]
    NoMark,
    /// Their end is missing.
    #[error("cut off")]
    CutOff,
    /// They are not what was sealed.
    #[error("damaged: its digest is another")]
    Digest,
}

/// What tells bytes from all others.
pub type Sum = [u8; DIGEST_BYTES];

/// The digest of bytes.
pub fn digest(content: &[u8]) -> Sum {
    Sha256::digest(content).into()
}

/// The digest of bytes that come one after the other.
#[derive(Default)]
pub struct Summing(Sha256);

impl Summing {
    /// More bytes.
    pub fn add(&mut self, more: &[u8]) {
        self.0.update(more);
    }

    /// The digest of all of them.
    pub fn sum(self) -> Sum {
        self.0.finalize().into()
    }
}

/// What the sealed form has before and behind the content: nobody needs to copy what is large.
pub fn seal(content: &[u8]) -> [Vec<u8>; 2] {
    [MARK.to_vec(), digest(content).to_vec()]
}

/// What was sealed.
///
/// # Errors
///
/// The bytes are not whole.
pub fn open(mut sealed: Vec<u8>) -> Result<Vec<u8>, Broken> {
    if !sealed.starts_with(&MARK) {
        return Err(Broken::NoMark);
    }
    sealed.drain(..MARK.len());
    let content = sealed.len().checked_sub(DIGEST_BYTES).ok_or(Broken::CutOff)?;
    let known = sealed.split_off(content);
    if digest(&sealed).as_slice() == known { Ok(sealed) } else { Err(Broken::Digest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_opens() {
        let [before, behind] = seal(b"state");
        let sealed = [before, b"state".to_vec(), behind].concat();
        assert_eq!(open(sealed.clone()), Ok(b"state".to_vec()));
        for cut in 0..sealed.len() {
            assert!(open(sealed[..cut].to_vec()).is_err(), "{cut} bytes");
        }
        for changed in 0..sealed.len() {
            let mut other = sealed.clone();
            other[changed] ^= 1;
            assert!(open(other).is_err(), "byte {changed}");
        }
    }
}
