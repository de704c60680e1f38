//! The time, as the broker knows it: signatures and quiet hours need one, and this machine's clock may be wrong.

use std::sync::atomic::{AtomicI64, Ordering};

use async_nats::jetstream::kv::Store;
use tokio::time::Instant;

use crate::model::time::TimestampMs;

/// The key that is written to learn the time.
const KEY: &str = "clock";

/// A clock that goes on by itself from what the broker said.
#[derive(Debug)]
pub struct BrokerClock {
    begun: Instant,
    /// The broker's time when this began.
    begun_ms: AtomicI64,
}

impl BrokerClock {
    /// Asks the broker: writes a key and looks when that was.
    pub async fn ask(bucket: &Store) -> Result<Self, String> {
        let begun = Instant::now();
        bucket.put(KEY, "now".into()).await.map_err(|error| error.to_string())?;
        let entry = bucket.entry(KEY).await.map_err(|error| error.to_string())?.ok_or("the key is gone again")?;
        Ok(Self { begun, begun_ms: AtomicI64::new((entry.created.unix_timestamp_nanos() / 1_000_000) as i64) })
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> TimestampMs {
        self.begun_ms.load(Ordering::Relaxed) + self.elapsed_ms()
    }

    /// A message was stored at this time: it is not earlier than that.
    pub fn saw(&self, at_ms: TimestampMs) {
        self.begun_ms.fetch_max(at_ms - self.elapsed_ms(), Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> i64 {
        self.begun.elapsed().as_millis() as i64
    }
}
