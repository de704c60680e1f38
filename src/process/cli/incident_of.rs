//! The newest revision of an incident that a command is asked about: from the output of a replay, or from what was published.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream;

use crate::io::nats::client::connect;
use crate::io::nats::output::incident_history;
use crate::notify::incident_view::IncidentView;
use crate::process::config::Config;

/// How every id of an incident begins.
const ID_BEGINS: &str = "inc-";

/// Whether `what` is an incident's id.
pub(crate) fn is_incident(what: &str) -> bool {
    what.starts_with(ID_BEGINS) && !what.contains('=')
}

/// The newest revision that notifies somebody, or else the newest one.
pub(crate) fn newest(id: &str, from: Option<&Path>, config: &Config) -> Result<IncidentView> {
    let revisions = match from {
        Some(file) => of_file(id, file)?,
        None => of_nats(id, config)?,
    };
    let newest = revisions.iter().rev().find(|revision| revision.send).or(revisions.last());
    match newest {
        Some(newest) => Ok(newest.clone()),
        None => bail!("there is no {id}: incidents are known as long as the stream {} keeps them", config.output.stream),
    }
}

fn of_file(id: &str, file: &Path) -> Result<Vec<IncidentView>> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut revisions = Vec::new();
    for (at, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", file.display()))?;
        if !line.contains(id) {
            continue;
        }
        let revision = IncidentView::parse(line.as_bytes())
            .with_context(|| format!("{}:{}: no incident revision", file.display(), at + 1))?;
        if revision.id == id {
            revisions.push(revision);
        }
    }
    Ok(revisions)
}

fn of_nats(id: &str, config: &Config) -> Result<Vec<IncidentView>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let found = runtime.block_on(async {
        let client = connect::connect(&config.nats).await?;
        incident_history::read(&jetstream::new(client), &config.output, id).await
    })?;
    Ok(found.revisions.iter().filter_map(|body| IncidentView::parse(body).ok()).collect())
}
