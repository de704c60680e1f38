//! What stands before saved state: what it is, and in which form. State of another kind or form is refused, never misread.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::window::snapshot::RestoreError;

/// A kind of saved state.
pub struct Form {
    /// What it is.
    pub magic: [u8; 8],
    /// In which form; any other is refused.
    pub version: u32,
}

impl Form {
    /// State as bytes, led by its form.
    ///
    /// # Errors
    ///
    /// State that cannot be written: a defect.
    pub fn to_bytes<T: Serialize>(&self, state: &T) -> Result<Vec<u8>, RestoreError> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        Ok(postcard::to_extend(state, bytes)?)
    }

    /// State of exactly this form.
    ///
    /// # Errors
    ///
    /// The bytes are something else, of another version, or damaged.
    pub fn from_bytes<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, RestoreError> {
        let rest = bytes.strip_prefix(&self.magic).ok_or(RestoreError::NoState)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(RestoreError::NoState)?;
        let version = u32::from_le_bytes(*version);
        if version != self.version {
            return Err(RestoreError::OtherVersion(version));
        }
        Ok(postcard::from_bytes(rest)?)
    }
}
