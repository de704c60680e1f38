//! A receiver that fails: since when, when it is tried again, and the alert about it, which becomes an incident that the other receivers send.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use serde_json::json;
use tokio::time::timeout;

use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::{HOUR_MS, TimestampMs};
use crate::notify::backoff;
use crate::process::notify::stats::NotifyStats;

/// The alert's name, where other alerts have their rule.
pub const RECEIVER_FAILING: &str = "squelch_receiver_failing";
/// A receiver that fails for less long is nobody's business.
const REPORTED_AFTER_MS: i64 = 30_000;
/// How often the alert is repeated, so that it does not expire.
const REPEATED_AFTER_MS: i64 = HOUR_MS;
/// How long publishing the alert may take: sending does not wait for it any longer.
const PUBLISH_WITHIN: Duration = Duration::from_secs(3);
/// A wrong setting is tried as seldom as the failure of this number.
const MISCONFIGURED_FAILURES: u32 = 7;

/// How one receiver fails.
pub struct Failing {
    receiver: String,
    kind: &'static str,
    severity: Severity,
    stats: Arc<NotifyStats>,
    context: Context,
    subject: String,
    failures: u32,
    since_ms: TimestampMs,
    /// Nothing is tried before.
    pub until_ms: TimestampMs,
    /// When the alert was published last, and for which environment.
    reported: Option<(TimestampMs, String)>,
}

impl Failing {
    /// One that does not. Alerts go out on `subject`.
    pub fn new(receiver: &str, kind: &'static str, stats: Arc<NotifyStats>, context: Context, subject: String) -> Self {
        // Who is not paged because the pager fails must hear of that at once.
        let severity = if kind == "pagerduty" { Severity::Critical } else { Severity::Warning };
        let receiver = receiver.to_string();
        Self { receiver, kind, severity, stats, context, subject, failures: 0, since_ms: 0, until_ms: 0, reported: None }
    }

    /// A request failed and is to be tried again.
    pub async fn failed(&mut self, why: &str, after_ms: Option<i64>, env: &str, now_ms: TimestampMs) {
        self.count(now_ms);
        let wait = backoff::wait_ms(self.failures, &self.receiver, after_ms);
        self.until_ms = now_ms + wait;
        let receiver = &self.receiver;
        tracing::warn!(receiver, kind = self.kind, failures = self.failures, "{why}; trying again in {}", format_ms(wait));
        if now_ms - self.since_ms >= REPORTED_AFTER_MS {
            self.report(why, env, now_ms).await;
        }
    }

    /// The receiver takes nothing as it is set up.
    pub async fn misconfigured(&mut self, why: &str, env: &str, now_ms: TimestampMs) {
        self.count(now_ms);
        let wait = backoff::wait_ms(self.failures.max(MISCONFIGURED_FAILURES), &self.receiver, None);
        self.until_ms = now_ms + wait;
        let receiver = &self.receiver;
        let next = format_ms(wait);
        tracing::error!(receiver, kind = self.kind, "{why}: check its address, secret and rights; trying again in {next}");
        self.report(why, env, now_ms).await;
    }

    /// A message was given up. The next one may be taken.
    pub async fn gave_up(&mut self, incident: &str, why: &str, env: &str, now_ms: TimestampMs) {
        let receiver = &self.receiver;
        tracing::error!(receiver, kind = self.kind, incident, "this message is given up: {why}");
        self.stats.update(&self.receiver, |stats| stats.given_up += 1);
        if self.failures == 0 {
            self.since_ms = now_ms;
        }
        self.report(&format!("gave up a message of {incident}: {why}"), env, now_ms).await;
    }

    /// A message was taken.
    pub async fn recovered(&mut self, now_ms: TimestampMs) {
        if self.failures > 0 {
            let receiver = &self.receiver;
            tracing::info!(receiver, kind = self.kind, "works again after {}", format_ms(now_ms - self.since_ms));
            self.stats.update(&self.receiver, |stats| stats.failing = false);
        }
        (self.failures, self.until_ms) = (0, 0);
        if let Some((_, env)) = self.reported.take() {
            self.publish("resolved", "works again", &env, now_ms).await;
        }
    }

    fn count(&mut self, now_ms: TimestampMs) {
        if self.failures == 0 {
            self.since_ms = now_ms;
        }
        self.failures = self.failures.saturating_add(1);
        self.stats.update(&self.receiver, |stats| (stats.retries, stats.failing) = (stats.retries + 1, true));
    }

    async fn report(&mut self, why: &str, env: &str, now_ms: TimestampMs) {
        let env = match &self.reported {
            Some((at_ms, _)) if now_ms - at_ms < REPEATED_AFTER_MS => return,
            // The same alert again: its labels are what it is known by.
            Some((_, env)) => env.clone(),
            None => env.to_string(),
        };
        self.publish("firing", why, &env, now_ms).await;
        self.reported = Some((now_ms, env));
    }

    async fn publish(&self, status: &str, why: &str, env: &str, now_ms: TimestampMs) {
        let (receiver, kind) = (&self.receiver, self.kind);
        let event = json!({
            "ts": now_ms,
            "name": RECEIVER_FAILING,
            "status": status,
            "severity": self.severity.as_str(),
            "service": "squelch",
            "env": env,
            "labels": { "receiver": receiver, "kind": kind },
            "annotations": { "summary": format!("squelch cannot notify {receiver} ({kind}): {why}") },
        });
        let sending = async {
            let stored = self.context.publish(self.subject.clone(), event.to_string().into()).await;
            match stored {
                Ok(stored) => stored.await.map(drop),
                Err(error) => Err(error),
            }
        };
        match timeout(PUBLISH_WITHIN, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(receiver, %error, subject = self.subject, "the alert about this receiver is not stored")
            }
            Err(_) => tracing::error!(receiver, subject = self.subject, "the alert about this receiver is not stored in time"),
        }
    }
}
