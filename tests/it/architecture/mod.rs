//! The house's rules, kept by a test: which floor may use which.

mod imports;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::root;

/// Floor of each top-level module. A file uses only its own floor or lower ones; edges never use each other.
const FLOORS: [(&str, u8); 12] = [
    ("model", 0),
    ("rule", 1),
    ("window", 1),
    ("alert", 2),
    ("topology", 2),
    ("incident", 2),
    ("engine", 3),
    ("notify", 3),
    ("page", 3),
    ("io", 4),
    ("demo", 4),
    ("process", 5),
];

/// Crates that only some modules may name.
const OWNED_CRATES: [(&str, &[&str]); 6] = [
    ("datafusion", &["rule", "window", "engine"]),
    ("petgraph", &["topology"]),
    ("async_nats", &["io", "process"]),
    ("tokio", &["io", "process"]),
    ("anyhow", &["process"]),
    ("axum", &["io"]),
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// (file, top-level module, part below it, text)
fn files() -> Vec<(String, String, String, String)> {
    let src = root().join("src");
    let mut all = Vec::new();
    sources(&src, &mut all);
    let describe = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let mut parts = name.split('/');
        let module = parts.next().unwrap().to_string();
        let below = parts.next().unwrap_or_default().trim_end_matches(".rs").to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        (name, module, below, text)
    };
    all.into_iter().map(describe).filter(|(_, module, ..)| module != "lib.rs" && module != "main.rs").collect()
}

#[test]
fn floors_are_kept() {
    let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
    let mut checked = 0;
    for (name, module, below, text) in files() {
        let mine = floors[module.as_str()];
        for used in text.split("crate::").skip(1) {
            let target = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let Some(theirs) = floors.get(target) else { panic!("{name} uses crate::{target}, which is on no floor") };
            assert!(*theirs <= mine, "{name} (floor {mine}) uses crate::{target} (floor {theirs})");
            if module == "io" && target == "io" {
                let edge = used.trim_start_matches("io::").split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                // How events are read is the one thing that files and NATS share.
                assert!(edge == below || edge == "decode", "{name} uses another edge, {edge}");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} uses were looked at");
}

#[test]
fn crates_stay_where_they_belong() {
    for (name, module, _, text) in files() {
        for (owned, owners) in OWNED_CRATES {
            let names = |pattern: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(pattern));
            let used = names(&format!("use {owned}::")) || names(&format!("{owned}::"));
            assert!(!used || owners.contains(&module.as_str()), "{name} names {owned}, which belongs to {}", owners.join(", "));
        }
    }
}

#[test]
fn every_file_has_a_header_and_a_size() {
    for (name, _, _, text) in files() {
        assert!(text.starts_with("//! "), "{name} says what it owns in its first line");
        let lines = text.lines().count();
        assert!(lines <= 500, "{name} has {lines} lines: it is more than one idea");
    }
}

/// Event time comes with events, the broker's with messages. A clock on the wall, which somebody may set, is asked by nobody; one that
/// only goes on, by the edges and the process alone.
#[test]
fn nobody_asks_what_time_it_is() {
    for (name, module, _, text) in files() {
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for clock in ["SystemTime", "Utc::now", "Local::now"] {
            assert!(!code().any(|line| line.contains(clock)), "{name} asks {clock}");
        }
        let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
        assert!(floors[module.as_str()] >= 4 || !code().any(|line| line.contains("Instant::now")), "{name} asks a clock");
    }
}
