//! The header of encoded state: which state it is, and the version of its format. Another state or version is refused, never
//! misread.

use arrow::error::ArrowError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why encoded state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The magic bytes are those of something else.
    #[error("the bytes are no saved state of this kind")]
    WrongMagic,
    /// Another version of squelch wrote the state.
    #[error("the state was saved in format {0}, which this version of squelch cannot read")]
    UnsupportedVersion(u32),
    /// The state contradicts itself or is cut off.
    #[error("the saved state is damaged: {0}")]
    Damaged(String),
}

impl From<postcard::Error> for RestoreError {
    fn from(error: postcard::Error) -> Self {
        RestoreError::Damaged(error.to_string())
    }
}

impl From<ArrowError> for RestoreError {
    fn from(error: ArrowError) -> Self {
        RestoreError::Damaged(error.to_string())
    }
}

/// The format of one kind of state.
pub struct StateFormat {
    /// The first bytes of the encoded state.
    pub magic: [u8; 8],
    /// To be raised with every change of the format.
    pub version: u32,
}

impl StateFormat {
    /// The header, then the state as postcard writes it.
    ///
    /// # Errors
    ///
    /// State that cannot be encoded: a defect.
    pub fn encode<T: Serialize>(&self, state: &T) -> Result<Vec<u8>, RestoreError> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        Ok(postcard::to_extend(state, bytes)?)
    }

    /// State that was encoded in exactly this format.
    ///
    /// # Errors
    ///
    /// The bytes are another kind of state, of another version, or damaged.
    pub fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, RestoreError> {
        let rest = bytes.strip_prefix(&self.magic).ok_or(RestoreError::WrongMagic)?;
        let (version, state) = rest.split_first_chunk::<4>().ok_or(RestoreError::WrongMagic)?;
        let version = u32::from_le_bytes(*version);
        if version != self.version {
            return Err(RestoreError::UnsupportedVersion(version));
        }
        Ok(postcard::from_bytes(state)?)
    }
}
