//! The records of what one receiver was sent, one key an incident, and how far it has come in the stream of incidents.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::io::nats::client::kv_cas::{self, CasError};
use crate::notify::record::Record;

/// How long one write may take.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// The records of one receiver.
#[derive(Clone)]
pub struct Records {
    bucket: Store,
    receiver: String,
}

/// A record as it was read or written last.
#[derive(Clone, Debug, Default)]
pub struct KeptRecord {
    /// What it says.
    pub record: Record,
    /// The revision of its key.
    pub key_revision: u64,
}

/// Why a record was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Somebody else has written it since it was read.
    #[error("the record was written by somebody else")]
    Replaced,
    /// The server does not answer, or refuses.
    #[error("{0}")]
    Failed(String),
}

/// How far a receiver has come.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The birth of the stream, nanoseconds since 1970: one that was made anew counts from 1 again.
    pub born_ns: i64,
    /// All up to this message is done.
    pub sequence: u64,
}

impl Records {
    /// Those of a receiver.
    pub fn new(bucket: Store, receiver: &str) -> Self {
        Self { bucket, receiver: receiver.into() }
    }

    /// What was sent of an incident. One that cannot be read is as good as none: it is replaced.
    pub async fn get(&self, incident: &str) -> Result<KeptRecord, String> {
        let (key_revision, value) = kv_cas::read(&self.bucket, &self.key(incident)).await?;
        let record = Record::parse(&value).unwrap_or_else(|error| {
            tracing::error!(
                receiver = self.receiver,
                incident,
                error,
                "a record of what was sent cannot be read: it is begun anew"
            );
            Record::default()
        });
        Ok(KeptRecord { record, key_revision })
    }

    /// Writes a record in place of the one that was read.
    pub async fn put(&self, incident: &str, kept: &mut KeptRecord) -> Result<(), RecordError> {
        let (key, value) = (self.key(incident), Bytes::from(kept.record.to_bytes()));
        match kv_cas::replace(&self.bucket, &key, value, kept.key_revision, WRITE_WITHIN).await {
            Ok(revision) => {
                kept.key_revision = revision;
                Ok(())
            }
            Err(CasError::OtherRevision) => Err(RecordError::Replaced),
            Err(CasError::Failed(error)) => Err(RecordError::Failed(error)),
        }
    }

    /// All records, with the incident of each. Nothing but a start needs them.
    pub async fn all(&self) -> Result<Vec<(String, Record)>, String> {
        let prefix = format!("record.{}.", self.receiver);
        let mut keys = self.bucket.keys().await.map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| error.to_string())?;
            if let Some(incident) = key.strip_prefix(&prefix) {
                all.push((incident.to_string(), self.get(incident).await?.record));
            }
        }
        Ok(all)
    }

    /// How far this receiver has come; `None` before its first start.
    pub async fn position(&self) -> Result<Option<Position>, String> {
        let (_, value) = kv_cas::read(&self.bucket, &self.position_key()).await?;
        Ok(serde_json::from_slice(&value).ok())
    }

    /// Remembers how far it has come.
    pub async fn keep_position(&self, position: Position) -> Result<(), String> {
        let value = serde_json::to_vec(&position).map_err(|error| error.to_string())?;
        self.bucket.put(self.position_key(), value.into()).await.map(drop).map_err(|error| error.to_string())
    }

    fn key(&self, incident: &str) -> String {
        format!("record.{}.{incident}", self.receiver)
    }

    fn position_key(&self) -> String {
        format!("position.{}", self.receiver)
    }
}
