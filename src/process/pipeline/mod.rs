//! The stages of a running squelch, joined by bounded channels: whatever is slow makes lag in the stream and not memory here.
//!
//! ```text
//! watchers (rules, topology) ─┐
//! read ───────────────────────┴─► decode ─► evaluate ─► publish
//! ```
//!
//! [`Stages`] is the list. `squelch run`, a worker and a correlator each fill it with stages of their own, and [`Stages::start`] runs
//! them: reading, watching and publishing as tasks, decoding and evaluating as threads.

pub mod decode;
pub mod evaluate;
pub mod gap_alert;
pub mod messages;
pub mod progress;
pub mod publish;
pub mod read;

use std::thread::JoinHandle as ThreadHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::io::nats::input::messages::Ack;
use crate::process::pipeline::decode::Decode;
use crate::process::pipeline::messages::{CountsAsProgress, DecodedItem, RawItem};
use crate::process::shutdown::Shutdown;

/// Items between reading and decoding.
const RAW_ITEMS: usize = 4;
/// Decoded batches that wait for the engine. One is enough to keep it busy; what arrives meanwhile makes the next one larger.
const DECODED_ITEMS: usize = 1;

/// The stages that report their end.
const STAGES: usize = 4;

/// Becomes true when the process stops.
pub type Stop = watch::Receiver<bool>;

/// A stage that runs as a task and sends raw items.
pub type Reader<O> = Box<dyn FnOnce(mpsc::Sender<RawItem<O>>, Stop) -> BoxFuture<'static, Result<()>> + Send>;

/// The stage that runs as a thread between decoding and publishing.
pub type EvaluateStage<O, R> = Box<dyn FnOnce(mpsc::Receiver<DecodedItem<Ack, O>>, &mpsc::Sender<R>) + Send>;

/// The stages, in the order in which data passes them. `O` is what only an engine receives, `R` what the evaluate stage makes.
pub struct Stages<O, R> {
    /// Items that come before everything else.
    pub first: Vec<RawItem<O>>,
    /// Tasks that watch what changes beside the events: rules, topology.
    pub watchers: Vec<Reader<O>>,
    /// Reads.
    pub read: Reader<O>,
    /// Decodes.
    pub decode: Decode,
    /// Evaluates rules, or counts for them.
    pub evaluate: EvaluateStage<O, R>,
    /// What is published before everything else.
    pub first_result: Option<R>,
    /// How many results may wait for the publisher.
    pub results_max: usize,
    /// Publishes.
    pub publish: Box<dyn FnOnce(mpsc::Receiver<R>) -> BoxFuture<'static, Result<()>> + Send>,
}

/// Stages that run.
pub struct Pipeline {
    stop: watch::Sender<bool>,
    /// Each stage reports its end here.
    ended: mpsc::Receiver<&'static str>,
    watchers: Vec<JoinHandle<Result<()>>>,
    read: JoinHandle<Result<()>>,
    publish: JoinHandle<Result<()>>,
    threads: [ThreadHandle<()>; 2],
}

/// Reports the end of a stage when it is dropped, also by a panic.
struct EndReport(mpsc::Sender<&'static str>, &'static str);

impl Drop for EndReport {
    fn drop(&mut self) {
        // There is room for each stage, and nobody has to listen.
        self.0.try_send(self.1).ok();
    }
}

impl<O: CountsAsProgress + Send + 'static, R: Send + 'static> Stages<O, R> {
    /// Starts all stages.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub async fn start(self) -> Result<Pipeline> {
        let Self { first, watchers, read, decode, evaluate, first_result, results_max, publish } = self;
        let (stop, stopped) = watch::channel(false);
        let (to_decoder, from_readers) = mpsc::channel(RAW_ITEMS.max(first.len()));
        let (to_engine, from_decoder) = mpsc::channel(DECODED_ITEMS);
        let (to_publisher, from_engine) = mpsc::channel(results_max);
        let (reports, ended) = mpsc::channel(STAGES);
        let report = |stage| EndReport(reports.clone(), stage);
        for item in first {
            to_decoder.send(item).await.map_err(|_| anyhow!("the decode stage has ended"))?;
        }
        if let Some(result) = first_result {
            to_publisher.send(result).await.map_err(|_| anyhow!("the publish stage has ended"))?;
        }
        let watchers = watchers.into_iter().map(|watch| tokio::spawn(watch(to_decoder.clone(), stopped.clone()))).collect();
        let (reading, publishing) = (read(to_decoder, stopped), publish(from_engine));
        Ok(Pipeline {
            stop,
            ended,
            watchers,
            read: task(report("read"), reading),
            publish: task(report("publish"), publishing),
            threads: [
                thread(report("decode"), move || decode.run(from_readers, &to_engine))?,
                thread(report("evaluate"), move || evaluate(from_decoder, &to_publisher))?,
            ],
        })
    }
}

impl Pipeline {
    /// Waits until a stage ends that was not asked to. Returns which.
    pub async fn stage_ended(&mut self) -> &'static str {
        // As long as a stage runs it holds a sender.
        self.ended.recv().await.unwrap_or("every")
    }

    /// Stops reading and waits until what was read is published.
    ///
    /// # Errors
    ///
    /// A stage failed, `within` was too short, or a second signal came.
    pub async fn drain(self, within: Duration, shutdown: &mut Shutdown) -> Result<()> {
        let Self { stop, watchers, read, publish, threads, .. } = self;
        stop.send_replace(true);
        let finish = async {
            for watcher in watchers {
                watcher.await.context("a watcher of files or buckets failed")??;
            }
            read.await.context("the read stage failed")??;
            publish.await.context("the publish stage failed")??;
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked")))
        };
        let again = "what was not acknowledged is read again";
        tokio::select! {
            finished = tokio::time::timeout(within, finish) => {
                finished.with_context(|| format!("not everything could be stored within {} s; {again}", within.as_secs()))?
            }
            () = shutdown.requested() => bail!("stopped by a second signal; {again}"),
        }
    }
}

fn task(report: EndReport, stage: BoxFuture<'static, Result<()>>) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        let _report = report;
        stage.await
    })
}

fn thread(report: EndReport, stage: impl FnOnce() + Send + 'static) -> Result<ThreadHandle<()>> {
    let name = report.1;
    let run = move || {
        let _report = report;
        stage();
    };
    std::thread::Builder::new().name(name.into()).spawn(run).with_context(|| format!("cannot start the thread `{name}`"))
}
