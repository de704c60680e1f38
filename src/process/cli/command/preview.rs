//! What a silence would hit now: asked of the bucket of open incidents, so of the alerts that their newest revisions list.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::incident::silence::matches;
use crate::io::files::topology_file;
use crate::io::nats::command_client::CommandClient;
use crate::model::command::{Action, SilenceTarget};
use crate::process::config::Config;
use crate::topology::Topology;

/// Shows it.
pub(crate) async fn show(client: &CommandClient, config: &Config, action: &Action, out: &mut dyn Write) -> Result<()> {
    let Action::Silence(request) = action else { return Ok(()) };
    let topology = match &config.topology.file {
        Some(file) => Topology::new(topology_file::read(file)?),
        None => Topology::default(),
    };
    let (mut incidents, mut silenced, mut whole) = (0, 0, 0);
    for body in client.open_incidents().await? {
        let revision: Value = serde_json::from_slice(&body).context("the bucket of incidents has a value that is no incident")?;
        let firing: Vec<&Value> =
            revision["alerts"].as_array().into_iter().flatten().filter(|it| it["status"] == "firing").collect();
        let hits = firing.iter().filter(|alert| is_hit(&request.target, &revision, alert, &topology)).count();
        if hits == 0 {
            continue;
        }
        let all = revision["counts"]["firing"].as_u64().unwrap_or(firing.len() as u64);
        (incidents, silenced) = (incidents + 1, silenced + hits);
        let quiet = if hits as u64 == all { "nobody would be notified of it" } else { "the others are notified as before" };
        whole += usize::from(hits as u64 == all);
        writeln!(out, "{}  {hits} of {all} firing alerts: {quiet}\n  {}", text(&revision, "id"), text(&revision, "title"))?;
    }
    match incidents {
        0 => writeln!(out, "nothing that is open now would be silenced")?,
        _ => writeln!(out, "{silenced} alerts of {incidents} open incidents would be silenced, {whole} of them whole")?,
    }
    if matches!(request.target, SilenceTarget::Node { .. }) && config.topology.file.is_none() {
        writeln!(out, "no topology.file is set here: what depends on the node is not counted")?;
    }
    Ok(())
}

fn is_hit(target: &SilenceTarget, revision: &Value, alert: &Value, topology: &Topology) -> bool {
    match target {
        SilenceTarget::Incident(id) => text(revision, "id") == id.as_ref(),
        SilenceTarget::Matchers(matchers) => matches(matchers, |name| match name {
            "alertname" => text(alert, "rule"),
            "severity" => text(alert, "severity"),
            "env" => text(revision, "env"),
            name => text(&alert["labels"], name),
        }),
        SilenceTarget::Node { name, env } => {
            let of_env = text(revision, "env");
            let entity = text(alert, "entity");
            let dependents: BTreeSet<Arc<str>> = topology.dependents(name, of_env, usize::MAX).into_keys().collect();
            env.as_deref().is_none_or(|env| env == of_env) && (entity == name.as_ref() || dependents.contains(entity))
        }
    }
}

/// A field as text.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}
