//! `POST /replies/<receiver>`: what PagerDuty and Slack send when somebody answers there. Reads it, and hands it on as a command; it decides
//! nothing. A request that is not signed changes nothing and is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures::future::BoxFuture;

use crate::model::limits::REPLY_BYTES_MAX;
use crate::model::time::TimestampMs;
use crate::notify::replies::{ReadReplies, Reply, ReplyError, SignedRequest};
use axum::Router;

/// Where replies go.
pub trait TakeReply: Send + Sync + 'static {
    /// What time it is, for signatures: milliseconds since 1970.
    fn now_ms(&self) -> BoxFuture<'_, Result<TimestampMs, String>>;

    /// Sends the command of a reply. An error: it is not stored, and the service should send it again.
    fn take(&self, receiver: &str, reply: Reply) -> BoxFuture<'static, Result<(), String>>;

    /// Counts a request that was refused.
    fn refused(&self, receiver: &str);
}

/// Who reads the replies of each receiver, and where they go.
pub struct Replies {
    /// By the receiver's name.
    pub readers: BTreeMap<String, Box<dyn ReadReplies>>,
    /// Where they go.
    pub to: Arc<dyn TakeReply>,
}

/// Answers `POST /replies/<receiver>`.
pub fn router(replies: Arc<Replies>) -> Router {
    Router::new().route("/replies/{receiver}", post(take)).layer(DefaultBodyLimit::max(REPLY_BYTES_MAX)).with_state(replies)
}

type Answer = (StatusCode, String);

async fn take(
    State(replies): State<Arc<Replies>>,
    Path(receiver): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Answer> {
    let Some(reader) = replies.readers.get(&receiver) else {
        return Err((StatusCode::NOT_FOUND, format!("no receiver {receiver:?} reads replies: its secret for them is not set\n")));
    };
    let later = |error: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
    let now_ms = replies.to.now_ms().await.map_err(later)?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let read = reader.read(&SignedRequest { header: &header, body: &body, now_ms });
    let asked = read.map_err(|error| {
        tracing::warn!(receiver, "a reply is refused: {error}");
        replies.to.refused(&receiver);
        let status = match error {
            ReplyError::Unsigned(_) | ReplyError::Stale(_) => StatusCode::UNAUTHORIZED,
            ReplyError::Unreadable(_) => StatusCode::BAD_REQUEST,
        };
        (status, format!("{error}\n"))
    })?;
    for reply in asked {
        replies.to.take(&receiver, reply).await.map_err(later)?;
    }
    Ok(StatusCode::OK)
}
