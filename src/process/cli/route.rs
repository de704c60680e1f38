//! `squelch route --explain`: who would be notified, and by which line of the settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as IoWrite;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, parse_rfc3339};
use crate::notify::incident_view::IncidentView;
use crate::notify::route::{Router, Target};
use crate::process::cli::answer::{Answer, Terminal};
use crate::process::cli::incident_of::{self, is_incident};
use crate::process::config::Config;

#[derive(Args, Debug)]
pub(crate) struct RouteArgs {
    /// An incident's id, or name=value pairs
    #[arg(long, value_name = "INCIDENT | LABELS", num_args = 1.., required = true)]
    explain: Vec<String>,
    /// The configuration: needs `notifiers`
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    config: PathBuf,
    /// The output of a replay that has the incident, instead of NATS
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The time that the routes are asked about, RFC 3339; that of the incident if not given
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) fn run(args: &RouteArgs, terminal: &mut Terminal) -> Result<Answer> {
    let (text, anybody) = explain(args, &Config::read_or_default(&args.config)?)?;
    write!(terminal.out, "{text}")?;
    Ok(if anybody { Answer::Yes } else { Answer::No })
}

/// The description, and whether anybody would be notified.
fn explain(args: &RouteArgs, config: &Config) -> Result<(String, bool)> {
    let RouteArgs { explain: what, from, at, .. } = args;
    if config.notifiers.is_empty() {
        bail!("there is nobody to notify: name receivers under `notifiers` in squelch.yaml");
    }
    let router = Router::new(&config.notifiers, &config.routes, config.time_zone);
    let incident = match what.as_slice() {
        [id] if is_incident(id) => incident_of::newest(id, from.as_deref(), config)?,
        labels => of_labels(labels)?,
    };
    let at_ms = time_of(at.as_deref(), &router, &incident, what)?;
    let mut text = String::new();
    let mut notified: BTreeMap<String, Target> = BTreeMap::new();
    for step in router.explain(&incident, at_ms) {
        writeln!(text, "{step}")?;
        for (name, target) in step.targets.into_iter().filter(|_| step.mismatch.is_none()) {
            let earliest = notified.get(&name).map_or(target, |known| target.min(*known));
            notified.insert(name, earliest);
        }
    }
    let mut lines: Vec<(Target, String)> = notified.into_iter().map(|(name, target)| (target, name)).collect();
    lines.sort();
    if lines.is_empty() {
        text.push_str("=> nobody is notified\n");
        return Ok((text, false));
    }
    for (target, name) in lines {
        let when = match target {
            Target::Now => "at once".to_string(),
            Target::After(ms) => format!("after {} unless acknowledged", format_ms(ms)),
        };
        writeln!(text, "=> {name} {when}")?;
    }
    Ok((text, true))
}

/// The instant that the routes are asked about: that of the incident, unless one is given.
fn time_of(at: Option<&str>, router: &Router, incident: &IncidentView, what: &[String]) -> Result<TimestampMs> {
    match at {
        Some(at) => match parse_rfc3339(at) {
            Some(at_ms) => Ok(at_ms),
            None => bail!("--at {at:?} is no time: write for example 2026-03-14T02:47:10Z"),
        },
        None if router.asks_for_time() && !matches!(what, [id] if is_incident(id)) => {
            bail!("a route depends on the time of day: add --at 2026-03-14T02:47:10Z")
        }
        None => Ok(incident.updated_at),
    }
}

/// An incident with these properties: `env`, `severity`, `entity`, `rule`; everything else is a label of its alert.
fn of_labels(words: &[String]) -> Result<IncidentView> {
    let mut labels = BTreeMap::new();
    for word in words {
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => drop(labels.insert(name.to_string(), value.to_string())),
            _ => bail!("{word:?} is neither an incident's id nor name=value: write for example env=production severity=critical"),
        }
    }
    let severity: Severity = match labels.remove("severity") {
        Some(severity) => severity.parse()?,
        None => Severity::Critical,
    };
    let (rule, entity) = (labels.remove("rule"), labels.remove("entity"));
    let entity = entity.or_else(|| labels.get("service").or(labels.get("host")).cloned());
    let time = "1970-01-01T00:00:00Z";
    let body = json!({
        "id": "inc-0000000000000000", "revision": 1, "status": "open", "severity": severity.as_str(),
        "env": labels.get("env").cloned().unwrap_or_default(), "started_at": time, "updated_at": time,
        "root_cause": { "entity": entity }, "entities": entity.iter().collect::<Vec<_>>(),
        "alerts": [{ "rule": rule, "entity": entity, "labels": labels, "status": "firing" }],
        "notify": { "send": true },
    });
    Ok(IncidentView::of(body)?)
}
