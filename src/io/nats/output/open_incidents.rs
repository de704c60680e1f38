//! The stage that updates the bucket of open incidents: the newest revision of each, for subscribers that join late.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::kv;

use crate::io::nats::client::kv_cas::{self, CasError};
use crate::io::nats::cluster::lease::{HeldLease, StoreError};
use crate::io::nats::output::results::RevisionMessage;

/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The bucket of open incidents.
pub struct OpenIncidents {
    bucket: kv::Store,
    lease: Option<HeldLease>,
    /// The revision in the bucket of each open incident, where this process wrote it.
    revisions: BTreeMap<String, u64>,
}

impl OpenIncidents {
    /// Under a lease, where another process may take over.
    pub fn new(bucket: kv::Store, lease: Option<HeldLease>) -> Self {
        Self { bucket, lease, revisions: BTreeMap::new() }
    }

    /// Replaces the incident's revision, or removes it where the incident has ended.
    ///
    /// # Errors
    ///
    /// It may not be stored.
    pub async fn update(&mut self, revision: &RevisionMessage) -> Result<(), StoreError> {
        match self.lease.clone() {
            Some(lease) => self.update_under(&lease, revision).await,
            None => self.overwrite(revision).await.map_err(StoreError::Failed),
        }
    }

    async fn overwrite(&self, revision: &RevisionMessage) -> Result<(), String> {
        if revision.open {
            self.bucket.put(&revision.incident, revision.body.clone()).await.map(drop).map_err(|error| error.to_string())
        } else {
            self.bucket.purge(&revision.incident).await.map_err(|error| error.to_string())
        }
    }

    async fn update_under(&mut self, lease: &HeldLease, revision: &RevisionMessage) -> Result<(), StoreError> {
        let key = &revision.incident;
        let mut known = self.revisions.remove(key).unwrap_or(0);
        loop {
            lease.may_write().await?;
            let written = if revision.open {
                kv_cas::replace(&self.bucket, key, revision.body.clone(), known, WRITE_TIMEOUT).await
            } else {
                kv_cas::remove(&self.bucket, key, known, WRITE_TIMEOUT).await
            };
            match written {
                Ok(written) => {
                    if revision.open {
                        self.revisions.insert(key.clone(), written);
                    }
                    return Ok(());
                }
                Err(CasError::Failed(error)) => return Err(StoreError::Failed(error)),
                Err(CasError::OtherRevision) => {
                    known = kv_cas::read(&self.bucket, key).await.map_err(StoreError::Failed)?.0;
                    // Renewing proves that the revision just read was written before this process could lose the lease. A later
                    // leader finds what is written here.
                    lease.renew().await?;
                }
            }
        }
    }
}
