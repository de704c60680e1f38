//! Whatever is read from outside, changed at random: no panic, no hang, no memory without bound, and nothing lost without a word.
//!
//! Each target runs in a process of its own under a limit of memory, so that a length that is believed and not checked shows.
//! `FUZZ_EXECUTIONS=… FUZZ_SEED=… cargo test --test it fuzz` is more patient, or repeats a run.

mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decompress::Encoding;
use squelch::io::decode::{Decoder, Format, MessageInfo};
use squelch::io::files::checkpoint_folder::Checkpoints;
use squelch::io::files::topology_file;
use squelch::model::event::{EventBatch, Kind, LabelKeys};
use squelch::model::snapshot::LoadedSnapshot;
use squelch::process::checkpoint;
use squelch::process::checkpoint::segments::Segments;
use squelch::process::checkpoint::storage::{CheckpointStorage, FolderStorage};
use squelch::process::config::Config;
use squelch::process::report::diagnostics;
use squelch::rule::check::{self, Complaints};
use squelch::topology::Topology;

use self::mutate::mutate;
use crate::support::runs::Scenario;
use crate::support::{Rng, folders, from_env, root};

/// Address space of a fuzzing process, in KiB: what it needs anyway, and a message of the largest size some times over.
const ADDRESS_SPACE_KIB: u64 = 3 << 20;
/// An execution that takes longer hangs.
const EXECUTION_MAX: Duration = Duration::from_secs(60);

/// Feeds `run` with changed inputs, in a process of its own. `run` says whether the input was taken as good.
fn fuzz(target: &str, executions: u64, corpus: impl FnOnce() -> Vec<Vec<u8>>, tokens: &[&str], run: &dyn Fn(&[u8]) -> bool) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = from_env("FUZZ_SEED", now.as_nanos() as u64 % 1_000_000_000);
    let executions = from_env("FUZZ_EXECUTIONS", executions);
    if std::env::var("FUZZ_TARGET").as_deref() == Ok(target) {
        return inside(seed, executions, &corpus(), tokens, run);
    }
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    let (_, module) = module_path!().split_once("::").expect("the tests are modules of one crate");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap()).args([
        &format!("{module}::{target}"),
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env("FUZZ_TARGET", target).env("FUZZ_SEED", seed.to_string()).env("FUZZ_INPUT", &input);
    command.env("FUZZ_EXECUTIONS", executions.to_string());
    let began = Instant::now();
    let done = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        let bytes = std::fs::read(&input).unwrap_or_default();
        let kept = std::env::temp_dir().join(format!("squelch-fuzz-{target}-{seed}"));
        std::fs::write(&kept, &bytes).unwrap();
        panic!(
            "FUZZ_SEED={seed} repeats it: {}, {} bytes of input, kept in {}: {:?}\n{said}\n{}",
            done.status,
            bytes.len(),
            kept.display(),
            String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]),
            String::from_utf8_lossy(&done.stdout),
        );
    }
    let told = said.lines().find(|line| line.starts_with("fuzz:")).expect("it says what it did").to_string();
    eprintln!("{told}, {target}, seed {seed}, {:.0} a second", executions as f64 / began.elapsed().as_secs_f64());
}

fn inside(seed: u64, executions: u64, corpus: &[Vec<u8>], tokens: &[&str], run: &dyn Fn(&[u8]) -> bool) {
    static RUNNING: AtomicU64 = AtomicU64::new(0);
    let watched = std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        while last < executions {
            std::thread::sleep(Duration::from_millis(50));
            let now = RUNNING.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > EXECUTION_MAX {
                eprintln!("an execution takes longer than {EXECUTION_MAX:?}");
                std::process::abort();
            }
        }
    });
    // Some readers answer what is wrong with a panic that they catch.
    std::panic::set_hook(Box::new(|_| {}));
    let input = std::env::var_os("FUZZ_INPUT").expect("the parent names a file");
    let mut good = 0_u64;
    for number in 0..executions {
        let rng = &mut Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number));
        let bytes = mutate(corpus, tokens, rng);
        std::fs::write(Path::new(&input), &bytes).unwrap();
        match catch_unwind(AssertUnwindSafe(|| run(&bytes))) {
            Ok(taken) => good += u64::from(taken),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                eprintln!("execution {number} panicked: {}", text.unwrap_or_default());
                std::process::exit(1);
            }
        }
        RUNNING.store(number + 1, Ordering::Relaxed);
    }
    watched.join().unwrap();
    eprintln!("fuzz: {executions} executions, {good} of them good input");
}

/// The files of some folders of fixtures with this ending.
fn files(folders: &[&str], ending: &str) -> Vec<Vec<u8>> {
    fn walk(path: &Path, ending: &str, into: &mut Vec<Vec<u8>>) {
        let mut entries: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, ending, into);
            } else if path.to_string_lossy().ends_with(ending) {
                into.push(std::fs::read(&path).unwrap());
            }
        }
    }
    let mut all = Vec::new();
    folders.iter().for_each(|folder| walk(&root().join(folder), ending, &mut all));
    assert!(!all.is_empty(), "{folders:?} hold files that end in {ending}");
    all
}

/// Messages of a few lines each.
fn messages() -> Vec<Vec<u8>> {
    let mut all = files(&["fixtures/corpus/events"], ".jsonl");
    for path in folders("fixtures/scenarios").into_iter().chain(folders("fixtures/kinds")) {
        let lines = Scenario::read(&path).lines;
        all.extend(lines.chunks(3).step_by(11).map(|lines| lines.join(&b'\n')));
    }
    all
}

fn decode(bytes: &[u8], format: Format, encoding: Encoding) -> (EventBatch, usize) {
    let mut keys = LabelKeys::default();
    ["code", "user", "k"].into_iter().for_each(|key| Kind::ALL.into_iter().for_each(|kind| keys.insert(kind, key)));
    let mut decoder = Decoder::new(&keys, 60_000);
    let info = MessageInfo { kind: Some(Kind::Metric), format, encoding, received_at: Some(1_773_446_500_000), source: 0 };
    let mut rejected = 0;
    decoder.message(bytes, info, &mut |bad| {
        assert!(!bad.reason.to_string().is_empty());
        rejected += 1;
    });
    (decoder.take(), rejected)
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\n",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-",
    "1e999",
    "NaN",
    "9223372036854775808",
    "\"kind\":\"alert\"",
    "\"ts\":0",
    "\"labels\":{",
    "\"value\":",
    "\u{feff}",
    "\r\n",
    "253402300800000",
    "\"2026-02-30T00:00:00Z\"",
];

#[test]
fn lines_of_json() {
    fuzz("lines_of_json", 10_000, messages, JSON, &|bytes| {
        let (batch, rejected) = decode(bytes, Format::Json, Encoding::Plain);
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert_eq!(batch.events() + rejected, lines, "each line is an event, or rejected");
        rejected == 0
    });
}

fn compressed() -> Vec<Vec<u8>> {
    let gzip = |bytes: &Vec<u8>| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zeros = vec![b' '; 1 << 20];
    let all = messages();
    let plain = all.iter().step_by(5).chain([&zeros]);
    plain.flat_map(|bytes| [gzip(bytes), zstd::encode_all(bytes.as_slice(), 1).unwrap()]).collect()
}

#[test]
fn compressed_messages() {
    fuzz("compressed_messages", 5_000, compressed, &[], &|bytes| {
        let encoding = if bytes.first() == Some(&0x1f) { Encoding::Gzip } else { Encoding::Zstd };
        let (batch, rejected) = decode(bytes, Format::Json, encoding);
        rejected == 0 && batch.events() > 0
    });
}

fn streams() -> Vec<Vec<u8>> {
    let batches = messages().into_iter().step_by(3).flat_map(|bytes| decode(&bytes, Format::Json, Encoding::Plain).0.tables);
    let stream = |batch: arrow::array::RecordBatch| {
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    batches.filter(|batch| batch.num_rows() > 0).map(stream).collect()
}

#[test]
fn arrow_streams() {
    fuzz("arrow_streams", 5_000, streams, &[], &|bytes| {
        let (batch, rejected) = decode(bytes, Format::ArrowStream, Encoding::Plain);
        rejected == 0 && batch.events() > 0
    });
}

const SQL: &[&str] = &[
    "SELECT ",
    " FROM metrics ",
    " GROUP BY ",
    "(",
    ")",
    "'",
    "labels['",
    "']",
    " JOIN ",
    " UNION ALL ",
    "count(*)",
    "CAST(",
    " AS ",
    "/*---\n",
    "---*/",
    ": ",
    "- ",
    "{{",
    "}}",
    "{% for i in range(99) %}",
    "{% endfor %}",
    "&a ",
    "*a ",
    "9999999999999d",
    "-1s",
    "1h",
    "window: ",
    "absence: { after: ",
    "sequence: { steps: [",
    "session: ",
    "é",
    "INTERVAL '1' DAY",
    "repeat('x', 1000000000)",
    "WITH RECURSIVE a AS (",
    "'/etc/passwd'",
    " OVER (ORDER BY ts)",
    "\u{0}",
    "[[[[[[[[",
    "~",
    "1e400",
    "NULL",
    "9223372036854775808",
    "::int::int::int::int::int::int::int::int",
    " OR name = 'a' OR name = 'b' OR name = 'c' OR name = 'd'",
    " UNION SELECT service, value FROM a",
    " ~ '(a{1,1000}){1,1000}'",
    " LIKE '%a%a%a%a%'",
    "{{ ---- not not 1 | abs | abs }}",
];

#[test]
fn rules() {
    let corpus =
        || files(&["fixtures/kinds", "fixtures/scenarios", "fixtures/bad_rules", "fixtures/corpus/rules", "rules"], ".sql");
    fuzz("rules", 2_000, corpus, SQL, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let file = (std::path::PathBuf::from("fuzz.sql"), Arc::from(text.as_ref()));
        match check::from_texts(vec![file], Complaints::default()) {
            Ok(book) => book.rules.len() == 1,
            Err(complaints) => {
                assert!(!complaints.diagnostics.is_empty(), "what is wrong is said");
                assert!(!diagnostics::render(&complaints, false).is_empty());
                false
            }
        }
    });
}

const YAML: &[&str] = &[
    ": ",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!binary ",
    "? ",
    "| ",
    "> ",
    "'",
    "\"",
    "#",
    "---\n",
    "<<: *a",
    "~",
    ".nan",
    ".inf",
    "1e999",
    "-1",
    "9999999999999999999d",
    "0x7fffffffffffffff",
    "\t",
    "\u{0}",
    "\u{feff}",
    "[[[[[[[[[[[[[[[[",
    "{a: {a: {a: {a: ",
];

#[test]
fn settings() {
    let corpus = || {
        let mut all = files(&["fixtures/bad_config", "fixtures/scenarios", "fixtures/corpus/settings"], ".yaml");
        all.push(std::fs::read(root().join("squelch.example.yaml")).unwrap());
        all
    };
    fuzz("settings", 5_000, corpus, YAML, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let config = Config::parse(&text, "squelch.yaml").map_err(|error| assert!(!error.to_string().is_empty()));
        config.is_ok_and(|config| config.engine().lateness_ms >= 0)
    });
}

#[test]
fn topologies() {
    let corpus = || {
        let folders = ["fixtures/bad_topology", "fixtures/corpus/topology"];
        let yaml = files(&folders, ".yaml").into_iter().chain(files(&folders, ".json"));
        yaml.chain(files(&["fixtures/scenarios"], "topology.yaml")).filter(|bytes| bytes.len() < 20_000).collect()
    };
    fuzz("topologies", 5_000, corpus, YAML, &|bytes| {
        let parts = topology_file::parse(&String::from_utf8_lossy(bytes), "topology")
            .map_err(|error| assert!(!error.to_string().is_empty()));
        parts.is_ok_and(|parts| Topology::new(parts).size().0 < 1_000_000)
    });
}

/// Fixtures whose rules and events leave something in each part of an engine: windows, rows, sessions, each judge, spans, incidents.
const STATEFUL: [&str; 12] = [
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
        let paths: Vec<_> = STATEFUL[..11].iter().map(|name| root().join("fixtures").join(name).join("rules")).collect();
        let mut book = check::load(&paths).unwrap_or_else(|complaints| panic!("{}", diagnostics::render(&complaints, false)));
        params.learn.add_label_keys(&mut book.label_keys);
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
    let (head, pieces) = parts.split_first()?;
    Some(LoadedSnapshot { head: head.to_vec(), chunks: pieces.to_vec() })
}

#[test]
fn saved_engines() {
    fuzz("saved_engines", 1_000, states, &[], &|bytes| {
        let (mut engine, _) = stateful();
        found(bytes).is_some_and(|found| engine.restore(&found).is_ok())
    });
}

#[test]
fn checkpoints() {
    let corpus = || {
        let place = squelch::io::nats::input::position::StreamPosition { created_ns: 7, sequence: 9 };
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
    fuzz("checkpoints", 1_000, corpus, &[], &|bytes| {
        let files = Checkpoints::open(&path, "fuzz").unwrap();
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
