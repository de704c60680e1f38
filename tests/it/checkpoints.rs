//! Checkpoints that share what they have in common hold what a whole one holds, whatever happened to the windows between them.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use squelch::edges::decode::{Decoder, MessageInfo};
use squelch::edges::files::checkpoint::Checkpoints;
use squelch::engine::renew::NextRules;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::process::keeping::{Folder, Size};
use squelch::rule::Rule;
use squelch::rule::check::{Complaints, RuleBook, from_texts};
use squelch::topology::Topology;

const START_MS: i64 = 1_773_446_400_000;
const MEAN: &str = "SELECT host, avg(value) AS value FROM metrics WHERE name = 'load' GROUP BY host HAVING avg(value) > 1e9";
const WORST: &str = "SELECT host, max(value) AS value FROM metrics WHERE name = 'load' GROUP BY host HAVING max(value) > 1e9";
const ROWS: &str = "SELECT m.host, n.value FROM metrics m JOIN metrics n ON m.host = n.host AND m.ts < n.ts \
                    WHERE m.name = 'rare' AND n.name = 'rare' AND n.value > 1e9";

fn book(rules: &[(&str, &str)]) -> RuleBook {
    let text =
        |query: &str| format!("/*---\nrule: NAME\nseverity: warning\nwindow: 2m\nevery: 10s\nentity: host\n---*/\n{query}");
    let files =
        rules.iter().map(|(name, query)| (PathBuf::from(format!("{name}.sql")), Arc::from(text(query).replace("NAME", name))));
    from_texts(files.collect(), Complaints::default()).unwrap_or_else(|_| panic!("good rules"))
}

/// Two engines that take in the same; checkpoints are kept of one of them.
struct Twins {
    kept: Engine,
    plain: Engine,
    decoder: Decoder,
    folder: Folder,
}

impl Twins {
    fn new(dir: &tempfile::TempDir, rules: &[(&str, &str)]) -> Self {
        let book = book(rules);
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        let rules: Vec<Arc<Rule>> = book.rules.into_iter().map(Arc::new).collect();
        let engine = || Engine::of(rules.clone(), Topology::default(), &EngineParams::default()).unwrap();
        let folder = Folder::new(Checkpoints::open(dir.path(), "twin").unwrap(), 1).unwrap();
        Self { kept: engine(), plain: engine(), decoder, folder }
    }

    /// Ten seconds of events.
    fn take_in(&mut self, tick: i64, hosts: std::ops::Range<u64>) {
        let mut body = String::new();
        for host in hosts {
            let at = START_MS + tick * 10_000 + (host % 9_000) as i64;
            let name = if host % 50 == 0 { "rare" } else { "load" };
            writeln!(body, r#"{{"kind":"metric","ts":{at},"name":"{name}","value":{host},"host":"host-{host}"}}"#).unwrap();
        }
        self.decoder.message(body.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{bad:?}"));
        let events = self.decoder.take();
        for engine in [&mut self.kept, &mut self.plain] {
            engine.step(Input::Events(&events));
        }
    }

    fn set_rules(&mut self, rules: &[(&str, &str)]) {
        for engine in [&mut self.kept, &mut self.plain] {
            let rules = book(rules).rules.into_iter().map(Arc::new).collect();
            engine.set_rules(NextRules::of(rules, &EngineParams::default()).unwrap());
        }
    }

    /// Keeps a checkpoint, and holds it against all that there is.
    fn keep(&mut self) -> Size {
        let size = self.folder.keep(&self.kept.save().unwrap()).unwrap();
        let found = self.folder.read(0).unwrap().unwrap();
        let whole = self.plain.save().unwrap().found().unwrap();
        assert!(found.pieces.len() > 1);
        assert!(found.pieces == whole.pieces, "what is kept is not what there is");
        size
    }
}

#[test]
fn what_is_sealed_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut twins = Twins::new(&dir, &[("mean", MEAN), ("rows", ROWS), ("worst", WORST)]);
    let mut last = Size::default();
    for tick in 0..40 {
        twins.take_in(tick, 0..2_000);
        last = twins.keep();
    }
    // A window of two minutes holds twelve panes. Of these one was sealed since the last time, and one or two are open.
    assert!(last.written * 3 < last.whole, "{last:?}");
    let bytes: u64 = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 4 * last.whole, "{bytes} bytes on the disk for {last:?}");
}

#[test]
fn what_changes_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut twins = Twins::new(&dir, &[("mean", MEAN), ("worst", WORST)]);
    for tick in 0..8 {
        twins.take_in(tick, 0..100);
        twins.keep();
    }
    // The rules shared a table: it loses a column of every pane.
    twins.set_rules(&[("worst", WORST)]);
    twins.keep();
    // Hosts come and go: keys are forgotten, and the others get other numbers.
    for tick in 8..40 {
        let first = tick as u64 * 600;
        twins.take_in(tick, first..first + 1_000);
        twins.keep();
    }
    let keys = twins.kept.window_size().0;
    assert!(keys < 20_000, "{keys} keys: none was forgotten");
    twins.set_rules(&[("mean", MEAN), ("worst", WORST)]);
    twins.keep();
}
