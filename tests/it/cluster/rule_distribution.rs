//! Rules that change where several processes share the work: the correlator goes first, its workers hear of it some time later, and
//! what goes on is not disturbed, whoever dies in between.

use std::time::{Duration, Instant};

use squelch::engine::next_rules::NextRules;
use squelch::engine::partial::partition_counter::PartitionCounter;
use squelch::engine::partial::result::PartialResult;
use squelch::engine::{EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::model::snapshot::LoadedSnapshot;
use squelch::topology::learn::LearnParams;

use crate::cluster::partitions::{Process, commands, configuration, is_as_replayed, once_all_read, publish};
use crate::live::run::{replayed, runtime};
use crate::state::reload::{Case, Files, Run, book, cases, plain, with_silent_neighbours};
use crate::support::expect::first_difference;
use crate::support::nats::{NatsServer, free_port};
use crate::support::process::get;
use crate::support::{Rng, root};

/// A worker, and which version of the rules it counts for.
struct Worker {
    folder: PartitionCounter,
    decoder: Decoder,
    sequences: Vec<u64>,
    version: usize,
}

impl Worker {
    fn new(case: &Case, rules: &Files, version: usize, after: u64) -> Self {
        let book = book(rules);
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        Self {
            folder: PartitionCounter::new(book.rules, &case.params, 0, after).unwrap(),
            decoder,
            sequences: Vec::new(),
            version,
        }
    }

    fn read(&mut self, sequence: u64, message: &[u8]) {
        self.decoder.message(message, MessageInfo::default(), &mut |_| {});
        self.sequences.push(sequence);
    }

    fn say(&mut self, until: u64) -> PartialResult {
        let sequences = std::mem::take(&mut self.sequences);
        self.folder.ingest(&self.decoder.take(), &sequences);
        PartialResult::from_bytes(&self.folder.flush(until, None).unwrap().to_bytes().unwrap()).unwrap()
    }
}

const WORKERS: usize = 3;

/// Workers and a correlator whose rules change again and again.
struct Roles<'c> {
    case: &'c Case,
    versions: [Files; 2],
    run: Run,
    workers: Vec<Worker>,
    /// Whose message each is.
    whose: Vec<usize>,
    read: u64,
    /// The version that the correlator runs.
    version: usize,
    changes: usize,
    /// The last checkpoint, how many revisions had come out by then, and the parts that were taken in since.
    kept: (LoadedSnapshot, usize, Vec<(usize, PartialResult)>),
}

impl<'c> Roles<'c> {
    fn new(case: &'c Case, versions: [Files; 2], version: usize, rng: &mut Rng) -> Self {
        let mut run = Run::over(&versions[version], &case.topology, &case.params);
        run.engine = run.engine.with_partitions(WORKERS);
        let workers = (0..WORKERS).map(|_| Worker::new(case, &versions[version], version, 0)).collect();
        let whose = case.lines.iter().map(|_| rng.below(WORKERS as u64) as usize).collect();
        let kept = (run.engine.save().unwrap().into_loaded().unwrap(), 0, Vec::new());
        Self { case, versions, run, workers, whose, read: 0, version, changes: 0, kept }
    }

    fn read_one(&mut self) {
        let Some(message) = self.case.lines.get(self.read as usize) else { return };
        let one = self.whose[self.read as usize];
        self.read += 1;
        self.workers[one].read(self.read, message);
    }

    fn say(&mut self, one: usize) {
        let part = self.workers[one].say(self.read);
        self.take(one, &part);
        self.kept.2.push((one, part));
    }

    fn take(&mut self, one: usize, part: &PartialResult) {
        let revisions = self.run.engine.step(Input::Partial { partition: one, position: 0, partial: part });
        self.run.emit(&revisions);
    }

    fn checkpoint(&mut self) {
        self.kept = (self.run.engine.save().unwrap().into_loaded().unwrap(), self.run.emitted(), Vec::new());
    }

    /// The correlator goes on with other rules; workers may hear of them once they are in a checkpoint. Returns how many revisions
    /// that made.
    fn change(&mut self) -> usize {
        self.version = 1 - self.version;
        self.changes += 1;
        let said = self.run.reload(&self.versions[self.version]);
        self.checkpoint();
        said
    }

    /// A worker hears of the rules that the correlator runs.
    fn hear(&mut self, one: usize) {
        if self.workers[one].version == self.version {
            return;
        }
        self.say(one);
        let book = book(&self.versions[self.version]);
        let worker = &mut self.workers[one];
        worker.decoder.set_label_keys(&book.label_keys);
        worker.folder.set_rules(NextRules::that_only_count(book.rules, &self.case.params).unwrap());
        worker.version = self.version;
        self.say(one);
    }

    /// A worker dies, and another one counts anew what it had not said, for the rules of which it was told last.
    fn die(&mut self, one: usize) {
        let (version, after) = (self.workers[one].version, self.workers[one].folder.after());
        let mut worker = Worker::new(self.case, &self.versions[version], version, after);
        for sequence in after + 1..=self.read {
            if self.whose[sequence as usize - 1] == one {
                worker.read(sequence, &self.case.lines[sequence as usize - 1]);
            }
        }
        self.workers[one] = worker;
    }

    /// The correlator dies, may find other rules when it starts again, and takes in anew what came since its last checkpoint.
    fn restart(&mut self, changes: bool) {
        if changes {
            self.version = 1 - self.version;
            self.changes += 1;
        }
        let fresh = Run::over(&self.versions[self.version], &self.case.topology, &self.case.params);
        self.run.engine = fresh.engine.with_partitions(WORKERS);
        assert!(self.run.engine.restore(&self.kept.0).unwrap().is_empty(), "{}", self.case.name);
        self.run.forget_after(self.kept.1);
        let again = std::mem::take(&mut self.kept.2);
        if changes {
            self.checkpoint();
        }
        for (one, part) in again {
            self.take(one, &part);
            self.kept.2.push((one, part));
        }
    }

    fn step(&mut self, rng: &mut Rng) {
        let one = rng.below(WORKERS as u64) as usize;
        match rng.below(1_000) {
            0..850 => self.read_one(),
            850..940 => self.say(one),
            940..950 => self.checkpoint(),
            950..965 => assert_eq!(self.change(), 0, "{}", self.case.name),
            965..985 => self.hear(one),
            985..992 => self.die(one),
            992..996 => self.restart(false),
            _ => self.restart(true),
        }
    }
}

/// Rules that say nothing come and go, and those that stay answer as if nothing had happened, also where they share tables with them.
#[test]
fn a_neighbour_disturbs_nobody_in_roles_either() {
    let mut changes = 0;
    for (number, case) in cases().iter().enumerate() {
        let mut alone = Run::new(case);
        case.lines.iter().for_each(|line| alone.feed(std::slice::from_ref(line)));
        // What is later than the lateness has no promise.
        if alone.engine.stats().late_alerts > 0 || alone.engine.rules().any(|(_, stats, _)| stats.late > 0) {
            continue;
        }
        let (want, stats) = plain(case);
        // Where the neighbours are there first, rules stay on what they leave: finer panes, and tables with more in them.
        for seed in 0..4 {
            let rng = &mut Rng(seed * 100 + number as u64);
            let versions = [case.rules.clone(), with_silent_neighbours(case)];
            let mut roles = Roles::new(case, versions, seed as usize % 2, rng);
            while roles.read < case.lines.len() as u64 {
                roles.step(rng);
            }
            (0..WORKERS).for_each(|one| roles.say(one));
            changes += roles.changes;
            assert_eq!(roles.run.stats_of(case), stats, "{}, seed {seed}", case.name);
            assert_eq!(first_difference(&want, &roles.run.end()), None, "{}, seed {seed}", case.name);
        }
    }
    assert!(changes > 50, "rules changed {changes} times");
}

/// Where nothing is on its way, a change of rules is that of one process, to the byte: rules end, begin and begin again.
#[test]
fn rules_that_change_between_two_messages_are_those_of_one_process() {
    let mut ended = 0;
    for case in cases().iter().filter(|case| case.rules.len() > 1) {
        let fewer: Files = case.rules.clone().into_iter().skip(1).collect();
        let mut alone = Run::new(case);
        let mut roles = Roles::new(case, [case.rules.clone(), fewer], 0, &mut Rng(1));
        let third = case.lines.len() / 3;
        for (at, line) in case.lines.iter().enumerate() {
            if at == third || at == 2 * third {
                (0..WORKERS).for_each(|one| roles.say(one));
                ended += roles.change();
                alone.reload(&roles.versions[roles.version]);
                (0..WORKERS).for_each(|one| roles.hear(one));
            }
            alone.feed(std::slice::from_ref(line));
            roles.read_one();
            if at % 5 == 0 {
                roles.say(at % WORKERS);
            }
        }
        (0..WORKERS).for_each(|one| roles.say(one));
        assert_eq!(first_difference(&alone.end(), &roles.run.end()), None, "{}", case.name);
    }
    assert!(ended > 0, "no rule had an alert that ended with it");
}

/// One event a second, and rules that count them, by name: how often, over which window, what, and when they breach.
fn steady(rules: &[(&str, &str, &str, &str, &str)]) -> (Case, Files) {
    let rule = |(name, every, window, value, having): &(&str, &str, &str, &str, &str)| {
        let text = format!(
            "/*---\nrule: {name}\nseverity: critical\nwindow: {window}\nevery: {every}\n---*/\nSELECT service, {value} AS value FROM \
             metrics WHERE name = 'm' GROUP BY service HAVING {having}"
        );
        (format!("{name}.sql").into(), text.as_str().into())
    };
    let line = |second: i64| {
        let ts = 1_773_446_400_000 + second * 1000;
        format!(r#"{{"kind":"metric","ts":{ts},"name":"m","value":1,"service":"s"}}"#).into_bytes()
    };
    let rules: Files = rules.iter().map(rule).collect();
    let params = EngineParams { learn: LearnParams::off(), ..EngineParams::default() };
    let lines = (0..600).map(line).collect();
    (Case { name: "one a second".into(), rules: rules.clone(), topology: Default::default(), params, lines }, rules)
}

/// Changes rules after 200 and after 400 events, and has all workers hear of it. Returns of each rule its name, rows and breaches.
fn changed_twice(case: &Case, versions: [Files; 2], restarts: bool) -> Vec<(String, u64, u64)> {
    let mut roles = Roles::new(case, versions, 0, &mut Rng(3));
    for second in 0..600 {
        if second == 200 || second == 400 {
            (0..WORKERS).for_each(|one| roles.say(one));
            if restarts {
                roles.restart(true)
            } else {
                _ = roles.change()
            }
            // What is on its way was counted for the rules before.
            (0..WORKERS).for_each(|one| (roles.read_one(), roles.say(one)).1);
            (0..WORKERS).for_each(|one| roles.hear(one));
        }
        roles.read_one();
        if second % 3 == 0 {
            roles.say(second % WORKERS);
        }
    }
    (0..WORKERS).for_each(|one| roles.say(one));
    roles.run.engine.rules().map(|(rule, stats, _)| (rule.name().to_string(), stats.rows, stats.breaches)).collect()
}

/// A rule that was evaluated more often than its neighbour is taken away, so that what workers count comes in wider panes, and comes
/// back: it must not take such a pane for one of its own.
#[test]
fn a_rule_that_comes_back_sees_no_wider_panes() {
    let (case, both) =
        steady(&[("often", "5s", "5s", "count(*)", "value <> 5"), ("slow", "10s", "10s", "count(*)", "value <> 10")]);
    let slow: Files = both.clone().into_iter().skip(1).collect();
    for restarts in [false, true] {
        let told = changed_twice(&case, [both.clone(), slow.clone()], restarts);
        // The first window after it came back is not whole: as anywhere where a rule begins.
        let [(_, rows, 0..=2), (_, 600, 0)] = &told[..] else { panic!("{told:?}, restarts: {restarts}") };
        assert!((150..600).contains(rows), "{told:?}, restarts: {restarts}");
    }
}

/// A table that two rules share goes on where the same rules, made anew, would share otherwise.
#[test]
fn what_workers_count_feeds_tables_that_only_history_explains() {
    let (case, all) = steady(&[
        ("a", "5s", "10m", "sum(value)", "value > 1e300"),
        ("b", "10s", "10m", "max(value)", "value > 1e300"),
        ("finer", "1s", "1m", "count(*)", "value > 1e300"),
    ]);
    let two: Files = all.clone().into_iter().take(2).collect();
    for restarts in [false, true] {
        let told = changed_twice(&case, [two.clone(), all.clone()], restarts);
        assert!(matches!(&told[..], [(_, 600, 0), (_, 600, 0)]), "{told:?}, restarts: {restarts}");
    }
}

/// The real processes: files change under them while events come, and one of each kind dies.
#[test]
fn rule_files_change_under_workers_and_correlator() {
    let server = NatsServer::start();
    let (dir, http) = (tempfile::tempdir().unwrap(), free_port());
    let rules = dir.path().join("rules");
    assert!(std::process::Command::new("cp").arg("-r").arg(root().join("rules")).arg(&rules).status().unwrap().success());
    let config = configuration(&server, "reload: 200ms\n");
    let config = config.replace(&root().join("rules").display().to_string(), &rules.display().to_string());
    let shown = config.replace("listen: off", &format!("listen: \"127.0.0.1:{http}\""));
    let mut all: Vec<Process> = commands()
        .iter()
        .map(|arguments| {
            Process::start(arguments, if arguments.iter().any(|word| word == "correlator") { &shown } else { &config })
        })
        .collect();
    let rule = |name: &str, more: &str, value: &str| {
        let text = format!(
            "/*---\nrule: {name}\nseverity: info\nwindow: 1m\n{more}---*/\nSELECT labels['never'] AS never, service, {value} AS value \
             FROM metrics GROUP BY labels['never'], service HAVING value > 1e300\n"
        );
        std::fs::write(rules.join("next"), text).unwrap();
        std::fs::rename(rules.join("next"), rules.join(format!("{name}.sql"))).unwrap();
    };
    let want = replayed();
    runtime().block_on(async {
        let context = once_all_read(&server, &all).await;
        publish(&context, &|i| format!("events.mixed.host-{}", i % 7), &mut |i| {
            std::thread::sleep(Duration::from_millis(6));
            match i {
                100 => rule("added", "", "count(*)"),
                // Nobody can share this one: all go on as they are.
                300 => rule("unshared", "", "stddev(value)"),
                400 => {
                    all[2].wait_for("unshared.sql: rule unshared cannot be counted by several workers");
                    std::fs::remove_file(rules.join("unshared.sql")).unwrap();
                }
                450 => rule("added", "every: 6s\n", "sum(value)"),
                500 => all[0].kill_and_start(),
                600 => all[2].kill_and_start(),
                700 => rule("another", "", "max(value)"),
                _ => {}
            }
        })
        .await;
        let logs = || all.iter().map(Process::log).collect::<Vec<_>>().join("\n");
        is_as_replayed(&context, &want, &logs).await;
        // It began to count some time after it was written.
        let rows = |name: &str| -> f64 {
            let (shown, begin) =
                (get(http, "metrics").unwrap_or_default(), format!("squelch_rule_rows_total{{rule=\"{name}\"}} "));
            shown.lines().find_map(|line| line.strip_prefix(&begin)?.parse().ok()).unwrap_or(0.0)
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while rows("another") == 0.0 {
            assert!(Instant::now() < deadline, "nobody counts for the new rule: {}", logs());
            let line = br#"{"ts":1773450000000,"name":"m","value":1,"service":"s"}"#;
            context.publish("events.metrics.s", line[..].into()).await.unwrap().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(rows("added") > rows("another"), "{}", logs());
        let said = all[2].log();
        assert!(said.contains("unshared.sql: rule unshared cannot be counted by several workers"), "{said}");
    });
    for process in &mut all {
        assert_eq!(process.stop(), Some(0), "{}", process.log());
    }
}
