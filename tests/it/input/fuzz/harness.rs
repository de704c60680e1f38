//! Runs one fuzz target: changed inputs, in a process of its own under a limit of memory and of time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mutate::mutate;
use crate::support::{Rng, from_env, root};

/// Address space of a fuzzing process, in KiB: what it needs anyway, and a message of the largest size some times over.
const ADDRESS_SPACE_KIB: u64 = 3 << 20;
/// An execution that takes longer hangs.
const EXECUTION_MAX: Duration = Duration::from_secs(60);

/// Feeds `run` with changed inputs, in a process of its own. `run` returns whether the input was accepted. The test calls itself
/// again by its path: `module` is its `module_path!()`, `target` its name.
pub fn fuzz(
    module: &str,
    target: &str,
    executions: u64,
    corpus: impl FnOnce() -> Vec<Vec<u8>>,
    tokens: &[&str],
    run: &dyn Fn(&[u8]) -> bool,
) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = from_env("FUZZ_SEED", now.as_nanos() as u64 % 1_000_000_000);
    let executions = from_env("FUZZ_EXECUTIONS", executions);
    if std::env::var("FUZZ_TARGET").as_deref() == Ok(target) {
        return inside(seed, executions, &corpus(), tokens, run);
    }
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap()).args([
        &format!("{}::{target}", module.trim_start_matches("it::")),
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env("FUZZ_TARGET", target).env("FUZZ_SEED", seed.to_string()).env("FUZZ_INPUT", &input);
    command.env("FUZZ_EXECUTIONS", executions.to_string());
    let began = Instant::now();
    let done = command.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        let bytes = std::fs::read(&input).unwrap_or_default();
        let kept = std::env::temp_dir().join(format!("squelch-fuzz-{target}-{seed}"));
        std::fs::write(&kept, &bytes).unwrap();
        panic!(
            "FUZZ_SEED={seed} repeats it: {}, {} bytes of input, kept in {}: {:?}\n{printed}\n{}",
            done.status,
            bytes.len(),
            kept.display(),
            String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]),
            String::from_utf8_lossy(&done.stdout),
        );
    }
    let report =
        printed.lines().find(|line| line.starts_with("fuzz:")).expect("the child process reports what it did").to_string();
    eprintln!("{report}, {target}, seed {seed}, {:.0} a second", executions as f64 / began.elapsed().as_secs_f64());
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
pub fn files(folders: &[&str], ending: &str) -> Vec<Vec<u8>> {
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
