//! The task of one receiver: takes revisions in, decides, sends, acknowledges. While the receiver fails, what comes is taken in all the same, so
//! that the newest state is sent when it works again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::Acker;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::io::nats::notify::incident_source::{IncidentSource, Incoming};
use crate::io::nats::notify::records::KeptRecord;
use crate::model::limits::DIGEST_MEMBERS_MAX;
use crate::model::time::TimestampMs;
use crate::notify::decide::{Arrival, Plan, Silence};
use crate::notify::incident_view::IncidentView;
use crate::notify::queue::{Entry, Queue};
use crate::notify::rate_limit::RateLimit;
use crate::notify::receiver::News;
use crate::notify::record::{Waiting, WaitingFor};
use crate::process::notify::delivery::{Delivery, Outcome};
use crate::process::notify::digest_under_way::Digest;
use crate::process::notify::failure::Failing;
use crate::process::notify::stats::NotifyStats;

/// Revisions on their way from the stream.
const CHANNEL_MESSAGES: usize = 256;
/// How long to wait after something that the server did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The longest sleep: whatever waits for a time is looked at again.
const SLEEP_MAX_MS: i64 = 5_000;

/// One receiver at work.
pub struct Sender {
    pub(super) delivery: Delivery,
    pub(super) source: Arc<IncidentSource>,
    queue: Queue<Acker>,
    /// When what waits is due, by incident.
    pub(super) waiting: BTreeMap<String, Waiting>,
    limit: RateLimit,
    pub(super) failing: Failing,
    pub(super) stats: Arc<NotifyStats>,
    /// The digest under way.
    pub(super) digest: Option<Digest>,
    /// Whether all has come that was there at the start: until then nothing is sent, since newer revisions may follow.
    caught_up: bool,
}

impl Sender {
    /// One that has read nothing yet.
    pub fn new(delivery: Delivery, source: IncidentSource, failing: Failing, stats: Arc<NotifyStats>) -> Self {
        let limit = RateLimit::new(delivery.built.rate, delivery.clock.now_ms());
        Self {
            delivery,
            source: Arc::new(source),
            queue: Queue::default(),
            waiting: BTreeMap::new(),
            limit,
            failing,
            stats,
            digest: None,
            caught_up: false,
        }
    }

    /// Works until it is told to stop, or the lease is lost.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let (to, mut from_stream) = mpsc::channel(CHANNEL_MESSAGES);
        let Some(reader) = self.begin(to, &mut stopped).await else { return };
        while !*stopped.borrow() && !self.delivery.lease.is_lost() {
            self.take_in(&mut from_stream);
            self.show();
            let now_ms = self.delivery.clock.now_ms();
            self.look_at_waiting(now_ms).await;
            let may_send = self.caught_up && now_ms >= self.failing.until_ms;
            if may_send && let Some(digest) = self.digest.take() {
                self.send_digest(digest).await;
                continue;
            }
            if let Some(id) = self.queue.next().filter(|_| may_send) {
                self.handle(&id).await;
                continue;
            }
            tokio::select! {
                _ = stopped.changed() => {}
                () = self.delivery.lease.lost() => {}
                () = sleep(self.idle_time(now_ms)) => {}
                incoming = from_stream.recv(), if self.queue.has_room() => {
                    if let Some(incoming) = incoming {
                        self.take(incoming);
                    }
                }
            }
        }
        reader.abort();
    }

    /// Reads back what waits, and begins to read the stream. `None` where it was stopped before.
    async fn begin(
        &mut self,
        to: mpsc::Sender<Incoming>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Option<tokio::task::JoinHandle<()>> {
        loop {
            match self.try_begin().await {
                Ok((consumer, pending)) => {
                    self.caught_up = pending == 0;
                    return Some(tokio::spawn(Arc::clone(&self.source).read(consumer, to)));
                }
                Err(error) => {
                    tracing::warn!(
                        receiver = self.delivery.built.name,
                        error,
                        "the stream of incidents cannot be read; trying again"
                    );
                }
            }
            tokio::select! {
                _ = stopped.changed() => return None,
                () = self.delivery.lease.lost() => return None,
                () = sleep(RETRY_AFTER) => {}
            }
        }
    }

    async fn try_begin(&mut self) -> Result<(async_nats::jetstream::consumer::PullConsumer, u64), String> {
        let records = self.delivery.records.all().await?;
        self.digest = self.digest_under_way(&records).await?;
        let waiting = records.into_iter().filter_map(|(incident, record)| Some((incident, record.waiting?)));
        self.waiting = waiting.collect();
        self.source.begin().await
    }

    fn take_in(&mut self, from_stream: &mut mpsc::Receiver<Incoming>) {
        while self.queue.has_room()
            && let Ok(incoming) = from_stream.try_recv()
        {
            self.take(incoming);
        }
        // What does not fit must be sent before the rest can come.
        self.caught_up |= !self.queue.has_room();
    }

    fn take(&mut self, incoming: Incoming) {
        let Incoming { payload, sequence, at_ms, pending, ack } = incoming;
        self.delivery.clock.saw(at_ms);
        self.caught_up |= pending == 0;
        match IncidentView::parse(&payload) {
            Ok(incident) => self.queue.add(incident, sequence, at_ms, Some(ack)),
            Err(error) => {
                tracing::error!(receiver = self.delivery.built.name, sequence, %error, "a message on the stream of incidents is none");
                tokio::spawn(async move { drop(ack.ack().await) });
            }
        }
    }

    fn show(&self) {
        let (queued, waiting) = (self.queue.len(), self.waiting.len());
        self.stats.update(&self.delivery.built.name, |stats| (stats.queued, stats.waiting) = (queued, waiting));
    }

    fn idle_time(&self, now_ms: TimestampMs) -> Duration {
        let due = self.waiting.values().map(|waiting| waiting.until_ms).min();
        let retry = (!self.queue.is_empty() || self.digest.is_some()).then_some(self.failing.until_ms);
        let until = [due, retry].into_iter().flatten().min().map_or(SLEEP_MAX_MS, |until| until - now_ms);
        Duration::from_millis(until.clamp(1, SLEEP_MAX_MS) as u64)
    }

    /// What is due joins the queue; of several that were held back, one digest is made.
    async fn look_at_waiting(&mut self, now_ms: TimestampMs) {
        let is_due = |waiting: &Waiting| waiting.until_ms <= now_ms;
        let any_digest_is_due = self.waiting.values().any(|waiting| is_due(waiting) && waiting.why.is_digest());
        let held_back = |waiting: &Waiting| waiting.why == WaitingFor::RateLimit || (is_due(waiting) && waiting.why.is_digest());
        if any_digest_is_due && self.digest.is_none() {
            let members = self.waiting.iter().filter(|(id, waiting)| held_back(waiting) && self.queue.get(id).is_none());
            let members: Vec<(String, Waiting)> =
                members.take(DIGEST_MEMBERS_MAX).map(|(id, waiting)| (id.clone(), waiting.clone())).collect();
            if members.len() > 1 {
                self.begin_digest(members, now_ms).await;
                return;
            }
        }
        let in_digest =
            |id: &str| self.digest.as_ref().is_some_and(|digest| digest.members.iter().any(|member| member.incident == id));
        let due: Vec<(String, Waiting)> = self
            .waiting
            .iter()
            .filter(|(id, waiting)| is_due(waiting) && self.queue.get(id).is_none() && !in_digest(id))
            .map(|(id, waiting)| (id.clone(), waiting.clone()))
            .collect();
        for (id, waiting) in due {
            if !self.queue.has_room() {
                return;
            }
            let Some(incident) = self.message_of(&id, &waiting).await else { return };
            if let Some(incident) = incident {
                self.queue.add(IncidentView { send: true, ..incident }, waiting.sequence, waiting.since_ms, None);
            }
        }
    }

    /// The newest revision of an incident that waits. The outer `None`: the server does not answer; the inner one: it is gone.
    pub(super) async fn message_of(&mut self, id: &str, waiting: &Waiting) -> Option<Option<IncidentView>> {
        match self.source.message(waiting.sequence).await {
            Ok(Some(payload)) => match IncidentView::parse(&payload) {
                Ok(incident) if incident.id == id => return Some(Some(incident)),
                _ => self.forget_waiting(id, "its message is no longer what it was"),
            },
            Ok(None) => self.forget_waiting(id, "its message is no longer in the stream"),
            Err(error) => {
                tracing::warn!(receiver = self.delivery.built.name, error, "what waited cannot be read; trying again");
                sleep(RETRY_AFTER).await;
                return None;
            }
        }
        Some(None)
    }

    fn forget_waiting(&mut self, id: &str, why: &str) {
        tracing::error!(receiver = self.delivery.built.name, incident = id, "an incident that waited is not sent: {why}");
        self.waiting.remove(id);
    }

    async fn handle(&mut self, id: &str) {
        let mut kept = match self.delivery.records.get(id).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(receiver = self.delivery.built.name, error, "a record cannot be read; trying again");
                sleep(RETRY_AFTER).await;
                return;
            }
        };
        let Some(entry) = self.queue.get(id) else { return };
        let (incident, sequence) = (Arc::clone(&entry.incident), entry.sequence);
        let arrival = Arrival { incident: &incident, notified_since_ms: entry.notified_since_ms };
        let now_ms = self.delivery.clock.now_ms();
        let mut plan = self.delivery.built.policy.plan(arrival, &kept.record, now_ms);
        if let Plan::Send(News::First | News::Update) = plan
            && kept.record.pending.as_ref().is_none_or(|pending| !pending.with_sound)
            && let Err(until_ms) = self.limit.take(now_ms)
        {
            let since_ms = entry.notified_since_ms.unwrap_or(now_ms);
            plan = Plan::Wait { until_ms, since_ms, why: WaitingFor::RateLimit };
        }
        match plan {
            Plan::Nothing(silence) => self.nothing(&incident, silence, &mut kept).await,
            Plan::Wait { until_ms, since_ms, why } => {
                let waiting = Waiting { until_ms, since_ms, why, sequence };
                self.wait(&incident, waiting, &mut kept).await;
            }
            Plan::Send(news) => self.send(&incident, news, &mut kept).await,
        }
    }

    async fn nothing(&mut self, incident: &IncidentView, silence: Silence, kept: &mut KeptRecord) {
        let name = &self.delivery.built.name;
        self.stats.update(name, |stats| stats.count_silent(silence));
        if kept.record.waiting.take().is_some() {
            kept.record.revision = incident.revision;
            if self.delivery.keep(&incident.id, kept).await.is_err() {
                return;
            }
            tracing::info!(receiver = name, incident = incident.id, "what waited need not be sent: {silence:?}");
        }
        self.waiting.remove(&incident.id);
        self.done(&incident.id).await;
    }

    async fn wait(&mut self, incident: &IncidentView, waiting: Waiting, kept: &mut KeptRecord) {
        kept.record.revision = incident.revision;
        kept.record.waiting = Some(waiting.clone());
        if self.delivery.keep(&incident.id, kept).await.is_ok() {
            self.waiting.insert(incident.id.clone(), waiting);
            self.done(&incident.id).await;
        }
    }

    async fn send(&mut self, incident: &IncidentView, news: News, kept: &mut KeptRecord) {
        let outcome = self.delivery.deliver(incident, news, kept).await;
        let now_ms = self.delivery.clock.now_ms();
        match outcome {
            Outcome::Sent { anything } => {
                if anything {
                    self.sent(incident, news, now_ms);
                    self.failing.recovered(now_ms).await;
                }
                self.waiting.remove(&incident.id);
                self.done(&incident.id).await;
            }
            Outcome::Retry { why, after_ms } => {
                self.remember(&incident.id, kept).await;
                self.failing.failed(&why, after_ms, &incident.env, now_ms).await;
            }
            Outcome::Misconfigured(why) => {
                self.remember(&incident.id, kept).await;
                self.failing.misconfigured(&why, &incident.env, now_ms).await;
            }
            Outcome::GivenUp(why) => {
                (kept.record.pending, kept.record.waiting) = (None, None);
                (kept.record.revision, kept.record.given_up) = (incident.revision, Some(why.clone()));
                self.failing.gave_up(&incident.id, &why, &incident.env, now_ms).await;
                if self.delivery.keep(&incident.id, kept).await.is_ok() {
                    self.waiting.remove(&incident.id);
                    self.done(&incident.id).await;
                }
            }
            // What the record says now counts: it is looked at again.
            Outcome::Replaced => {}
            Outcome::LeaseLost => {}
        }
    }

    /// Which steps were done, and which one may have been, survives a restart.
    async fn remember(&self, id: &str, kept: &mut KeptRecord) {
        if let Err(outcome) = self.delivery.keep(id, kept).await {
            tracing::warn!(receiver = self.delivery.built.name, incident = id, "what was tried is not recorded: {outcome:?}");
        }
    }

    fn sent(&self, incident: &IncidentView, news: News, now_ms: TimestampMs) {
        let since = self.queue.get(&incident.id).and_then(|entry| entry.notified_since_ms);
        let delay_ms = since.map_or(0, |since| now_ms - since).max(0);
        let (receiver, kind) = (&self.delivery.built.name, self.delivery.built.receiver.kind());
        tracing::info!(receiver, kind, incident = incident.id, revision = incident.revision, delay_ms, "sent: {news:?}");
        self.stats.update(receiver, |stats| {
            stats.count_sent(news);
            stats.delay_ms += delay_ms as u64;
        });
    }

    /// Acknowledges what came of an incident.
    async fn done(&mut self, id: &str) {
        let Some(Entry { acks, .. }) = self.queue.remove(id) else { return };
        for ack in acks {
            if let Err(error) = ack.ack().await {
                tracing::debug!(incident = id, %error, "not acknowledged: it comes again, and the record says that it was done");
            }
        }
    }
}
