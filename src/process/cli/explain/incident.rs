//! `squelch explain INCIDENT`: finds the revisions of one incident, in the output of a replay or in what a running squelch has
//! published, and describes it.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use serde_json::Value;

use crate::io::nats::client::connect;
use crate::io::nats::output::incident_history;
use crate::model::local_time::Zone;
use crate::page::drawing::drawing;
use crate::page::pages::{Pages, Reader};
use crate::page::text::tidy_all;
use crate::process::config::Config;
use crate::process::report::incident::describe;

/// How every id of an incident begins. A rule of such a name can be named by its file.
const ID_BEGINS: &str = "inc-";

/// Whether `what` is an incident's id, and no rule.
pub(crate) fn is_incident(what: &str) -> bool {
    what.starts_with(ID_BEGINS) && !Path::new(what).exists()
}

/// The revisions of an incident that were found.
pub(crate) struct Found {
    revisions: Vec<Value>,
    /// What to print where there are none.
    missing: String,
}

impl Found {
    /// The description, or what to print where the incident is unknown. Its newest revision is drawn to a file, where one is named.
    pub(crate) fn shown(mut self, svg: Option<&Path>, zone: Zone) -> Result<std::result::Result<String, String>> {
        let Some(text) = describe(&self.revisions) else { return Ok(Err(self.missing)) };
        if let (Some(file), Some(newest)) = (svg, self.revisions.last_mut()) {
            tidy_all(newest);
            let drawing = drawing(&Pages::new(zone), &Reader::default(), newest);
            std::fs::write(file, drawing).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Ok(text))
    }
}

/// Finds an incident in the output of a replay.
pub(crate) fn from_file(id: &str, file: &Path) -> Result<Found> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut revisions: Vec<Value> = Vec::new();
    for (i, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", file.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let revision: Value =
            serde_json::from_str(&line).with_context(|| format!("{}:{}: no incident revision", file.display(), i + 1))?;
        if revision["id"] == id {
            revisions.push(revision);
        }
    }
    Ok(Found { revisions, missing: format!("there is no {id} in {}", file.display()) })
}

/// Finds an incident in what was published.
pub(crate) fn from_nats(id: &str, config: &Config) -> Result<Found> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let history = runtime.block_on(async {
        let client = connect::connect(&config.nats).await?;
        incident_history::read(&jetstream::new(client), &config.output, id).await
    })?;
    let mut revisions: Vec<Value> = Vec::new();
    for body in &history.revisions {
        let revision = serde_json::from_slice(body)
            .with_context(|| format!("stream {} has a message of {id} that is no incident revision", config.output.stream))?;
        // After a crash the same revision may have been stored twice.
        if !revisions.contains(&revision) {
            revisions.push(revision);
        }
    }
    let (output, servers) = (&config.output, config.nats.servers.join(", "));
    let missing = format!(
        "there is no {id} at {servers}: neither in stream {} (revisions looked through: {}) nor in bucket {}",
        output.stream, history.searched, output.bucket
    );
    Ok(Found { revisions, missing })
}
