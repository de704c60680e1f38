//! One set of rules for all roles: the correlator looks at the rule files and tells its workers which rules it runs, and they count
//! for those. It goes first: what workers count for the rules before holds all that the tables of rules that stay are made of, so
//! these do not notice, and a rule that is new rests until its workers have heard of it. And it tells of rules only once they are in a
//! checkpoint, since nobody may stop counting what a correlator that dies asks for again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use crate::engine::next_rules::NextRules;
use crate::engine::{Engine, EngineParams};
use crate::io::nats::cluster::active_rules::{ActiveRules, ActiveRulesError, RuleFiles};
use crate::io::nats::cluster::lease::HeldLease;
use crate::process::cli::check::load_or_explain;
use crate::process::cluster;
use crate::process::config::Config;
use crate::process::pipeline::decode::ToDecoder;
use crate::process::reload::rules::NewRules;
use crate::rule::Rule;
use crate::rule::check::{LoadedRules, from_texts};

/// How often a worker asks which rules it is to count for.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often the correlator looks whether it says what it ought to: streams forget, and who had the lease before may speak late.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The texts of rules.
pub fn files_of<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> RuleFiles {
    rules.into_iter().map(|rule| (rule.name().to_string(), rule.file.text.to_string())).collect()
}

/// The texts of the rules that an engine runs.
pub fn run_by(engine: &Engine) -> RuleFiles {
    files_of(engine.rules().map(|(rule, ..)| rule))
}

/// Says which rules run, once somebody has said so here, until told to stop or the lease is lost.
pub async fn tell(
    bulletin: ActiveRules,
    lease: Option<HeldLease>,
    mut running: watch::Receiver<Option<Arc<RuleFiles>>>,
    mut stopped: watch::Receiver<bool>,
) {
    let telling = async {
        loop {
            let files = running.borrow_and_update().clone();
            if let Some(lease) = &lease
                && lease.may_write().await.is_err()
            {
                return;
            }
            if let Some(files) = files
                && let Err(error) = bulletin.hold(&files).await
            {
                tracing::warn!(error, "workers cannot be told which rules run; trying again");
            }
            tokio::select! {
                changed = running.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = telling => {}
    }
}

/// The rules that a worker starts with: those of the correlator. Where none has spoken, or in no words that are known here, those of
/// the files.
///
/// # Errors
///
/// The server does not answer, or the files are bad.
pub async fn first(bulletin: &ActiveRules, config: &Config, params: &EngineParams) -> Result<LoadedRules> {
    let told = match bulletin.read().await {
        Ok(None) => None,
        Ok(Some(files)) => Some(plan(&files, params)),
        Err(error @ ActiveRulesError::Unreadable { .. }) => Some(Err(error.into())),
        Err(error @ ActiveRulesError::NoAnswer(_)) => return Err(error).context("cannot ask which rules run"),
    };
    match told {
        Some(Ok(book)) => return Ok(book),
        Some(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), "the correlator's rules are none here: the files here count")
        }
        None => {}
    }
    let say = &mut |text: &str| text.lines().for_each(|line| tracing::error!("{line}"));
    shared(load_or_explain(&config.rules.paths(), false, say)?, params)
}

fn plan(files: &RuleFiles, params: &EngineParams) -> Result<LoadedRules> {
    let texts = files.iter().map(|(name, text)| (format!("{name}.sql").into(), Arc::from(text.as_str()))).collect();
    shared(from_texts(texts)?, params)
}

/// Rules that workers can count for, with the labels that they and the topology read.
fn shared(mut book: LoadedRules, params: &EngineParams) -> Result<LoadedRules> {
    cluster::refuse(&book.rules)?;
    params.learn.add_label_keys(&mut book.label_keys);
    Ok(book)
}

fn next(files: &RuleFiles, params: &EngineParams) -> Result<NewRules> {
    let LoadedRules { rules, label_keys } = plan(files, params)?;
    let rules = NextRules::that_only_count(rules, params).context("they cannot be set up")?;
    Ok(NewRules { label_keys, rules })
}

/// Follows the correlator's rules until told to stop, on SIGHUP at once; the worker counts for those of `files` so far.
pub async fn follow(
    bulletin: ActiveRules,
    mut files: RuleFiles,
    params: EngineParams,
    mut hangups: Signal,
    to_decoder: mpsc::Sender<ToDecoder>,
    mut stopped: watch::Receiver<bool>,
) {
    let following = async {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                _ = hangups.recv() => {}
            }
            match bulletin.read().await {
                Ok(Some(said)) if said != files => files = said,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot ask which rules run; trying again");
                    continue;
                }
            }
            let (files, params) = (files.clone(), params.clone());
            let planning = tokio::task::spawn_blocking(move || next(&files, &params));
            match planning.await.map_err(anyhow::Error::from).flatten() {
                Ok(new) => {
                    if to_decoder.send(ToDecoder::Rules(Box::new(new))).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the correlator's rules are none for this worker: it goes on counting for those that it has. Are both of one version?"
                ),
            }
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = following => {}
    }
}
