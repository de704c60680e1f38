//! A process that does the work: goes on from the newest checkpoint, puts the stages together and runs them until it is stopped or
//! loses the lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::kv;
use futures::FutureExt;
use tokio::sync::watch;

use crate::engine::partial::partition_merge::PartitionMerge;
use crate::io::decode::decoder::Decoder;
use crate::io::nats::NatsError;
use crate::io::nats::client::settings::CommandsConfig;
use crate::io::nats::client::streams::Streams;
use crate::io::nats::cluster::active_rules::ActiveRules;
use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::input::event_reader::EventReader;
use crate::io::nats::input::lease_consumer;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::input::topology_bucket::TopologyWatch;
use crate::io::nats::output::Publisher;
use crate::io::nats::output::results::Results;
use crate::process::checkpoint::storage::CheckpointStorage;
use crate::process::checkpoint::{self, Resumed};
use crate::process::cluster::correlator::{self, PartialsReader};
use crate::process::cluster::rule_distribution::{announce, rule_files_of};
use crate::process::cluster::standby;
use crate::process::config::Config;
use crate::process::load::{Loaded, load};
use crate::process::pipeline::decode::Decode;
use crate::process::pipeline::evaluate::{Evaluate, OutputSubjects, revision_messages};
use crate::process::pipeline::messages::{EngineOnly, PipelineItem, PublishItem};
use crate::process::pipeline::publish::{Publish, RuleAnnouncer};
use crate::process::pipeline::read::read;
use crate::process::pipeline::{Reader, Stages};
use crate::process::reload::file_watcher;
use crate::process::reload::rules;
use crate::process::reload::topology::{self, TopologyKeys, watch_bucket};
use crate::process::shutdown::{DRAIN_MAX, Shutdown};
use crate::process::telemetry::{Role, Telemetry};
use crate::topology::definition::TopologySource;

/// Results that wait for the publisher.
const RESULTS_MAX: usize = 4;

/// What a process needs for its work.
pub(crate) struct Leader<'p> {
    /// The configuration.
    pub config: &'p Config,
    /// Where it reports figures and health.
    pub telemetry: &'p Arc<Telemetry>,
    /// The connection.
    pub client: Client,
    /// Of a correlator: the number of workers.
    pub partitions: Option<usize>,
}

/// How the work ended.
pub(crate) enum Ended {
    /// By a signal.
    Stopped,
    /// Another process holds the lease.
    LeaseLost,
}

/// What is read: events, or what workers have counted.
struct Input {
    read: Reader<EngineOnly>,
    stream: String,
    position: StreamPosition,
    /// Of a correlator: where it announces its rules.
    active_rules: Option<ActiveRules>,
}

impl Leader<'_> {
    /// Works until a signal comes or the lease is lost.
    ///
    /// # Errors
    ///
    /// It cannot start, or not go on.
    pub(crate) async fn lead(
        &self,
        loaded: Loaded,
        checkpoints: CheckpointStorage,
        lease: Option<&HeldLease>,
        shutdown: &mut Shutdown,
    ) -> Result<Ended> {
        let Self { config, telemetry, client, partitions } = self;
        let hangups = || file_watcher::hangups();
        let (rule_hangups, topology_hangups) = (hangups()?, hangups()?);
        let fresh = || load(config, telemetry, *partitions);
        let subjects = OutputSubjects::from(&config.output);
        let messages = |revisions: &[_]| revision_messages(&subjects, revisions);
        let resuming = checkpoint::resume(&checkpoints, loaded, &fresh, |loaded| &mut loaded.engine, &messages);
        let (loaded, resumed) = resuming.await?;
        let Loaded { mut engine, label_keys, reloader, topology_file } = loaded;
        correlator::check(config, checkpoints.is_on(), &engine, *partitions)?;

        let context = jetstream::new(client.clone());
        let streams = Streams::new(&context, config.nats.replicas);
        let stood = resumed.as_ref().map(|resumed| resumed.position);
        let input = match partitions {
            None => self.events(&context, &streams, lease, stood).await?,
            Some(_) => self.partials(&context, &streams, engine.partitions(), stood).await?,
        };
        streams.rejected(&config.rejected).await?;
        let bucket = streams.output(&config.output).await?;
        let silences = self.silences(&streams).await;
        let fence = match lease {
            Some(lease) => {
                let output = resumed.as_ref().and_then(|resumed| resumed.output);
                Some(standby::fence(config, &context, lease, output, partitions.is_none()).await?)
            }
            None => None,
        };
        let (consumer, output) = (&config.input.consumer, Arc::clone(&telemetry.output));
        let publisher = Publisher::new(&context, bucket, &config.rejected.subject, consumer, fence, output);
        let publisher = publisher.with_silences(silences);

        let is_resumed = resumed.is_some();
        let outbox = resumed.map(|Resumed { outbox, .. }| outbox).unwrap_or_default();
        let running = partitions.map(|_| Arc::new(rule_files_of(&engine)));
        // Without a first checkpoint, what is acknowledged before the second one would be lost if the process died. And workers only
        // learn of rules that a checkpoint contains.
        let first_checkpoint = if checkpoints.is_on() && (!is_resumed || running.is_some()) {
            Some(checkpoint::save(&mut engine, input.position, &outbox)?)
        } else {
            None
        };

        let (mut first, mut watchers): (Vec<_>, Vec<Reader<EngineOnly>>) = (Vec::new(), Vec::new());
        if let Some(name) = &config.topology.bucket {
            let bucket = TopologyWatch::open(streams.topology(name).await?).await?;
            let (mut keys, status) = (TopologyKeys::default(), Arc::clone(&telemetry.topology));
            // The topology of the bucket is in force before the first event.
            let definition = keys.update(bucket.entries(), &status);
            first.push(PipelineItem::EngineOnly(EngineOnly::Topology(TopologySource::Bucket, definition)));
            watchers.push(Box::new(|out, stop| watch_bucket(bucket, keys, status, out, stop).map(Ok).boxed()));
        }
        let every = config.reload;
        if let Some(file) = topology_file {
            let name = "the topology file";
            let watch = move |out, stop| file_watcher::watch(name, file, topology::check, every, topology_hangups, out, stop);
            watchers.push(Box::new(|out, stop| watch(out, stop).map(Ok).boxed()));
        }
        let rule_count = reloader.rules();
        let watch =
            move |out, stop| file_watcher::watch("the folder of rules", reloader, rules::check, every, rule_hangups, out, stop);
        watchers.push(Box::new(|out, stop| watch(out, stop).map(Ok).boxed()));
        let announcer = input.active_rules.map(|active_rules| {
            let (announced, listening) = watch::channel(None);
            let lease = lease.cloned();
            watchers.push(Box::new(|_, stop| announce(active_rules, lease, listening, stop).map(Ok).boxed()));
            RuleAnnouncer::new(announced)
        });

        let decoder = Decoder::new(&label_keys, config.time.future.0).with_sources(Arc::clone(engine.source_names()));
        let idle_ms = config.time.idle.0;
        let mut evaluate = Evaluate::new(engine, idle_ms, subjects.clone(), config.limits.cpu_share, Arc::clone(telemetry))
            .with_answers(&config.commands.subject);
        if checkpoints.is_on() {
            let every = Duration::from_millis(config.checkpoint.every.0 as u64);
            evaluate = evaluate.with_checkpoints(every, input.position);
        }
        let publish = Publish::new(publisher, checkpoints, announcer, Arc::clone(telemetry));
        let after = input.position.sequence;
        tracing::info!(stream = input.stream, rules = rule_count, after, resumed = is_resumed, "reading events");
        telemetry.set_role(Role::Active(lease.cloned()));
        let stages = Stages {
            first,
            watchers,
            read: input.read,
            decode: Decode::new(decoder),
            evaluate: Box::new(move |items, out| evaluate.run(items, out)),
            first_result: Some(PublishItem {
                checkpoint_before: first_checkpoint,
                results: Results::of(outbox),
                checkpoint_after: None,
                active_rules: running,
            }),
            results_max: RESULTS_MAX,
            publish: Box::new(|results| publish.run(results).map(Ok).boxed()),
        };
        let mut pipeline = stages.start().await?;

        let mut failed = None;
        tokio::select! {
            () = shutdown.requested() => tracing::info!("stopping: publishing what was read"),
            stage = pipeline.stage_ended() => failed = Some(stage),
            () = standby::lost(lease) => tracing::error!("the lease is lost: nothing more is published"),
        }
        telemetry.stopping.store(true, Ordering::Relaxed);
        let is_lost = || lease.is_some_and(HeldLease::is_lost);
        // After the lease is lost nobody waits for results: what is left is processed and discarded.
        let within = if is_lost() { Duration::MAX } else { DRAIN_MAX };
        pipeline.drain(within, shutdown).await?;
        match failed {
            _ if is_lost() => Ok(Ended::LeaseLost),
            Some(stage) => bail!("the {stage} stage ended by itself"),
            None => Ok(Ended::Stopped),
        }
    }

    /// The bucket of silences. Whoever has no right to it, as before there were commands, runs without: nothing else depends on it.
    async fn silences(&self, streams: &Streams) -> Option<kv::Store> {
        let CommandsConfig { stream, bucket, .. } = &self.config.commands;
        let without = |error: NatsError| {
            let error = format!("{:#}", anyhow!(error));
            tracing::warn!(
                error,
                "commands are obeyed and not answered: grant the rights on stream {stream} and bucket {bucket}"
            );
        };
        streams.commands(&self.config.commands).await.map_err(without).ok()
    }

    /// The events themselves.
    async fn events(
        &self,
        context: &jetstream::Context,
        streams: &Streams,
        lease: Option<&HeldLease>,
        stood: Option<StreamPosition>,
    ) -> Result<Input> {
        let stream = streams.input(&self.config.input).await?;
        let name = stream.cached_info().config.name.clone();
        let (input, stood) = match lease {
            Some(lease) => lease_consumer::take_over(&stream, &self.config.input, lease, stood).await?,
            None => (self.config.input.clone(), stood),
        };
        let stats = Arc::clone(&self.telemetry.input);
        let (reader, position) = EventReader::open(context.clone(), stream, input, stood, stats).await?;
        let (client, telemetry) = (self.client.clone(), Arc::clone(self.telemetry));
        let read: Reader<EngineOnly> = Box::new(|out, stop| read(reader, client, telemetry, out, stop).map(Ok).boxed());
        Ok(Input { read, stream: name, position, active_rules: None })
    }

    /// What workers have counted.
    async fn partials(
        &self,
        context: &jetstream::Context,
        streams: &Streams,
        merge: &PartitionMerge,
        stood: Option<StreamPosition>,
    ) -> Result<Input> {
        let stream = streams.partials(&self.config.partitions).await?;
        let name = stream.cached_info().config.name.clone();
        let created_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
        correlator::same_stream(&name, stood.map(|stood| stood.created_ns), created_ns)?;
        let sequence = stood.map_or(0, |stood| stood.sequence);
        let consumer = &self.config.input.consumer;
        let active_rules = ActiveRules::new(context.clone(), stream.clone(), &self.config.partitions, consumer);
        let reader = PartialsReader::new(&stream, self.config, merge);
        let (client, telemetry) = (self.client.clone(), Arc::clone(self.telemetry));
        Ok(Input {
            read: Box::new(|out, stop| reader.read(client, telemetry, out, stop).boxed()),
            stream: name,
            position: StreamPosition { created_ns, sequence },
            active_rules: Some(active_rules),
        })
    }
}
