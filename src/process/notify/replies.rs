//! Hands what people answer at receivers to squelch, as commands.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream::Context;
use async_nats::{Client, jetstream};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::io::http::Router;
use crate::io::nats::command_client::CommandClient;
use crate::io::nats::notify::broker_clock::BrokerClock;
use crate::io::replies::{self, Replies, TakeReply};
use crate::model::command::CommandId;
use crate::model::time::TimestampMs;
use crate::notify::replies::Reply;
use crate::process::config::Config;
use crate::process::notify::build;
use crate::process::notify::stats::NotifyStats;
use crate::process::send_command::{self, Outcome};

/// How long a reply waits for its answer: Slack takes three seconds for a failure.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Answers what the services send back; nothing where no receiver has a secret for it.
pub(crate) fn router(config: &Config, client: &Client, stats: &Arc<NotifyStats>) -> Result<Option<Router>> {
    let readers = build::reply_readers(config)?;
    if readers.is_empty() {
        return Ok(None);
    }
    let context = jetstream::new(client.clone());
    let client = CommandClient::new(context.clone(), &config.input, &config.output, &config.commands);
    let to = Arc::new(CommandSender {
        client,
        stats: Arc::clone(stats),
        context,
        bucket: config.output.notified.clone(),
        clock: OnceCell::new(),
    });
    Ok(Some(replies::router(Arc::new(Replies { readers, to }))))
}

struct CommandSender {
    client: CommandClient,
    stats: Arc<NotifyStats>,
    context: Context,
    /// Of what was sent; the notifiers have made it.
    bucket: String,
    clock: OnceCell<BrokerClock>,
}

impl TakeReply for CommandSender {
    fn now_ms(&self) -> BoxFuture<'_, Result<TimestampMs, String>> {
        let ask = async || {
            let bucket = self.context.get_key_value(&self.bucket).await.map_err(|error| error.to_string())?;
            BrokerClock::ask(&bucket).await
        };
        async move { Ok(self.clock.get_or_try_init(ask).await?.now_ms()) }.boxed()
    }

    fn take(&self, receiver: &str, reply: Reply) -> BoxFuture<'static, Result<(), String>> {
        let (client, stats, receiver) = (self.client.clone(), Arc::clone(&self.stats), receiver.to_string());
        async move {
            let (kind, mut fields) = reply.command(&receiver);
            // What the service sends again is the same command.
            let id = CommandId::derived([receiver.as_bytes(), reply.id.as_bytes()]);
            fields.insert("id".into(), id.to_string().into());
            let refused = match send_command::send(&client, kind, fields, ANSWER_WITHIN).await? {
                Outcome::Answered(answer) => answer.reason,
                Outcome::Unsendable(why) => Some(why),
                Outcome::Unanswered => None,
            };
            match &refused {
                Some(reason) => tracing::info!(receiver, incident = reply.incident, by = reply.by, "{kind}: refused: {reason}"),
                None => tracing::info!(receiver, incident = reply.incident, by = reply.by, "{kind}"),
            }
            stats.update(&receiver, |stats| stats.count_reply(refused.is_none()));
            Ok(())
        }
        .boxed()
    }

    fn refused(&self, receiver: &str) {
        self.stats.update(receiver, |stats| stats.count_reply(false));
    }
}
