//! Reads the body of a request: within its size, within a time, and within what all requests together may hold.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::io::intake::refusal::Refusal;

/// How long a body may take, whatever its size.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// How long a sender may be silent in the middle of a body.
const SILENT_MAX: Duration = Duration::from_secs(15);
/// One permit of the budget is so many bytes.
const PERMIT_BYTES: usize = 1 << 10;

/// What bodies may take of the memory.
#[derive(Debug)]
pub struct BodyBudget {
    /// Bytes of one body.
    body_bytes_max: usize,
    /// Of all bodies that are read or wait for the server.
    all: Arc<Semaphore>,
}

/// A body. Its share of the budget is free again when this is dropped.
#[derive(Debug)]
pub struct ReadBody {
    /// The bytes.
    pub bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// So much for one body, and for all.
    pub fn new(body_bytes_max: usize, all_bytes_max: usize) -> Self {
        let permits = all_bytes_max.max(body_bytes_max).div_ceil(PERMIT_BYTES);
        Self { body_bytes_max, all: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads the whole body.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<ReadBody, Refusal> {
        let max = self.body_bytes_max;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if let Some(bytes) = length.filter(|bytes| *bytes > max) {
            return Err(Refusal::TooLarge { bytes, max });
        }
        let mut share = None;
        let mut body = body.into_data_stream();
        let until = Instant::now() + BODY_WITHIN;
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        loop {
            let next = timeout_at(until.min(Instant::now() + SILENT_MAX), body.next()).await.map_err(|_| Refusal::Slow)?;
            let Some(chunk) = next else { break };
            // The connection broke, or what came is no HTTP: nobody reads the answer.
            let chunk = chunk.map_err(|_| Refusal::Slow)?;
            let bytes = first.len() + all.len() + chunk.len();
            if bytes > max {
                return Err(Refusal::TooLarge { bytes, max });
            }
            self.take(&mut share, chunk.len())?;
            // Most bodies are one chunk, which is not copied.
            if first.is_empty() && all.is_empty() {
                first = chunk;
                continue;
            }
            if all.is_empty() {
                all.reserve(length.unwrap_or(0).max(bytes));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
        let bytes = if all.is_empty() { first } else { all.freeze() };
        Ok(ReadBody { bytes, _share: share })
    }

    fn take(&self, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Refusal> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).map_err(|_| Refusal::Overloaded)?;
        let more = Arc::clone(&self.all).try_acquire_many_owned(permits).map_err(|_| Refusal::Overloaded)?;
        match share {
            Some(share) => share.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes.iter().map(|size| Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; *size]))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_limits() {
        let budget = BodyBudget::new(4_096, 8_192);
        let headers = HeaderMap::new();
        for sizes in [&[][..], &[10], &[10, 20, 30], &[4_096], &[4_000, 96]] {
            let read = budget.read(&headers, chunks(sizes)).await.unwrap();
            assert_eq!(read.bytes.len(), sizes.iter().sum::<usize>());
        }
        let too_large = budget.read(&headers, chunks(&[4_000, 97])).await.unwrap_err();
        assert_eq!(too_large, Refusal::TooLarge { bytes: 4_097, max: 4_096 });
        let mut claims = HeaderMap::new();
        claims.insert(header::CONTENT_LENGTH, 5_000.into());
        let too_large = budget.read(&claims, chunks(&[1])).await.unwrap_err();
        assert_eq!(too_large, Refusal::TooLarge { bytes: 5_000, max: 4_096 });
        let (one, _two) =
            (budget.read(&headers, chunks(&[4_096])).await.unwrap(), budget.read(&headers, chunks(&[4_096])).await.unwrap());
        assert_eq!(budget.read(&headers, chunks(&[1])).await.unwrap_err(), Refusal::Overloaded);
        drop(one);
        assert!(budget.read(&headers, chunks(&[4_096])).await.is_ok());
    }

    #[tokio::test]
    async fn a_sender_that_goes_away_is_refused() {
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))]));
        assert_eq!(BodyBudget::new(10, 10).read(&HeaderMap::new(), broken).await.unwrap_err(), Refusal::Slow);
    }
}
