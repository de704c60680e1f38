//! One message, step by step: each step is recorded before it is sent and after it was answered, so that a process that dies between the two
//! leaves behind what it was about to do.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use tokio::time::sleep;

use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::notify::broker_clock::BrokerClock;
use crate::io::nats::notify::publish::publish;
use crate::io::nats::notify::records::{KeptRecord, RecordError, Records};
use crate::notify::call::{Answer, Call, Request, Verdict};
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, News};
use crate::process::notify::build::Built;

/// More steps than any message has.
const STEPS_MAX: usize = 20;
/// How long to wait after a record could not be written.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What sending needs.
pub struct Delivery {
    /// The receiver.
    pub built: Built,
    /// Its records.
    pub records: Records,
    /// Held while this process sends.
    pub lease: HeldLease,
    /// The time.
    pub clock: Arc<BrokerClock>,
    /// For receivers on NATS.
    pub context: Context,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived. Nothing was sent where there was nothing to send.
    Sent {
        /// Whether anything was.
        anything: bool,
    },
    /// Later.
    Retry {
        /// Why.
        why: String,
        /// At the earliest.
        after_ms: Option<i64>,
    },
    /// The receiver takes nothing as it is set up.
    Misconfigured(String),
    /// Never.
    GivenUp(String),
    /// The record was written by somebody else: what it says now counts.
    Replaced,
    /// Another process sends now.
    LeaseLost,
}

impl Delivery {
    /// Sends what the incident's revision needs.
    pub async fn deliver(&self, incident: &IncidentView, news: News, kept: &mut KeptRecord) -> Outcome {
        let pending = kept.record.pending.get_or_insert_default();
        if pending.revision != incident.revision {
            // What was begun of an older revision may have arrived: the receiver looks before it sends the same step again.
            let since_ms = if pending.since_ms > 0 { pending.since_ms } else { self.clock.now_ms() };
            (pending.revision, pending.since_ms) = (incident.revision, since_ms);
            pending.done.clear();
        }
        pending.with_sound |= matches!(news, News::First | News::Update);
        let mut anything = false;
        for _ in 0..STEPS_MAX {
            let job = Job { incident, news, record: &kept.record, now_ms: self.clock.now_ms() };
            let Some(call) = self.built.receiver.next(&job) else { return self.finish(incident, anything, kept).await };
            match self.step(incident, news, &call, kept).await {
                Ok(done) => anything |= done && !call.only_asks,
                Err(outcome) => return outcome,
            }
        }
        Outcome::GivenUp(format!("the message takes more than {STEPS_MAX} steps"))
    }

    async fn step(&self, incident: &IncidentView, news: News, call: &Call, kept: &mut KeptRecord) -> Result<bool, Outcome> {
        if !call.only_asks {
            let pending = kept.record.pending.get_or_insert_default();
            (pending.begun, pending.may_have_arrived) = (Some(call.step.into()), true);
            self.keep(&incident.id, kept).await?;
        }
        if self.lease.may_write().await.is_err() {
            return Err(Outcome::LeaseLost);
        }
        let answer = self.send(&call.request).await;
        let job = Job { incident, news, record: &kept.record, now_ms: self.clock.now_ms() };
        let reading = self.built.receiver.read(&job, call, &answer);
        for (key, value) in reading.remote {
            kept.record.remote.insert(key.into(), value);
        }
        let pending = kept.record.pending.get_or_insert_default();
        let outcome = match reading.verdict {
            Verdict::Done => {
                pending.done.insert(call.step.into());
                pending.begun = None;
                return Ok(true);
            }
            Verdict::WasDone(was_done) => {
                if let Some(step) = pending.begun.take().filter(|_| was_done) {
                    pending.done.insert(step);
                }
                return Ok(was_done);
            }
            Verdict::AskOn => return Ok(false),
            Verdict::Retry { why, after_ms, unknown } => {
                if !unknown && !call.only_asks {
                    pending.begun = None;
                }
                Outcome::Retry { why, after_ms }
            }
            Verdict::Misconfigured(why) => {
                pending.begun = pending.begun.take().filter(|_| call.only_asks);
                Outcome::Misconfigured(why)
            }
            Verdict::Final(why) => Outcome::GivenUp(why),
        };
        Err(outcome)
    }

    async fn finish(&self, incident: &IncidentView, anything: bool, kept: &mut KeptRecord) -> Outcome {
        let record = &mut kept.record;
        // An edit without anything to edit leaves no trace.
        let is_new =
            anything || record.pending.as_ref().is_some_and(|pending| !pending.done.is_empty()) || record.waiting.is_some();
        (record.pending, record.waiting) = (None, None);
        record.revision = incident.revision;
        if !is_new {
            return Outcome::Sent { anything: false };
        }
        (record.sent, record.closed) = (true, !incident.is_open());
        (record.severity, record.at_ms, record.given_up) = (Some(incident.severity), self.clock.now_ms(), None);
        match self.keep(&incident.id, kept).await {
            Ok(()) => Outcome::Sent { anything: true },
            Err(outcome) => outcome,
        }
    }

    /// Writes the record, for as long as it takes: without it nothing may be sent, and what was sent would be sent again.
    pub async fn keep(&self, incident: &str, kept: &mut KeptRecord) -> Result<(), Outcome> {
        loop {
            if self.lease.is_lost() {
                return Err(Outcome::LeaseLost);
            }
            match self.records.put(incident, kept).await {
                Ok(()) => return Ok(()),
                Err(RecordError::Replaced) => match self.records.get(incident).await {
                    // It was stored, and the acknowledgement was lost.
                    Ok(found) if found.record == kept.record => {
                        kept.key_revision = found.key_revision;
                        return Ok(());
                    }
                    Ok(_) => return Err(Outcome::Replaced),
                    Err(error) => {
                        tracing::warn!(receiver = self.built.name, incident, error, "a record cannot be read; trying again")
                    }
                },
                Err(RecordError::Failed(error)) => {
                    tracing::warn!(receiver = self.built.name, incident, error, "a record cannot be written; trying again");
                }
            }
            self.pause().await;
        }
    }

    /// Waits before something is tried again that the server did not answer.
    pub(super) async fn pause(&self) {
        sleep(RETRY_AFTER).await;
    }

    async fn send(&self, request: &Request) -> Answer {
        match request {
            Request::Http(request) => self.built.http.send(request).await,
            Request::Publish(message) => publish(&self.context, message, self.built.timeout).await,
            Request::Mail(mail) => match &self.built.smtp {
                Some(smtp) => smtp.send(mail).await,
                None => Answer::RefusedForGood("mail is not set up".into()),
            },
        }
    }
}
