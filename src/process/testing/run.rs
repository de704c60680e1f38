//! Runs one test: a fresh engine over shared rules, events and commands in order of time, then silence until the last expectation.

use std::sync::Arc;

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use crate::engine::{Engine, EngineParams, Input};
use crate::io::decode::decoder::Decoder;
use crate::io::decode::rejection::RejectReason;
use crate::io::files::recorded_events::{EventFiles, Line};
use crate::model::event::{LabelKeys, MessageMark, TABLES};
use crate::model::time::TimestampMs;
use crate::process::replay::replay;
use crate::process::testing::case::{TestCase, TestFile};
use crate::process::testing::history::History;
use crate::rule::Rule;
use crate::topology::Topology;

/// What the tests of a file share.
pub(crate) struct World {
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) label_keys: LabelKeys,
    pub(crate) topology: Topology,
    pub(crate) params: EngineParams,
}

/// What came of a test.
pub(crate) struct Outcome {
    pub(crate) history: History,
    /// Events and commands that could not be taken, each with its reason.
    pub(crate) rejected: Vec<String>,
    /// Rules whose evaluation failed, each with the last reason.
    pub(crate) failing: Vec<String>,
}

/// Runs a test.
pub(crate) fn run(test: &TestCase, file: &TestFile, world: &World) -> Result<Outcome> {
    let mut engine = Engine::of(world.rules.clone(), world.topology.clone(), &world.params)?;
    let mut decoder = Decoder::new(&world.label_keys, i64::MAX);
    let (mut history, mut rejected) = (History::default(), Vec::new());
    // Time begins at the start, also where the first event comes later.
    let mut clock = decoder.take();
    clock.messages.push(empty_message(test.start - 1));
    engine.step(Input::Events(&clock));
    let files = EventFiles::open(&test.event_files, i64::MAX).context("cannot open the events")?;
    let files = files.with_text(&file.path, test.events.clone(), false)?.with_text(&file.path, test.commands.clone(), true)?;
    let mut reject = |line: &Line<'_>, reason: &RejectReason| {
        rejected.push(format!("{reason}: {}", String::from_utf8_lossy(line.bytes)));
    };
    let mut emit = |revision| {
        history.revisions.push(revision);
        Ok(())
    };
    let (mut engine, _) = replay(engine, decoder, files, &ProgressBar::hidden(), &mut reject, &mut emit)?;
    let until = test.expectations.iter().map(|expectation| expectation.at).max().unwrap_or(test.start);
    let now = engine.watermark().unwrap_or(test.start);
    if until > now {
        let silence_ms = until - now + world.params.lateness_ms;
        engine.step(Input::Idle { silence_ms }).into_iter().try_for_each(&mut emit)?;
    }
    let failing = (0..engine.evaluator().len())
        .filter_map(|index| Some((engine.evaluator().rule(index), engine.evaluator().last_error(index)?)))
        .map(|(rule, error)| format!("the evaluation of {} failed: {error}", rule.name()))
        .collect();
    Ok(Outcome { history, rejected, failing })
}

/// A message whose time is known and that holds no event.
fn empty_message(at: TimestampMs) -> MessageMark {
    MessageMark { rows_end: [0; TABLES], alerts_end: 0, max_ts: Some(at), min_ts: Some(at), received_at: None, source: 0 }
}
