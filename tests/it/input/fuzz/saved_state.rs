//! State that squelch saved itself: engines and checkpoints.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::files::checkpoint_folder::CheckpointFolder;
use squelch::io::nats::input::position::StreamPosition;
use squelch::model::event::LabelKeys;
use squelch::model::snapshot::LoadedSnapshot;
use squelch::process::checkpoint;
use squelch::process::checkpoint::segments::Segments;
use squelch::process::checkpoint::storage::{CheckpointStorage, FolderStorage};
use squelch::rule::check;
use squelch::topology::Topology;

use super::harness::fuzz;
use crate::support::root;
use crate::support::runs::Scenario;

/// Fixtures whose rules and events leave something in each part of an engine: windows, rows, sessions, each judge, spans, incidents.
const STATEFUL: [&str; 13] = [
    "kinds/session",
    "kinds/rows-joined",
    "kinds/deviation-ewma",
    "kinds/change",
    "kinds/temporal",
    "kinds/temporal-ordered",
    "kinds/absence",
    "kinds/new-term",
    "kinds/metric-aggregation",
    "kinds/cardinality",
    "kinds/counters",
    "scenarios/learned-topology",
    "scenarios/cascade",
];

/// Engines of all of these rules in one, half way through the events of one of the fixtures.
fn states() -> Vec<Vec<u8>> {
    let save = |name: &&str| {
        let (mut engine, mut decoder) = stateful();
        let lines = Scenario::read(&root().join("fixtures").join(name)).lines;
        for line in &lines[..lines.len().min(80) * 2 / 3] {
            decoder.message(line, MessageInfo::default(), &mut |_| {});
        }
        engine.step(Input::Events(&decoder.take()));
        bytes_of(&engine.save().unwrap().into_loaded().unwrap())
    };
    STATEFUL.iter().map(save).collect()
}

fn stateful() -> (Engine, Decoder) {
    use std::sync::OnceLock;
    type Set = (Vec<Arc<squelch::rule::Rule>>, LabelKeys);
    static SET: OnceLock<Set> = OnceLock::new();
    let params = EngineParams::default();
    let (rules, keys) = SET.get_or_init(|| {
        let paths: Vec<_> = STATEFUL[..12].iter().map(|name| root().join("fixtures").join(name).join("rules")).collect();
        let mut book = check::load(&paths).unwrap_or_else(|report| panic!("{report}"));
        params.add_label_keys(&mut book.label_keys);
        (book.rules.into_iter().map(Arc::new).collect(), book.label_keys)
    });
    (Engine::of(rules.clone(), Topology::default(), &params).unwrap(), Decoder::new(keys, i64::MAX))
}

/// Saved state as bytes that can be damaged: the head, and each piece, led by their lengths.
fn bytes_of(found: &LoadedSnapshot) -> Vec<u8> {
    let parts = std::iter::once(found.head.as_slice()).chain(found.chunks.iter().map(|piece| piece.as_ref()));
    parts.flat_map(|part| (part.len() as u32).to_le_bytes().into_iter().chain(part.iter().copied())).collect()
}

fn found(bytes: &[u8]) -> Option<LoadedSnapshot> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        parts.push(Bytes::copy_from_slice(part));
        rest = after;
    }
    let (head, chunks) = parts.split_first()?;
    Some(LoadedSnapshot { head: head.to_vec(), chunks: chunks.to_vec() })
}

#[test]
fn saved_engines() {
    fuzz(module_path!(), "saved_engines", 1_000, states, &[], &|bytes| {
        let (mut engine, _) = stateful();
        found(bytes).is_some_and(|found| engine.restore(&found).is_ok())
    });
}

#[test]
fn checkpoints() {
    let corpus = || {
        let place = StreamPosition { created_ns: 7, sequence: 9 };
        let save = |bytes: Vec<u8>| {
            let (mut engine, _) = stateful();
            engine.restore(&found(&bytes).unwrap()).unwrap();
            let saved = checkpoint::save(&mut engine, place, &[]).unwrap();
            Segments::new(u64::MAX, [], Default::default(), 0).lay_out(&saved, &mut |_| unreachable!()).unwrap().head
        };
        states().into_iter().step_by(4).map(save).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    fuzz(module_path!(), "checkpoints", 1_000, corpus, &[], &|bytes| {
        let files = CheckpointFolder::open(&path, "fuzz").unwrap();
        // Every other time what is damaged has a good digest, and every other time it is the file itself.
        if bytes.len() % 2 == 0 {
            files.write(bytes).unwrap();
        } else {
            std::fs::write(path.join("fuzz.checkpoint"), bytes).unwrap();
        }
        let fresh = || Ok(stateful().0);
        let from = CheckpointStorage::Folder(Arc::new(FolderStorage::new(files, 0).unwrap()));
        let resuming = checkpoint::resume(&from, stateful().0, &fresh, |engine| engine, &|_| Vec::new());
        let (_, resumed) = resuming.now_or_never().expect("a folder is no server").unwrap();
        resumed.is_some()
    });
}
