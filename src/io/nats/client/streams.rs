//! The streams and buckets: creates those that are missing, and refuses those that cannot work.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, Context, GetStreamErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, Stream};
use async_nats::jetstream::{ErrorCode, kv};

use crate::io::nats::NatsError;
use crate::io::nats::client::election::{JetStreamError, wait_for_leader};
use crate::io::nats::client::settings::{CommandsConfig, InputConfig, OutputConfig, PartitionsConfig, RejectedConfig};

/// How long the server remembers the ids of published revisions: a duplicate after a restart is dropped.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(3600);
/// How long events are kept where squelch creates the stream: enough to come back after a weekend, without a full disk.
const EVENTS_MAX_AGE: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long incidents are kept where squelch creates the stream.
const INCIDENTS_MAX_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long changes of alerts are kept: with a revision's counts they tell the whole of an incident.
const ALERTS_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a key of the bucket of open incidents stays that is not written again.
const BUCKET_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long partials are kept where squelch creates the stream: as long as events.
const PARTIALS_MAX_AGE: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long answers to commands are kept.
const ANSWERS_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the record of what was sent stays that is not written again.
const NOTIFIED_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long rejected input is kept for a look.
const REJECTED_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the server waits for acknowledgements before it delivers again: longer than any batch takes.
const ACK_WAIT: Duration = Duration::from_secs(120);
/// Messages that may wait for their acknowledgement; the default of 1,000 stalls a consumer that acknowledges whole batches.
const ACK_PENDING_MAX: i64 = 500_000;

/// The streams and buckets of one squelch.
#[derive(Clone)]
pub struct Streams {
    context: Context,
    replicas: usize,
}

impl Streams {
    /// Those that `context` reaches. Missing ones are created with this many replicas.
    pub fn new(context: &Context, replicas: usize) -> Self {
        Self { context: context.clone(), replicas }
    }

    /// The stream of events, created where it is missing.
    pub async fn input(&self, config: &InputConfig) -> Result<Stream, NatsError> {
        let wanted = StreamConfig {
            name: config.stream.clone(),
            subjects: config.subjects.clone(),
            max_age: EVENTS_MAX_AGE,
            ..StreamConfig::default()
        };
        let stream = match existing(&self.context, &config.stream).await? {
            Some(stream) => stream,
            None if config.create => self.create(wanted).await?,
            None => return Err(NatsError::NoStream { stream: config.stream.clone(), subjects: config.subjects.join(", ") }),
        };
        let found = &stream.cached_info().config;
        let missing = config.subjects.iter().any(|subject| !found.subjects.iter().any(|known| covers(known, subject)));
        if missing {
            return Err(other_subjects(found, &config.subjects, "input.subjects or input.stream"));
        }
        match found.retention {
            RetentionPolicy::Limits => Ok(stream),
            RetentionPolicy::WorkQueue => Err(NatsError::Retention { stream: config.stream.clone(), retention: "WorkQueue" }),
            RetentionPolicy::Interest => Err(NatsError::Retention { stream: config.stream.clone(), retention: "Interest" }),
        }
    }

    /// The streams of incidents and of alerts, and the bucket of open incidents.
    pub async fn output(&self, config: &OutputConfig) -> Result<kv::Store, NatsError> {
        let subjects = vec![format!("{}.>", config.subject)];
        let wanted = StreamConfig {
            name: config.stream.clone(),
            subjects: subjects.clone(),
            duplicate_window: DUPLICATE_WINDOW,
            max_age: INCIDENTS_MAX_AGE,
            ..StreamConfig::default()
        };
        self.ensure(wanted, &subjects, "output.subject or output.stream").await?;
        if config.publishes_alerts() {
            let subjects = vec![format!("{}.>", config.alerts_subject)];
            let wanted = StreamConfig {
                name: config.alerts_stream.clone(),
                subjects: subjects.clone(),
                duplicate_window: DUPLICATE_WINDOW,
                max_age: ALERTS_MAX_AGE,
                ..StreamConfig::default()
            };
            self.ensure(wanted, &subjects, "output.alerts_subject or output.alerts_stream").await?;
        }
        // Open incidents are written again and again; what remains of ended ones expires.
        self.bucket(&config.bucket, BUCKET_MAX_AGE).await
    }

    /// The stream of rejected input.
    pub async fn rejected(&self, config: &RejectedConfig) -> Result<(), NatsError> {
        let subjects = vec![format!("{}.>", config.subject)];
        let wanted = StreamConfig {
            name: config.stream.clone(),
            subjects: subjects.clone(),
            max_age: REJECTED_MAX_AGE,
            ..StreamConfig::default()
        };
        self.ensure(wanted, &subjects, "rejected.subject or rejected.stream").await
    }

    /// The stream of answers to commands, and the bucket of silences: what is in it stays until the engine takes it out.
    pub async fn commands(&self, config: &CommandsConfig) -> Result<kv::Store, NatsError> {
        let subjects = vec![format!("{}.>", config.subject)];
        let wanted = StreamConfig {
            name: config.stream.clone(),
            subjects: subjects.clone(),
            max_age: ANSWERS_MAX_AGE,
            ..StreamConfig::default()
        };
        self.ensure(wanted, &subjects, "commands.subject or commands.stream").await?;
        self.bucket(&config.bucket, Duration::ZERO).await
    }

    /// The stream of partials, between workers and the correlator.
    pub async fn partials(&self, config: &PartitionsConfig) -> Result<Stream, NatsError> {
        let wanted = StreamConfig {
            name: config.stream.clone(),
            subjects: vec![format!("{}.>", config.subject)],
            max_age: PARTIALS_MAX_AGE,
            ..StreamConfig::default()
        };
        self.found_or_created(wanted).await
    }

    /// The bucket of the topology: what is in it stays.
    pub async fn topology(&self, name: &str) -> Result<kv::Store, NatsError> {
        self.bucket(name, Duration::ZERO).await
    }

    /// The bucket of leases and checkpoints: what is in it stays until it is replaced.
    pub async fn state(&self, name: &str) -> Result<kv::Store, NatsError> {
        self.bucket(name, Duration::ZERO).await
    }

    /// The bucket of what receivers were sent: an incident of which nothing was heard for so long is over.
    pub async fn notified(&self, name: &str) -> Result<kv::Store, NatsError> {
        self.bucket(name, NOTIFIED_MAX_AGE).await
    }

    /// A bucket of one value a key, created where it is missing.
    async fn bucket(&self, name: &str, max_age: Duration) -> Result<kv::Store, NatsError> {
        // The client's own function first asks about the account, in a way that a 2.9 server does not answer.
        let wanted = StreamConfig {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_age,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..StreamConfig::default()
        };
        self.found_or_created(wanted).await?;
        self.context.get_key_value(name).await.map_err(|error| NatsError::request(format!("bucket {name}"), error))
    }

    async fn ensure(&self, wanted: StreamConfig, subjects: &[String], setting: &'static str) -> Result<(), NatsError> {
        let stream = self.found_or_created(wanted).await?;
        let found = &stream.cached_info().config;
        let missing = subjects.iter().any(|subject| !found.subjects.iter().any(|known| covers(known, subject)));
        if missing { Err(other_subjects(found, subjects, setting)) } else { Ok(()) }
    }

    async fn found_or_created(&self, wanted: StreamConfig) -> Result<Stream, NatsError> {
        match existing(&self.context, &wanted.name).await? {
            Some(stream) => Ok(stream),
            None => self.create(wanted).await,
        }
    }

    async fn create(&self, wanted: StreamConfig) -> Result<Stream, NatsError> {
        let what = format!("creating stream {} with subjects {}", wanted.name, wanted.subjects.join(", "));
        tracing::info!("{what}");
        let wanted = StreamConfig { num_replicas: self.replicas, ..wanted };
        let created = wait_for_leader(&what, || self.context.create_stream(wanted.clone())).await;
        created.map_err(|error| NatsError::of_request(what, error))
    }
}

/// The last message that was acknowledged, where the consumer exists.
pub async fn acknowledged(stream: &Stream, consumer: &str) -> Result<Option<u64>, NatsError> {
    let what = format!("consumer {consumer}");
    match wait_for_leader(&what, || stream.consumer_info(consumer)).await {
        Ok(info) => Ok(Some(info.ack_floor.stream_sequence)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(NatsError::of_request(what, error)),
    }
}

/// The consumer of the events: durable, so that what was acknowledged is known after a restart; one acknowledgement covers all
/// before it. It is created again and begins after message `after`: what was delivered to a process that died, and was not
/// acknowledged, would otherwise come out of order.
pub async fn consumer(stream: &Stream, config: &InputConfig, after: u64) -> Result<PullConsumer, NatsError> {
    let all = stream.cached_info().config.subjects == config.subjects;
    let (filter_subject, filter_subjects) = match config.subjects.as_slice() {
        _ if all => (String::new(), Vec::new()),
        [one] => (one.clone(), Vec::new()),
        many => (String::new(), many.to_vec()),
    };
    let what = format!("consumer {} of stream {}", config.consumer, config.stream);
    if acknowledged(stream, &config.consumer).await?.is_some() {
        stream.delete_consumer(&config.consumer).await.map_err(|error| NatsError::request(what.clone(), error))?;
    }
    let wanted = PullConfig {
        durable_name: Some(config.consumer.clone()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
        ack_policy: AckPolicy::All,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX,
        filter_subject,
        filter_subjects,
        ..PullConfig::default()
    };
    let several = wanted.filter_subjects.clone();
    let created = wait_for_leader(&what, || stream.create_consumer(wanted.clone())).await;
    let consumer: PullConsumer = created.map_err(|error| NatsError::of_request(what, error))?;
    // A 2.9 server ignores the list silently and would deliver the whole stream.
    if !several.is_empty() && consumer.cached_info().config.filter_subjects.is_empty() {
        return Err(NatsError::OneFilterOnly { wanted: several.join(", ") });
    }
    Ok(consumer)
}

/// The last message on a subject, if any, asked of the stream's leader.
pub(crate) async fn last_on(stream: &Stream, subject: &str) -> Result<Option<StreamMessage>, String> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The stream, if it exists.
pub async fn existing(context: &Context, name: &str) -> Result<Option<Stream>, NatsError> {
    let what = format!("stream {name}");
    match wait_for_leader(&what, || context.get_stream(name)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.is_leaderless() => Err(NatsError::of_request(what, error)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(code) if code.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            GetStreamErrorKind::JetStream(code) if code.error_code() == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                Err(NatsError::NoJetStream)
            }
            _ if nobody_answers(context).await => Err(NatsError::NoJetStream),
            _ => Err(NatsError::request(what, error)),
        },
    }
}

/// Whether nobody answers on the subjects of JetStream: then it is off.
async fn nobody_answers(context: &Context) -> bool {
    let answer = context.client().request("$JS.API.INFO", Vec::new().into()).await;
    answer.is_err_and(|error| error.kind() == RequestErrorKind::NoResponders)
}

fn other_subjects(found: &StreamConfig, wanted: &[String], setting: &'static str) -> NatsError {
    NatsError::OtherSubjects { stream: found.name.clone(), found: found.subjects.join(", "), wanted: wanted.join(", "), setting }
}

/// Whether every subject that matches `narrow` matches `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_stream_covers_what_it_holds() {
        for (wide, narrow, yes) in [
            ("events.>", "events.>", true),
            ("events.>", "events.metrics.>", true),
            ("events.>", "events.*", true),
            ("events.*", "events.a", true),
            ("events.*", "events.>", false),
            ("events.metrics.>", "events.>", false),
            ("events.a", "events.a.b", false),
            ("events.>", "events", false),
            (">", "events.>", true),
        ] {
            assert_eq!(covers(wide, narrow), yes, "{wide} covers {narrow}");
        }
    }
}
