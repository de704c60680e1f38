//! The disk of a simulated process: real checkpoint files in memory, and what becomes of them when the machine or the disk fails.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use squelch::edges::files::checkpoint::Checkpoints;
use tempfile::TempDir;

use super::history::Kept;

const NAME: &str = "sim";

/// How far a checkpoint came onto the disk before the process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// Half of it lies beside the others.
    Half,
    /// All of it lies beside the others.
    Beside,
    /// The newest was moved out of its way.
    Moved,
}

/// What is done to the newest checkpoint behind the process's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Flipped,
    CutOff,
    Emptied,
    Gone,
}

pub struct Disk {
    dir: TempDir,
    /// What the simulation knows of each content that was ever kept.
    known: HashMap<u64, Kept>,
}

impl Disk {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { dir: dir.expect("a folder can be made"), known: HashMap::new() }
    }

    /// An empty disk again.
    pub fn wipe(&mut self) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        self.known.clear();
    }

    /// As a process finds it at its start.
    pub fn open(&self) -> Checkpoints {
        Checkpoints::open(self.dir.path(), NAME).expect("nobody else has the folder")
    }

    fn file(&self, end: &str) -> PathBuf {
        self.dir.path().join(format!("{NAME}.checkpoint{end}"))
    }

    /// What the newest good checkpoint holds, and what the simulation knows of it.
    pub fn newest(&self, kept: &Checkpoints) -> Option<(Vec<u8>, Kept)> {
        let content = (0..).map_while(|nth| kept.read(nth)).find_map(Result::ok)?;
        let known = self.known.get(&digest(&content)).expect("only what was written is read").clone();
        Some((content, known))
    }

    /// Keeps a checkpoint.
    pub fn write(&mut self, kept: &Checkpoints, content: &[u8], known: Kept) {
        kept.write(content).expect("memory has room");
        self.known.insert(digest(content), known);
    }

    /// The process dies while it keeps a checkpoint.
    pub fn tear(&mut self, content: &[u8], known: Kept, torn: Torn) {
        let aside = self.dir.path().join("aside");
        Checkpoints::open(&aside, NAME).unwrap().write(content).unwrap();
        let whole = fs::read(aside.join(format!("{NAME}.checkpoint"))).unwrap();
        let bytes = if torn == Torn::Half { &whole[..whole.len() / 2] } else { &whole };
        fs::write(self.file(".writing"), bytes).unwrap();
        if torn == Torn::Moved && self.file("").exists() {
            fs::rename(self.file(""), self.file(".before")).unwrap();
        }
        self.known.insert(digest(content), known);
    }

    /// Damages the newest checkpoint. Says whether there was one.
    pub fn harm(&self, harm: Harm) -> bool {
        let path = self.file("");
        let Ok(mut bytes) = fs::read(&path) else { return false };
        let middle = bytes.len() / 2;
        match harm {
            Harm::Flipped if !bytes.is_empty() => bytes[middle] ^= 0x10,
            Harm::CutOff => bytes.truncate(middle),
            Harm::Flipped | Harm::Emptied => bytes.clear(),
            Harm::Gone => {
                fs::remove_file(&path).unwrap();
                return true;
            }
        }
        fs::write(&path, bytes).unwrap();
        true
    }
}

fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}
