//! Publishes what a receiver of this kind gets, and waits until a stream has it.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use tokio::time::timeout;

use crate::notify::call::{Answer, Publish};

/// Publishes to a subject that a stream holds.
pub async fn publish(context: &Context, message: &Publish, within: Duration) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", message.message_id.as_str());
    for (name, value) in &message.headers {
        headers.insert(*name, value.as_str());
    }
    let sending = async {
        let sent = context.publish_with_headers(message.subject.clone(), headers, message.body.clone().into()).await;
        match sent {
            Ok(stored) => stored.await.map(drop),
            Err(error) => Err(error),
        }
    };
    match timeout(within, sending).await {
        Ok(Ok(())) => Answer::Accepted,
        Ok(Err(error)) if error.kind() == PublishErrorKind::StreamNotFound => {
            Answer::RefusedForNow(format!("no stream holds the subject {}", message.subject))
        }
        Ok(Err(error)) => Answer::Unknown(error.to_string()),
        Err(_) => Answer::Unknown("no answer in time".into()),
    }
}
