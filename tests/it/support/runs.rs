//! Runs a folder's scenario through the engine, batched as asked.

use std::path::{Path, PathBuf};

use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::revision::Revision;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::files::topology_file;
use squelch::io::incident_message;
use squelch::model::time::TimestampMs;
use squelch::process::config::Config;
use squelch::rule::check::{self, LoadedRules};
use squelch::topology::Topology;

use crate::support::Rng;

/// A scenario's parts.
pub struct Scenario {
    pub path: PathBuf,
    pub lines: Vec<Vec<u8>>,
}

impl Scenario {
    pub fn read(path: &Path) -> Self {
        let events = std::fs::read(path.join("events.jsonl")).expect("a scenario has events.jsonl");
        let lines = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        Self { path: path.to_path_buf(), lines }
    }

    pub fn name(&self) -> String {
        self.path.file_name().unwrap().to_string_lossy().into_owned()
    }

    pub fn config(&self) -> Config {
        let file = self.path.join("squelch.yaml");
        if file.exists() { Config::read(&file).expect("a good configuration") } else { Config::default() }
    }

    /// The rules, and the labels that they and the topology read.
    pub fn book(&self, params: &EngineParams) -> LoadedRules {
        let lookups = Some(self.path.join("lookups")).filter(|dir| dir.exists());
        let mut book = check::load_with(&[self.path.join("rules")], lookups.as_deref(), params.time_zone)
            .unwrap_or_else(|report| panic!("{report}"));
        params.add_label_keys(&mut book.label_keys);
        book
    }

    /// An engine that has seen nothing, and what decodes for it.
    pub fn engine(&self, params: &EngineParams) -> (Engine, Decoder) {
        let book = self.book(params);
        let file = self.path.join("topology.yaml");
        let parts = if file.exists() { topology_file::read(&file).expect("a good topology") } else { Default::default() };
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        (Engine::new(book.rules, Topology::new(parts), params).expect("the engine starts"), decoder)
    }

    pub fn lateness_ms(&self) -> i64 {
        self.config().engine().lateness_ms
    }

    /// Runs the lines, `batch_of` messages of `lines_of` lines each a step. Returns the output lines.
    pub fn run(&self, lines: &[Vec<u8>], batch_of: usize, lines_of: usize) -> String {
        let messages: Vec<Vec<u8>> = lines.chunks(lines_of).map(|lines| lines.join(&b'\n')).collect();
        let (revisions, _) = self.revisions(&messages, batch_of);
        revisions.iter().map(|revision| incident_message::to_json(revision) + "\n").collect()
    }

    /// Runs messages, `batch_of` a step. A message was received when its first line says so in `received_at`, which only these
    /// tests read. Returns what came out, and the engine as it was at the end.
    pub fn revisions(&self, messages: &[Vec<u8>], batch_of: usize) -> (Vec<Revision>, Engine) {
        self.revisions_with(messages, batch_of, &self.config().engine())
    }

    /// The same, where after each step the process may be another: its engine is made anew of what the one before saved.
    pub fn revisions_over_restarts(&self, batch_of: usize, rng: &mut Rng) -> (Vec<Revision>, usize) {
        let params = self.config().engine();
        let (mut engine, mut decoder) = self.engine(&params);
        let (mut revisions, mut restarts) = (Vec::new(), 0);
        for batch in self.lines.chunks(batch_of) {
            for message in batch {
                let info = MessageInfo { received_at: received_at(message), ..MessageInfo::default() };
                decoder.message(message, info, &mut |_| {});
            }
            revisions.extend(engine.step(Input::Events(&decoder.take())));
            if rng.below(3) == 0 {
                let saved = engine.save().expect("an engine can be saved").into_loaded().expect("all of it");
                (engine, decoder) = self.engine(&params);
                let after = engine.restore(&saved).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
                assert!(after.is_empty(), "{}: the same rules end nothing", self.name());
                restarts += 1;
            }
        }
        revisions.extend(engine.step(Input::End));
        (revisions, restarts)
    }

    /// The same with parameters of the test's own.
    pub fn revisions_with(&self, messages: &[Vec<u8>], batch_of: usize, params: &EngineParams) -> (Vec<Revision>, Engine) {
        self.revisions_between(messages, batch_of, params, &mut |_| {})
    }

    /// The same, and before each batch something is done to the engine.
    pub fn revisions_between(
        &self,
        messages: &[Vec<u8>],
        batch_of: usize,
        params: &EngineParams,
        before: &mut dyn FnMut(&mut Engine),
    ) -> (Vec<Revision>, Engine) {
        let (mut engine, mut decoder) = self.engine(params);
        let mut revisions = Vec::new();
        for batch in messages.chunks(batch_of) {
            for message in batch {
                let info = MessageInfo { received_at: received_at(message), ..MessageInfo::default() };
                decoder.message(message, info, &mut |_| {});
            }
            before(&mut engine);
            revisions.extend(engine.step(Input::Events(&decoder.take())));
        }
        revisions.extend(engine.step(Input::End));
        (revisions, engine)
    }
}

pub fn received_at(message: &[u8]) -> Option<TimestampMs> {
    let text = std::str::from_utf8(message).ok()?;
    let (_, tail) = text.lines().next()?.split_once("\"received_at\":")?;
    tail.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
