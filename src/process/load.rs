//! What a start makes of the files that people wrote: an engine over the rules and the topology, and what watches the files.

use std::sync::Arc;

use anyhow::Result;

use crate::engine::{Engine, EngineParams};
use crate::model::event::LabelKeys;
use crate::process::cluster::partition::refuse_unmergeable;
use crate::process::config::Config;
use crate::process::load_rules::{load_rules_with, lookups_folder};
use crate::process::reload::rules::Reloader;
use crate::process::reload::signals::SignalsFile;
use crate::process::reload::topology::TopologyFile;
use crate::process::telemetry::Telemetry;
use crate::topology::{Topology, TopologyDefinition};

/// An engine that has seen nothing, and what watches its files.
pub(crate) struct Loaded {
    /// The engine.
    pub engine: Engine,
    /// The labels that rules and topology read.
    pub label_keys: LabelKeys,
    /// Watches the rule files.
    pub reloader: Reloader,
    /// Watches the topology file.
    pub topology_file: Option<TopologyFile>,
}

/// What the engine is set to, with the mapping of signals, and what watches the mapping's file.
///
/// # Errors
///
/// The file is bad.
pub(crate) fn engine_params(config: &Config) -> Result<(EngineParams, Option<SignalsFile>)> {
    let Some(path) = &config.signals else { return Ok((config.engine(), None)) };
    let (file, mapping) = SignalsFile::open(path.clone())?;
    Ok((EngineParams { signals: Some(mapping), ..config.engine() }, Some(file)))
}

/// Loads rules and topology. With `partitions`, the engine merges the counts of that many workers.
///
/// # Errors
///
/// A file is bad.
pub(crate) fn load(config: &Config, telemetry: &Arc<Telemetry>, partitions: Option<usize>) -> Result<Loaded> {
    let paths = config.rules.paths();
    let lookups = lookups_folder(config.lookups.as_deref());
    let mut rules = load_rules_with(&paths, lookups.as_deref(), config.time_zone, false, &mut |text| {
        text.lines().for_each(|line| tracing::error!("{line}"))
    })?;
    let (topology_file, definition) = match &config.topology.file {
        Some(path) => {
            let (file, definition) = TopologyFile::open(path.clone(), Arc::clone(&telemetry.topology))?;
            (Some(file), definition)
        }
        None => (None, TopologyDefinition::default()),
    };
    if config.topology.file.is_none() && config.topology.bucket.is_none() {
        let learn = &config.topology.learn;
        let but = if learn.spans || learn.metrics { ", except over edges that are learned from events" } else { "" };
        tracing::warn!("no topology is set: alerts of different entities are not related{but}. Set `topology` in squelch.yaml");
    }
    let (params, signals_file) = engine_params(config)?;
    params.add_label_keys(&mut rules.label_keys);
    let mut reloader = Reloader::new(paths, &rules, params.clone(), Arc::clone(&telemetry.rules))
        .with_signals(signals_file)
        .with_lookups(lookups);
    if partitions.is_some() {
        refuse_unmergeable(&rules.rules)?;
        reloader = reloader.for_workers();
    }
    let engine = Engine::new(rules.rules, Topology::new(definition), &params)?.with_partitions(partitions.unwrap_or(0));
    Ok(Loaded { engine, label_keys: rules.label_keys, reloader, topology_file })
}
