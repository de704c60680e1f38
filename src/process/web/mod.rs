//! The pages of a process: follows what was published on NATS, by any squelch, and sends what people do on a page as commands. In
//! `squelch run` nothing is followed until somebody asks for a page.

pub mod alone;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::io::files::topology_file;
use crate::io::nats::client::bucket_watch::{self, BucketChange};
use crate::io::nats::client::settings::OutputConfig;
use crate::io::nats::client::stream_tail::{self, TailEvent};
use crate::io::nats::command_client::CommandClient;
use crate::io::nats::output::incident_history;
use crate::io::web::access::Access;
use crate::io::web::backend::{Backend, Outcome};
use crate::io::web::feed::Feed;
use crate::io::web::site::Site;
use crate::model::command::{CommandKind, SilenceTarget};
use crate::model::limits::PAST_REVISIONS_MAX;
use crate::page::pages::Pages;
use crate::page::silence_preview::{self, Hit};
use crate::page::text::{tidy_all, tidy_view};
use crate::process::config::Config;
use crate::process::send_command;
use crate::topology::Topology;

/// How long a page waits for the answer to a command.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Searches through the whole stream of incidents at once.
const SEARCHES_MAX: usize = 2;

/// What the pages need of NATS.
struct NatsPages {
    context: Context,
    client: CommandClient,
    output: OutputConfig,
    silences_bucket: String,
    feed: Arc<Feed>,
    is_started: AtomicBool,
    searches: Semaphore,
    topology_file: Option<std::path::PathBuf>,
}

/// The pages of what these settings name.
pub(crate) fn site(config: &Config, client: &Client) -> Arc<Site> {
    let context = jetstream::new(client.clone());
    let feed = Arc::new(Feed::default());
    let pages = NatsPages {
        client: CommandClient::new(context.clone(), &config.input, &config.output, &config.commands),
        context,
        output: config.output.clone(),
        silences_bucket: config.commands.bucket.clone(),
        feed: Arc::clone(&feed),
        is_started: AtomicBool::new(false),
        searches: Semaphore::new(SEARCHES_MAX),
        topology_file: config.topology.file.clone(),
    };
    let access = Access { hosts: config.http.hosts.clone() };
    Arc::new(Site { feed, backend: Arc::new(pages), pages: Pages::new(config.time_zone), access })
}

impl Backend for NatsPages {
    fn start(&self) {
        if self.is_started.swap(true, Ordering::Relaxed) {
            return;
        }
        let open = {
            let feed = Arc::clone(&self.feed);
            move |change| take_open(&feed, change)
        };
        tokio::spawn(bucket_watch::follow(self.context.clone(), self.output.bucket.clone(), open));
        let silences = {
            let feed = Arc::clone(&self.feed);
            move |change| take_silence(&feed, change)
        };
        tokio::spawn(bucket_watch::follow(self.context.clone(), self.silences_bucket.clone(), silences));
        let past = {
            let feed = Arc::clone(&self.feed);
            move |event| take_past(&feed, event)
        };
        let (stream, subject) = (self.output.stream.clone(), format!("{}.>", self.output.subject));
        tokio::spawn(stream_tail::follow(self.context.clone(), stream, subject, PAST_REVISIONS_MAX as u64, past));
    }

    fn body(&self, sequence: u64) -> BoxFuture<'_, Result<Option<Bytes>, String>> {
        async move {
            let body = incident_history::body(&self.context, &self.output, sequence).await;
            body.map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn history(&self, incident: String) -> BoxFuture<'_, Result<Vec<Bytes>, String>> {
        async move {
            let _turn = self.searches.acquire().await.map_err(|error| error.to_string())?;
            let found = incident_history::read(&self.context, &self.output, &incident).await;
            found.map(|found| found.revisions).map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn send(&self, kind: CommandKind, fields: Map<String, Value>) -> BoxFuture<'_, Result<Outcome, String>> {
        async move {
            Ok(match send_command::send(&self.client, kind, fields, ANSWER_WITHIN).await? {
                send_command::Outcome::Answered(answer) => match answer.reason {
                    Some(why) => Outcome::Refused(why),
                    None => {
                        let revisions = answer.incidents.into_iter().map(|it| (it.id, it.revision)).collect();
                        Outcome::Accepted { revisions }
                    }
                },
                send_command::Outcome::Unsendable(why) => Outcome::Refused(why),
                send_command::Outcome::Unanswered => Outcome::Unanswered,
            })
        }
        .boxed()
    }

    fn preview(&self, target: &SilenceTarget, open: &[&Value]) -> Vec<Hit> {
        // Read anew: it may have changed.
        let known = self.topology_file.as_ref().filter(|_| matches!(target, SilenceTarget::Node { .. }));
        let topology = known.and_then(|file| topology_file::read(file).ok()).map(Topology::new).unwrap_or_default();
        silence_preview::hits(target, open.iter().copied(), &topology)
    }

    fn knows_graph(&self) -> bool {
        self.topology_file.is_some()
    }
}

fn take_open(feed: &Feed, change: BucketChange) {
    match change {
        BucketChange::All(entries) => {
            let views = entries.values().filter_map(|body| tidy_view(body)).map(|view| (view.id.clone(), Arc::new(view)));
            feed.replace_open(views.collect());
            feed.report_progress(|progress| progress.open = true);
            feed.report_trouble("open", None);
        }
        BucketChange::Put(id, body) => match tidy_view(&body) {
            Some(view) => feed.put_open(Arc::new(view)),
            None => tracing::warn!(id, "the bucket of open incidents has a value that is no incident"),
        },
        BucketChange::Gone(id) => feed.remove_open(&id),
        BucketChange::Failing(why) => feed.report_trouble("open", Some(why)),
    }
}

fn take_silence(feed: &Feed, change: BucketChange) {
    let silence = |body: &Bytes| {
        let mut value: Value = serde_json::from_slice(body).ok()?;
        tidy_all(&mut value);
        Some(Arc::new(value))
    };
    match change {
        BucketChange::All(entries) => {
            let all: BTreeMap<_, _> = entries.iter().filter_map(|(id, body)| Some((id.clone(), silence(body)?))).collect();
            feed.replace_silences(all);
            feed.report_progress(|progress| progress.silences = true);
            feed.report_trouble("silences", None);
        }
        BucketChange::Put(id, body) => feed.put_silence(&id, silence(&body)),
        BucketChange::Gone(id) => feed.put_silence(&id, None),
        BucketChange::Failing(why) => feed.report_trouble("silences", Some(why)),
    }
}

fn take_past(feed: &Feed, event: TailEvent) {
    match event {
        TailEvent::Begin { whole } => {
            feed.forget_past();
            feed.report_progress(|progress| progress.past_is_whole = whole);
        }
        TailEvent::Message(sequence, body) => {
            if let Some(view) = tidy_view(&body) {
                feed.take_past(sequence, &view);
            }
        }
        TailEvent::CaughtUp => {
            feed.report_progress(|progress| progress.past = true);
            feed.report_trouble("past", None);
        }
        TailEvent::Failing(why) => feed.report_trouble("past", Some(why)),
    }
}
