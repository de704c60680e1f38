//! Compare-and-set on a key of a bucket: each write names the revision that it replaces. The server refuses a writer that has not seen
//! the newest one, so of two writers only one succeeds, however late a message arrives.

use std::time::Duration;

use async_nats::jetstream::kv::{Store, UpdateError, UpdateErrorKind};
use bytes::Bytes;
use tokio::time::timeout;

use crate::io::nats::client::streams::last_on;

/// Why a key was not written.
#[derive(Debug)]
pub(crate) enum CasError {
    /// The key is at another revision.
    OtherRevision,
    /// The server did not answer, or refused. The key may have been written all the same.
    Failed(String),
}

/// The newest revision of a key and its value, asked of the stream's leader. The revision is 0 where the key never existed; the value
/// is empty where it was deleted.
pub(crate) async fn read(bucket: &Store, key: &str) -> Result<(u64, Bytes), String> {
    let last = last_on(&bucket.stream, &format!("{}{key}", bucket.prefix)).await?;
    Ok(last.map_or((0, Bytes::new()), |message| (message.sequence, message.payload)))
}

/// Writes a key that is at `revision`. Returns its new revision.
pub(crate) async fn replace(bucket: &Store, key: &str, value: Bytes, revision: u64, within: Duration) -> Result<u64, CasError> {
    timeout(within, bucket.update(key, value, revision)).await.map_err(|_| timed_out())?.map_err(refused)
}

/// Removes a key that is at `revision`.
pub(crate) async fn remove(bucket: &Store, key: &str, revision: u64, within: Duration) -> Result<u64, CasError> {
    let removed = timeout(within, bucket.purge_expect_revision(key, Some(revision))).await.map_err(|_| timed_out())?;
    removed.map(|()| 0).map_err(refused)
}

fn timed_out() -> CasError {
    CasError::Failed("timed out".into())
}

fn refused(error: UpdateError) -> CasError {
    match error.kind() {
        UpdateErrorKind::WrongLastRevision => CasError::OtherRevision,
        _ => CasError::Failed(error.to_string()),
    }
}
