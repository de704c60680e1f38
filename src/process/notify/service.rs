//! All receivers of this process: they send while it holds the lease, so that of several processes one sends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Client;
use async_nats::jetstream::{self, Context, kv};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::io::nats::client::streams::Streams;
use crate::io::nats::cluster::lease::{HeldLease, LeaseContender, LeaseStatus};
use crate::io::nats::notify::broker_clock::BrokerClock;
use crate::io::nats::notify::incident_source::IncidentSource;
use crate::io::nats::notify::records::Records;
use crate::process::config::Config;
use crate::process::notify::build::{self, Built};
use crate::process::notify::delivery::Delivery;
use crate::process::notify::failure::Failing;
use crate::process::notify::sender::Sender;
use crate::process::notify::stats::NotifyStats;

/// The key of the lease.
const LEASE: &str = "sender";
/// How long to wait after something that the server did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long a stop waits for the messages that are under way.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Notifiers that run beside the rest of the process.
pub struct Notifying {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Starts the notifiers of the settings, where there are any.
///
/// # Errors
///
/// A setting is wrong, or the bucket cannot be made.
pub async fn start(config: &Config, client: &Client, stats: &Arc<NotifyStats>) -> Result<Option<Notifying>> {
    if config.notifiers.is_empty() {
        return Ok(None);
    }
    // What is wrong is reported before anything is promised.
    build::receivers(config)?;
    let context = jetstream::new(client.clone());
    let streams = Streams::new(&context, config.nats.replicas);
    streams.output(&config.output).await?;
    let bucket = streams.notified(&config.output.notified).await?;
    let (stop, stopped) = watch::channel(false);
    let service = Service { config: config.clone(), context, bucket, stats: Arc::clone(stats) };
    Ok(Some(Notifying { stop, task: tokio::spawn(service.run(stopped)) }))
}

impl Notifying {
    /// Finishes what is under way and gives the lease up.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_WITHIN, self.task).await.is_err() {
            tracing::warn!("a message is still under way: whether it arrived is looked at after the next start");
        }
    }

    /// Waits until it ends by itself, which it never does.
    pub async fn ended(&mut self) -> Result<()> {
        (&mut self.task).await.context("the notifiers failed")
    }
}

struct Service {
    config: Config,
    context: Context,
    bucket: kv::Store,
    stats: Arc<NotifyStats>,
}

impl Service {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let lease = tokio::select! {
                lease = self.stand_by() => lease,
                _ = stopped.changed() => return,
            };
            let renewing = tokio::spawn({
                let lease = lease.clone();
                async move { lease.renew_until_lost().await }
            });
            if let Err(error) = self.send(&lease, &stopped).await {
                tracing::error!("the notifiers cannot start: {error:#}; trying again");
                sleep(RETRY_AFTER).await;
            }
            renewing.abort();
            if lease.is_lost() {
                tracing::warn!("another process notifies now: this one stands by");
            } else {
                lease.release().await;
            }
        }
    }

    /// Waits for the lease.
    async fn stand_by(&self) -> HeldLease {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "a machine without a name".into());
        let holder = format!("{}, process {}", machine.trim(), std::process::id());
        let lease = Duration::from_millis(self.config.standby.lease.0 as u64);
        let id = self.context.client().new_inbox();
        let mut contender = LeaseContender::new(self.bucket.clone(), LEASE, holder, id, lease);
        let mut reported = None;
        loop {
            match contender.check().await {
                Ok(LeaseStatus::Acquired(lease)) => return lease,
                Ok(LeaseStatus::Held(holder)) => {
                    if reported.as_ref() != Some(&holder) {
                        tracing::info!(holder, "another process notifies: this one stands by");
                        reported = Some(holder);
                    }
                    sleep(contender.pause()).await;
                }
                Err(error) => {
                    tracing::warn!(error, "the lease of the notifiers cannot be looked at; trying again");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Runs all receivers until the end of the lease, or until somebody asks for an end.
    async fn send(&self, lease: &HeldLease, stopped: &watch::Receiver<bool>) -> Result<()> {
        let clock =
            Arc::new(BrokerClock::ask(&self.bucket).await.map_err(anyhow::Error::msg).context("cannot ask for the time")?);
        let mut tasks = JoinSet::new();
        for built in build::receivers(&self.config)? {
            tasks.spawn(self.sender(built, lease, &clock).await?.run(stopped.clone()));
        }
        tracing::info!(receivers = tasks.len(), "notifying");
        while let Some(ended) = tasks.join_next().await {
            ended.context("a receiver's task failed")?;
        }
        Ok(())
    }

    async fn sender(&self, built: Built, lease: &HeldLease, clock: &Arc<BrokerClock>) -> Result<Sender> {
        let name = built.name.clone();
        self.stats.update(&name, |_| {});
        let records = Records::new(self.bucket.clone(), &name);
        let source = IncidentSource::open(&self.context, &self.config.output, &name, records.clone()).await?;
        source.remember_start().await.map_err(anyhow::Error::msg).context("the start cannot be recorded")?;
        let (kind, stats) = (built.receiver.kind(), Arc::clone(&self.stats));
        let failing = Failing::new(&name, kind, stats, self.context.clone(), alert_subject(&self.config));
        let delivery = Delivery { built, records, lease: lease.clone(), clock: Arc::clone(clock), context: self.context.clone() };
        Ok(Sender::new(delivery, source, failing, Arc::clone(&self.stats)))
    }
}

/// Where alerts about receivers go: to the stream of events, as alerts of another system.
fn alert_subject(config: &Config) -> String {
    let first = config.input.subjects.first().map_or("events", String::as_str);
    let prefix = first.split('.').next().unwrap_or("events");
    format!("{prefix}.alerts.squelch")
}
