//! `squelch explain`: how a rule is evaluated ([`rule`]), or why an incident is what it is ([`incident`]).

pub(crate) mod incident;
pub(crate) mod rule;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::model::local_time::Zone;
use crate::process::cli::answer::{Answer, Terminal, print_errors};
use crate::process::config::Config;
use crate::process::load_rules::{load_rules_with, lookups_folder};

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A rule's name or file, or an incident's id
    #[arg(value_name = "RULE | INCIDENT")]
    what: String,
    /// Folders or files of rules
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: Vec<PathBuf>,
    /// The folder of lookups that rules join [default: lookups, where it is there]
    #[arg(long, value_name = "DIR")]
    lookups: Option<PathBuf>,
    /// For incidents: the output of a replay, instead of NATS
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "nats"])]
    from: Option<PathBuf>,
    /// For incidents: the configuration that names the server and the stream; every key has a default
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    config: PathBuf,
    /// For incidents: this server instead of the configured ones
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// The text of a running squelch's /metrics, `-` for stdin: adds what the rule has cost so far
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    metrics: Option<PathBuf>,
    /// For incidents: draw what broke to this file as well, as SVG
    #[arg(long, value_name = "FILE", conflicts_with = "metrics")]
    svg: Option<PathBuf>,
}

pub(crate) fn run(args: ExplainArgs, terminal: &mut Terminal) -> Result<Answer> {
    let ExplainArgs { what, rules, lookups, from, config, nats, metrics, svg } = args;
    if let Some(file) = from {
        return terminal.answer(incident::from_file(&what, &file)?.shown(svg.as_deref(), Zone::default())?);
    }
    if metrics.is_none() && incident::is_incident(&what) {
        let mut config = Config::read_or_default(&config)?;
        config.nats.servers = nats.map_or(config.nats.servers, |url| vec![url]);
        return terminal.answer(incident::from_nats(&what, &config)?.shown(svg.as_deref(), config.time_zone)?);
    }
    if svg.is_some() {
        bail!("--svg draws an incident: {what} is a rule");
    }
    let metrics = metrics.as_deref().map(text_of).transpose()?;
    let rules = load_rules_with(
        &rules,
        lookups_folder(lookups.as_deref()).as_deref(),
        Zone::default(),
        terminal.style.color,
        &mut print_errors,
    )?;
    let text = rule::rule(&what, rules, metrics.as_deref())?;
    terminal.answer(text.ok_or_else(|| format!("there is no {what} among these rules")))
}

/// A file's text, or what comes on stdin.
fn text_of(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("cannot read stdin");
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
