//! Sends a command and waits for the answer. What cannot be is said before anything is sent, in the words of the decoder that will read it.

use std::io::Write;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream;

use crate::io::command_message::AnswerMessage;
use crate::io::decode::command as body_check;
use crate::io::nats::client::connect;
use crate::io::nats::command_client::{CommandClient, Sent};
use crate::process::cli::answer::{Answer, Terminal};
use crate::process::cli::command::{Request, preview};
use crate::process::config::Config;

/// Sends it. The answer is yes if it did what it asked for.
pub(crate) fn run(request: Request, terminal: &mut Terminal) -> Result<Answer> {
    let mut config = Config::read_or_default(&request.common.config)?;
    config.nats.servers = request.common.nats.clone().map_or(config.nats.servers, |url| vec![url]);
    Ok(if send(request, &config, &mut terminal.out)? { Answer::Yes } else { Answer::No })
}

fn send(request: Request, config: &Config, out: &mut dyn Write) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let client = connect::connect(&config.nats).await?;
        let client = CommandClient::new(jetstream::new(client), &config.input, &config.output, &config.commands);
        let Request { kind, mut fields, common, dry_run } = request;
        let by = common.by.or_else(|| std::env::var("USER").ok()).filter(|by| !by.is_empty());
        let by = by.context("nobody is named as the sender: set --by")?;
        fields.insert("by".into(), by.into());
        fields.insert("comment".into(), common.comment.into());
        let id = client.new_id(&serde_json::to_vec(&fields)?);
        fields.insert("id".into(), id.to_string().into());
        let body = serde_json::to_vec(&fields)?;
        let checked = body_check::check(&body, kind).and_then(|command| command.action);
        let action = match checked {
            Ok(action) => action,
            Err(why) => {
                writeln!(out, "refused: {why}")?;
                return Ok(false);
            }
        };
        if dry_run {
            return preview::show(&client, config, &action, out).await.map(|()| true);
        }
        match client.send(kind, id, body.into(), common.wait).await? {
            Sent::Answered(answer) => {
                let answer: AnswerMessage = serde_json::from_slice(&answer).context("the answer cannot be read")?;
                print(&answer, out)?;
                Ok(answer.accepted)
            }
            Sent::Unanswered => bail!(
                "the command is stored and not answered yet: no squelch reads {}, or its event time stands still; it counts once it is read",
                config.input.stream
            ),
        }
    })
}

fn print(answer: &AnswerMessage, out: &mut dyn Write) -> Result<()> {
    if let Some(reason) = &answer.reason {
        writeln!(out, "refused: {reason}")?;
        return Ok(());
    }
    let mut said: Vec<String> = Vec::new();
    said.extend(answer.silence.iter().map(|id| format!("silence {id}")));
    said.extend(answer.incidents.iter().map(|it| format!("{} r{}", it.id, it.revision)));
    let said = if said.is_empty() { answer.command.clone() } else { said.join(", ") };
    writeln!(out, "done: {said}")?;
    Ok(())
}
