//! One set of rules for all roles: the correlator watches the rule files and announces which rules are in force, and its workers count
//! for those.
//!
//! The correlator changes its rules first. What workers count for the rules before contains all that rules which stay need, so these do
//! not notice, and a new rule is not evaluated until the workers count for it. The correlator announces rules only once a checkpoint
//! contains them: if it dies, it goes on with the rules of its checkpoint, and the workers must still count for those.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use crate::engine::next_rules::NextRules;
use crate::engine::{Engine, EngineParams};
use crate::io::nats::cluster::active_rules::{ActiveRules, ActiveRulesError, RuleFiles};
use crate::io::nats::cluster::lease::HeldLease;
use crate::process::cluster::partition::refuse_unmergeable;
use crate::process::config::Config;
use crate::process::load_rules::{load_rules_with, lookups_folder};
use crate::process::pipeline::Stop;
use crate::process::pipeline::messages::{NewRules, PipelineItem, RawItem};
use crate::rule::Rule;
use crate::rule::check::{LoadedRules, from_texts_in};

/// How often a worker asks which rules are in force.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often the correlator checks its announcement: streams drop messages, and a former leader may announce late.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// What the names of lookups begin with among those of rules, which have no `/`.
const LOOKUP: &str = "lookup/";

/// The texts of rules, and of the lookups that they read.
pub fn files_of<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> RuleFiles {
    let mut files = RuleFiles::new();
    for rule in rules {
        files.insert(rule.name().to_string(), rule.file.text.to_string());
        for table in &rule.lookups {
            let file = table.path.file_name().unwrap_or_default().to_string_lossy();
            files.insert(format!("{LOOKUP}{file}"), table.text.to_string());
        }
    }
    files
}

/// The texts of the rules of an engine.
pub fn rule_files_of(engine: &Engine) -> RuleFiles {
    files_of(engine.rules().map(|(rule, ..)| rule))
}

/// Announces the rules in force, once there are any, until the process stops or the lease is lost.
pub async fn announce(
    active_rules: ActiveRules,
    lease: Option<HeldLease>,
    mut in_force: watch::Receiver<Option<Arc<RuleFiles>>>,
    mut stopped: Stop,
) {
    let announcing = async {
        loop {
            let files = in_force.borrow_and_update().clone();
            if let Some(lease) = &lease
                && lease.may_write().await.is_err()
            {
                return;
            }
            if let Some(files) = files
                && let Err(error) = active_rules.announce(&files).await
            {
                tracing::warn!(error, "the rules in force cannot be announced to workers; retrying");
            }
            tokio::select! {
                changed = in_force.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = announcing => {}
    }
}

/// The rules that a worker starts with: those that the correlator announced. Where there is no announcement, or one that this version
/// cannot read, those of the files.
///
/// # Errors
///
/// The server does not answer, or the files are bad.
pub async fn first_rules(active_rules: &ActiveRules, config: &Config, params: &EngineParams) -> Result<LoadedRules> {
    let announced = match active_rules.read().await {
        Ok(None) => None,
        Ok(Some(files)) => Some(plan(&files, params)),
        Err(error @ ActiveRulesError::Unreadable { .. }) => Some(Err(error.into())),
        Err(error @ ActiveRulesError::NoAnswer(_)) => return Err(error).context("cannot ask which rules are in force"),
    };
    match announced {
        Some(Ok(rules)) => return Ok(rules),
        Some(Err(error)) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the correlator's rules cannot be used: counting for those of the files"
            )
        }
        None => {}
    }
    let print = &mut |text: &str| text.lines().for_each(|line| tracing::error!("{line}"));
    countable(
        load_rules_with(
            &config.rules.paths(),
            lookups_folder(config.lookups.as_deref()).as_deref(),
            config.time_zone,
            false,
            print,
        )?,
        params,
    )
}

fn plan(files: &RuleFiles, params: &EngineParams) -> Result<LoadedRules> {
    let path_of = |name: &str| if name.starts_with(LOOKUP) { name.into() } else { format!("{name}.sql").into() };
    let texts = files.iter().map(|(name, text)| (path_of(name), Arc::from(text.as_str()))).collect();
    countable(from_texts_in(texts, params.time_zone)?, params)
}

/// Rules that workers can count for, with the labels that they and the topology read.
fn countable(mut rules: LoadedRules, params: &EngineParams) -> Result<LoadedRules> {
    refuse_unmergeable(&rules.rules)?;
    params.add_label_keys(&mut rules.label_keys);
    Ok(rules)
}

fn new_rules(files: &RuleFiles, params: &EngineParams) -> Result<NewRules> {
    let LoadedRules { rules, label_keys, .. } = plan(files, params)?;
    let rules = NextRules::that_only_count(rules, params).context("they cannot be set up")?;
    Ok(NewRules { label_keys, rules: Box::new(rules) })
}

/// Follows the announced rules until the process stops. SIGHUP asks at once. The worker counts for those of `files` so far.
pub async fn follow(
    active_rules: ActiveRules,
    mut files: RuleFiles,
    params: EngineParams,
    mut hangups: Signal,
    to_decoder: mpsc::Sender<RawItem<Infallible>>,
    mut stopped: Stop,
) {
    let following = async {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                _ = hangups.recv() => {}
            }
            match active_rules.read().await {
                Ok(Some(announced)) if announced != files => files = announced,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot ask which rules are in force; retrying");
                    continue;
                }
            }
            let (files, params) = (files.clone(), params.clone());
            let planning = tokio::task::spawn_blocking(move || new_rules(&files, &params));
            match planning.await.map_err(anyhow::Error::from).flatten() {
                Ok(new) => {
                    if to_decoder.send(PipelineItem::Rules(new)).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the correlator's rules cannot be used: this worker goes on counting for those it has. Are both of one version?"
                ),
            }
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = following => {}
    }
}
