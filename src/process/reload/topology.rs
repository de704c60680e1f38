//! A topology that changes under a running squelch: its file is looked at as rule files are, its bucket is watched. What is bad
//! changes nothing: what was read before goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::{mpsc, watch};

use crate::io::files::topology_file;
use crate::io::nats::input::topology_bucket::{Entries, TopologyWatch};
use crate::process::pipeline::decode::ToDecoder;
use crate::process::reload::file_watcher::changed;
use crate::topology::TopologyDefinition;
use crate::topology::definition::TopologySource;

/// What an operator sees of sources that change.
#[derive(Debug, Default)]
pub struct TopologyStatus(Mutex<Figures>);

#[derive(Clone, Debug, Default)]
struct Figures {
    /// Changes that were read, by source and result.
    results: BTreeMap<(&'static str, &'static str), u64>,
    /// How many files or entries are bad now, by source.
    bad: BTreeMap<&'static str, usize>,
}

impl TopologyStatus {
    fn read(&self, source: TopologySource, result: &'static str, bad: usize) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *figures.results.entry((source.as_str(), result)).or_default() += 1;
        figures.bad.insert(source.as_str(), bad);
    }

    /// Writes the metrics.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sources = [TopologySource::File, TopologySource::Bucket].map(TopologySource::as_str);
        let help = "Changes of the topology that were read, by source and result";
        let mut results = encoder.encode_descriptor("squelch_topology_reloads", help, None, MetricType::Counter)?;
        for source in sources {
            for result in ["ok", "failed"] {
                let number = ConstCounter::new(now.results.get(&(source, result)).copied().unwrap_or(0));
                number.encode(results.encode_family(&[("source", source), ("result", result)])?)?;
            }
        }
        let help = "Files or entries of the topology that are bad now: what was read of them before goes on";
        let mut bad = encoder.encode_descriptor("squelch_topology_bad", help, None, MetricType::Gauge)?;
        for source in sources {
            let number = now.bad.get(source).copied().unwrap_or(0) as i64;
            ConstGauge::new(number).encode(bad.encode_family(&[("source", source)])?)?;
        }
        Ok(())
    }
}

/// Knows what the file looked like last.
pub struct TopologyFile {
    path: PathBuf,
    /// Its text, or why it cannot be read.
    seen: Result<String, String>,
    status: Arc<TopologyStatus>,
}

impl TopologyFile {
    /// Reads the file for the first time: it must be good.
    pub fn open(path: PathBuf, status: Arc<TopologyStatus>) -> Result<(Self, TopologyDefinition), topology_file::TopologyError> {
        let text = topology_file::read_text(&path)?;
        let parts = topology_file::parse(&text, &path.display().to_string())?;
        Ok((Self { path, seen: Ok(text), status }, parts))
    }

    fn read(&self) -> Result<String, String> {
        topology_file::read_text(&self.path).map_err(chain)
    }

    /// Looks at the file. Returns what it holds where that is another text, and good.
    pub fn look(&mut self, settle: bool) -> Option<TopologyDefinition> {
        let now = changed(&self.seen, settle, || self.read())?;
        let parse = |text: &String| topology_file::parse(text, &self.path.display().to_string()).map_err(chain);
        let parts = now.as_ref().map_err(Clone::clone).and_then(parse);
        self.seen = now;
        match parts {
            Ok(parts) => {
                self.status.read(TopologySource::File, "ok", 0);
                Some(parts)
            }
            Err(error) => {
                error.lines().for_each(|line| tracing::error!("{line}"));
                tracing::error!("the topology file is bad: what was read of it before goes on");
                self.status.read(TopologySource::File, "failed", 1);
                None
            }
        }
    }
}

/// The entries of the bucket as they were read: each holds what a file may hold.
#[derive(Debug, Default)]
pub struct Fragments {
    seen: Entries,
    /// The last good version of each.
    good: BTreeMap<String, TopologyDefinition>,
    /// Those whose newest version is bad.
    bad: BTreeSet<String>,
}

impl Fragments {
    /// Takes all entries as they are now, and says what is bad. Returns what they say together, in the order of their keys.
    pub fn take(&mut self, entries: &Entries, status: &TopologyStatus) -> TopologyDefinition {
        self.good.retain(|key, _| entries.contains_key(key));
        self.bad.retain(|key| entries.contains_key(key));
        let mut result = "ok";
        for (key, value) in entries.iter().filter(|(key, value)| self.seen.get(*key) != Some(*value)) {
            match parse_entry(key, value) {
                Ok(parts) => {
                    self.bad.remove(key);
                    self.good.insert(key.clone(), parts);
                }
                Err(error) => {
                    result = "failed";
                    let goes_on =
                        if self.good.contains_key(key) { "what was read of it before goes on" } else { "it is left out" };
                    error.lines().for_each(|line| tracing::error!("{line}"));
                    tracing::error!(key, "an entry of the topology bucket is bad: {goes_on}");
                    self.bad.insert(key.clone());
                }
            }
        }
        self.seen = entries.clone();
        status.read(TopologySource::Bucket, result, self.bad.len());
        TopologyDefinition::merged(self.good.values())
    }
}

fn parse_entry(key: &str, value: &[u8]) -> Result<TopologyDefinition, String> {
    let text = std::str::from_utf8(value).map_err(|error| format!("topology bucket, {key}: {error}"))?;
    topology_file::parse(text, &format!("topology bucket, {key}")).map_err(chain)
}

/// An error with what caused it, for the log.
fn chain(error: topology_file::TopologyError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// A look for [`watch`](crate::process::reload::file_watcher::watch).
pub fn look(file: &mut TopologyFile, settle: bool) -> Option<ToDecoder> {
    file.look(settle).map(|parts| ToDecoder::Topology(TopologySource::File, parts))
}

/// Watches the bucket until told to stop; hands the graph on in order with what is read.
pub async fn watch_bucket(
    mut bucket: TopologyWatch,
    mut fragments: Fragments,
    status: Arc<TopologyStatus>,
    to_decoder: mpsc::Sender<ToDecoder>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let entries = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            entries = bucket.next() => entries,
        };
        let parts = fragments.take(entries, &status);
        if to_decoder.send(ToDecoder::Topology(TopologySource::Bucket, parts)).await.is_err() {
            return;
        }
    }
}
