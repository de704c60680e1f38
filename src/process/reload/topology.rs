//! A topology that changes while squelch runs: its file is checked as rule files are, its bucket is watched. A bad version changes
//! nothing: the last good one stays in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::io::files::topology_file;
use crate::io::nats::client::bucket_watch::Entries;
use crate::io::nats::input::topology_bucket::TopologyWatch;
use crate::process::pipeline::Stop;
use crate::process::pipeline::messages::{EngineOnly, PipelineItem, RawItem};
use crate::process::reload::file_watcher::changed;
use crate::process::reload::status::TopologyStatus;
use crate::topology::TopologyDefinition;
use crate::topology::definition::TopologySource;

/// Knows what the file contained last.
pub struct TopologyFile {
    path: PathBuf,
    /// Its text, or why it cannot be read.
    seen: Result<String, String>,
    status: Arc<TopologyStatus>,
}

impl TopologyFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// It is bad.
    pub fn open(path: PathBuf, status: Arc<TopologyStatus>) -> Result<(Self, TopologyDefinition), topology_file::TopologyError> {
        let text = topology_file::read_text(&path)?;
        let definition = topology_file::parse(&text, &path.display().to_string())?;
        Ok((Self { path, seen: Ok(text), status }, definition))
    }

    fn read(&self) -> Result<String, String> {
        topology_file::read_text(&self.path).map_err(with_causes)
    }

    /// Checks the file. Returns what it contains, if that is new and good. With `settle` it waits until the file stays the same.
    pub fn check(&mut self, settle: bool) -> Option<TopologyDefinition> {
        let now = changed(&self.seen, settle, || self.read())?;
        let parse = |text: &String| topology_file::parse(text, &self.path.display().to_string()).map_err(with_causes);
        let definition = now.as_ref().map_err(Clone::clone).and_then(parse);
        self.seen = now;
        match definition {
            Ok(definition) => {
                self.status.reloaded(TopologySource::File, "ok", 0);
                Some(definition)
            }
            Err(error) => {
                error.lines().for_each(|line| tracing::error!("{line}"));
                tracing::error!("the topology file is bad: its last good version stays in force");
                self.status.reloaded(TopologySource::File, "failed", 1);
                None
            }
        }
    }
}

/// The keys of the bucket: each holds what a file may hold.
#[derive(Debug, Default)]
pub struct TopologyKeys {
    seen: Entries,
    /// The last good version of each.
    good: BTreeMap<String, TopologyDefinition>,
    /// Those whose newest version is bad.
    bad: BTreeSet<String>,
}

impl TopologyKeys {
    /// Takes over all keys as they are now, and logs what is bad. Returns what they define together, in the order of the keys.
    pub fn update(&mut self, entries: &Entries, status: &TopologyStatus) -> TopologyDefinition {
        self.good.retain(|key, _| entries.contains_key(key));
        self.bad.retain(|key| entries.contains_key(key));
        let mut result = "ok";
        for (key, value) in entries.iter().filter(|(key, value)| self.seen.get(*key) != Some(*value)) {
            match parse_entry(key, value) {
                Ok(definition) => {
                    self.bad.remove(key);
                    self.good.insert(key.clone(), definition);
                }
                Err(error) => {
                    result = "failed";
                    let consequence =
                        if self.good.contains_key(key) { "its last good version stays in force" } else { "it is left out" };
                    error.lines().for_each(|line| tracing::error!("{line}"));
                    tracing::error!(key, "a key of the topology bucket is bad: {consequence}");
                    self.bad.insert(key.clone());
                }
            }
        }
        self.seen = entries.clone();
        status.reloaded(TopologySource::Bucket, result, self.bad.len());
        TopologyDefinition::merged(self.good.values())
    }
}

fn parse_entry(key: &str, value: &[u8]) -> Result<TopologyDefinition, String> {
    let text = std::str::from_utf8(value).map_err(|error| format!("topology bucket, {key}: {error}"))?;
    topology_file::parse(text, &format!("topology bucket, {key}")).map_err(with_causes)
}

fn with_causes(error: topology_file::TopologyError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// A check for [`watch`](crate::process::reload::file_watcher::watch).
pub fn check(file: &mut TopologyFile, settle: bool) -> Option<RawItem> {
    let topology = |definition| PipelineItem::EngineOnly(EngineOnly::Topology(TopologySource::File, definition));
    file.check(settle).map(topology)
}

/// Watches the bucket until the process stops.
pub async fn watch_bucket(
    mut bucket: TopologyWatch,
    mut keys: TopologyKeys,
    status: Arc<TopologyStatus>,
    to_decoder: mpsc::Sender<RawItem>,
    mut stopped: Stop,
) {
    loop {
        let entries = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            entries = bucket.next() => entries,
        };
        let definition = keys.update(entries, &status);
        let item = PipelineItem::EngineOnly(EngineOnly::Topology(TopologySource::Bucket, definition));
        if to_decoder.send(item).await.is_err() {
            return;
        }
    }
}
