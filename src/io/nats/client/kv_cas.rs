//! A key of a bucket whose every write says which revision it replaces. The server refuses whoever has not seen the newest one, so
//! of two who write only one succeeds, however late a message arrives.

use std::time::Duration;

use async_nats::jetstream::kv::{Store, UpdateError, UpdateErrorKind};
use bytes::Bytes;
use tokio::time::timeout;

use crate::io::nats::client::streams::last_on;

/// Why a key was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Another revision is there than the one that was to be replaced.
    Replaced,
    /// Nobody answered, or the server refused; it may have been written all the same.
    Failed(String),
}

/// The newest revision of a key and its value, asked of whoever leads the stream; 0 where the key never was, an empty value where it was
/// deleted.
pub(crate) async fn read(bucket: &Store, key: &str) -> Result<(u64, Bytes), String> {
    let last = last_on(&bucket.stream, &format!("{}{key}", bucket.prefix)).await?;
    Ok(last.map_or((0, Bytes::new()), |message| (message.sequence, message.payload)))
}

/// Writes a key that is at `revision`; says which one it is at then.
pub(crate) async fn replace(bucket: &Store, key: &str, value: Bytes, revision: u64, within: Duration) -> Result<u64, WriteError> {
    timeout(within, bucket.update(key, value, revision)).await.map_err(|_| timed_out())?.map_err(refused)
}

/// Removes a key that is at `revision`.
pub(crate) async fn remove(bucket: &Store, key: &str, revision: u64, within: Duration) -> Result<u64, WriteError> {
    let removed = timeout(within, bucket.purge_expect_revision(key, Some(revision))).await.map_err(|_| timed_out())?;
    removed.map(|()| 0).map_err(refused)
}

fn timed_out() -> WriteError {
    WriteError::Failed("timed out".into())
}

fn refused(error: UpdateError) -> WriteError {
    match error.kind() {
        UpdateErrorKind::WrongLastRevision => WriteError::Replaced,
        _ => WriteError::Failed(error.to_string()),
    }
}
