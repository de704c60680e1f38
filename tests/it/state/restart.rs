//! A process that ends and one that begins with what it saved are one: nothing is told twice, nothing is lost.

use bytes::Bytes;
use squelch::engine::{Engine, EngineParams};
use squelch::io::incident_message;
use squelch::model::snapshot::LoadedSnapshot;
use squelch::model::snapshot::versioned::RestoreError;
use squelch::topology::Topology;

use crate::support::expect::first_difference;
use crate::support::runs::Scenario;
use crate::support::{Rng, folders};

#[test]
fn restarts_change_nothing() {
    let mut restarted = 0;
    for path in folders("fixtures/scenarios").into_iter().chain(folders("fixtures/kinds")) {
        let scenario = Scenario::read(&path);
        let whole = scenario.run(&scenario.lines, 16, 1);
        for (batch_of, seed) in [(16, 1), (64, 2), (7, 3)] {
            // Some need hundreds of steps: a restart now and then is as good as one at each.
            let batch_of = batch_of.max(scenario.lines.len() / 60);
            let (revisions, restarts) = scenario.revisions_over_restarts(batch_of, &mut Rng(seed));
            let got: String = revisions.iter().map(|revision| incident_message::to_json(revision) + "\n").collect();
            assert_eq!(first_difference(&whole, &got), None, "{} with {restarts} restarts, seed {seed}", scenario.name());
            restarted += restarts;
        }
    }
    assert!(restarted > 100, "{restarted} restarts were tried");
}

#[test]
fn what_is_no_state_is_refused() {
    let engine = || Engine::new(Vec::new(), Topology::default(), &EngineParams::default()).unwrap();
    let saved = engine().save().unwrap().into_loaded().unwrap();
    assert!(engine().restore(&saved).unwrap().is_empty());
    let refused =
        |head: &[u8]| engine().restore(&LoadedSnapshot { head: head.to_vec(), chunks: saved.chunks.clone() }).unwrap_err();
    assert!(matches!(refused(b"something else"), RestoreError::WrongMagic));
    assert!(matches!(refused(&saved.head[..10]), RestoreError::WrongMagic));
    assert!(matches!(refused(&saved.head[..saved.head.len() - 1]), RestoreError::Damaged(_)));
    let mut newer = saved.head.clone();
    newer[8] = 9;
    assert!(matches!(refused(&newer), RestoreError::UnsupportedVersion(9)));
    let more = LoadedSnapshot { chunks: vec![Bytes::from_static(b"a piece too many")], ..saved.clone() };
    assert!(matches!(engine().restore(&more), Err(RestoreError::Damaged(_))));
}
