//! What a silence would hit now, as lines: asked of the bucket of open incidents.

use std::io::Write;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::io::files::topology_file;
use crate::io::nats::command_client::CommandClient;
use crate::model::command::{Action, SilenceTarget};
use crate::page::silence_preview;
use crate::process::config::Config;
use crate::topology::Topology;

/// Shows it.
pub(crate) async fn show(client: &CommandClient, config: &Config, action: &Action, out: &mut dyn Write) -> Result<()> {
    let Action::Silence(request) = action else { return Ok(()) };
    let topology = match &config.topology.file {
        Some(file) => Topology::new(topology_file::read(file)?),
        None => Topology::default(),
    };
    let open = client.open_incidents().await?;
    let open: Vec<Value> = open
        .iter()
        .map(|body| serde_json::from_slice(body).context("the bucket of incidents has a value that is no incident"))
        .collect::<Result<_>>()?;
    let hits = silence_preview::hits(&request.target, open.iter(), &topology);
    for hit in &hits {
        let quiet = if hit.is_whole() { "nobody would be notified of it" } else { "the others are notified as before" };
        writeln!(out, "{}  {} of {} firing alerts: {quiet}\n  {}", hit.id, hit.silenced, hit.firing, hit.title)?;
    }
    let silenced: usize = hits.iter().map(|hit| hit.silenced).sum();
    let whole = hits.iter().filter(|hit| hit.is_whole()).count();
    match hits.len() {
        0 => writeln!(out, "nothing that is open now would be silenced")?,
        incidents => writeln!(out, "{silenced} alerts of {incidents} open incidents would be silenced, {whole} of them whole")?,
    }
    if matches!(request.target, SilenceTarget::Node { .. }) && config.topology.file.is_none() {
        writeln!(out, "no topology.file is set here: what depends on the node is not counted")?;
    }
    Ok(())
}
