//! Reads all that a bucket holds and watches it from there on. [`follow`] does so for ever: no error ends it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv::{Entry, Operation, Store, Watch};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::io::nats::client::streams;

/// The pause after a watch that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What was in the bucket when the watch began arrives within this time, or was deleted meanwhile.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The values of a bucket by key.
pub type Entries = BTreeMap<String, Bytes>;

/// What happened to a bucket that is followed.
#[derive(Clone, Debug, PartialEq)]
pub enum BucketChange {
    /// This is all that it holds.
    All(Entries),
    /// A key has this value now.
    Put(String, Bytes),
    /// A key is gone.
    Gone(String),
    /// It cannot be watched, for this reason; it is tried again.
    Failing(String),
}

/// All that a bucket holds, and a watch from there on.
pub(crate) async fn begin(store: &Store) -> Result<(Vec<Entry>, Watch), String> {
    let held = store.status().await.map_err(|error| error.to_string())?.values();
    let mut watch = store.watch_with_history(">").await.map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    let deadline = Instant::now() + CATCH_UP;
    let mut behind = held > 0;
    while behind {
        match timeout_at(deadline, watch.next()).await {
            Ok(next) => {
                let entry = entry(next)?;
                behind = entry.delta > 0;
                entries.push(entry);
            }
            Err(_) => behind = false,
        }
    }
    Ok((entries, watch))
}

/// What a watch yields, or why it ended.
pub(crate) fn entry<E: std::fmt::Display>(next: Option<Result<Entry, E>>) -> Result<Entry, String> {
    next.ok_or("the watch ended")?.map_err(|error| error.to_string())
}

/// Reports all changes of a bucket, for ever. One that does not exist yet is as good as an empty one.
pub async fn follow(context: Context, bucket: String, mut report: impl FnMut(BucketChange)) {
    loop {
        if let Err(why) = follow_once(&context, &bucket, &mut report).await {
            tracing::debug!(bucket, why, "a bucket cannot be watched; trying again");
            report(BucketChange::Failing(format!("bucket {bucket}: {why}")));
        }
        sleep(RETRY_AFTER).await;
    }
}

async fn follow_once(context: &Context, bucket: &str, report: &mut impl FnMut(BucketChange)) -> Result<(), String> {
    if streams::existing(context, &format!("KV_{bucket}")).await.map_err(|error| error.to_string())?.is_none() {
        report(BucketChange::All(Entries::new()));
        return Ok(());
    }
    let store = context.get_key_value(bucket).await.map_err(|error| error.to_string())?;
    let (entries, mut watch) = begin(&store).await?;
    let mut all = Entries::new();
    for entry in entries {
        match entry.operation {
            Operation::Put => drop(all.insert(entry.key, entry.value)),
            Operation::Delete | Operation::Purge => drop(all.remove(&entry.key)),
        }
    }
    report(BucketChange::All(all));
    loop {
        let entry = entry(watch.next().await)?;
        report(match entry.operation {
            Operation::Put => BucketChange::Put(entry.key, entry.value),
            Operation::Delete | Operation::Purge => BucketChange::Gone(entry.key),
        });
    }
}
