//! The disk of a simulated process: real checkpoint files in memory, and what becomes of them when the machine or the disk fails.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use squelch::io::files::checkpoint_folder::CheckpointFolder;
use squelch::model::snapshot::checksum;
use squelch::model::snapshot::{LoadedSnapshot, StateSnapshot};
use squelch::process::checkpoint::segments::{SegmentLayout, SegmentWriter, Segments, named_by, put_together};
use squelch::process::checkpoint::storage::FolderStorage;
use tempfile::TempDir;

use super::history::Kept;

const NAME: &str = "sim";

/// How far a checkpoint came onto the disk before the process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// Half of its segment is there, if it has one.
    HalfSegment,
    /// Its segment is there, if it has one.
    Segment,
    /// Half of its head lies beside the others.
    Half,
    /// All of its head lies beside the others.
    Beside,
    /// The newest was moved out of its way.
    Moved,
}

/// Tells checkpoints apart.
pub type Digest = u64;

/// What is done to the newest checkpoint behind the process's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Flipped,
    CutOff,
    Emptied,
    Gone,
    /// Not itself, but the newest segment.
    SegmentFlipped,
    /// Not itself, but the newest segment.
    SegmentGone,
}

pub struct Disk {
    dir: TempDir,
    /// Lasting pieces as large as this get a segment.
    segment_bytes_min: u64,
    /// What the simulation knows of each content that was ever kept.
    known: HashMap<Digest, Kept>,
}

impl Disk {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { dir: dir.expect("a folder can be made"), segment_bytes_min: 0, known: HashMap::new() }
    }

    /// An empty disk again.
    pub fn wipe(&mut self, segment_bytes_min: u64) {
        self.segment_bytes_min = segment_bytes_min;
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        self.known.clear();
    }

    /// As a process finds it at its start.
    pub fn open(&self) -> FolderStorage {
        let files = CheckpointFolder::open(self.dir.path(), NAME).expect("nobody else has the folder");
        FolderStorage::new(files, self.segment_bytes_min).expect("memory can be read")
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.dir.path().join(format!("{NAME}.segment.{number}"))
    }

    fn file(&self, end: &str) -> PathBuf {
        self.dir.path().join(format!("{NAME}.checkpoint{end}"))
    }

    /// What the newest good checkpoint holds, and what the simulation knows of it.
    pub fn newest(&self, kept: &FolderStorage) -> Option<(LoadedSnapshot, Kept)> {
        let found = (0..).map_while(|nth| kept.read(nth)).find_map(Result::ok)?;
        let known = self.known.get(&digest(&found)).expect("only what was written is read").clone();
        Some((found, known))
    }

    /// Keeps a checkpoint.
    pub fn write(&mut self, kept: &FolderStorage, saved: &StateSnapshot, known: Kept) -> Digest {
        kept.store(saved).expect("memory has room");
        let found = kept.read(0).expect("it was kept").expect("what was kept can be read");
        let digest = digest(&found);
        self.known.insert(digest, known);
        digest
    }

    /// The process dies while it keeps a checkpoint; what it knew of its segments dies with it.
    pub fn tear(&mut self, kept: Arc<FolderStorage>, saved: &StateSnapshot, known: Kept, torn: Torn) {
        drop(kept);
        let files = CheckpointFolder::open(self.dir.path(), NAME).expect("the process is dead");
        let heads = [0, 1].map(|nth| files.read(nth).and_then(|head| named_by(&head.ok()?).ok()).unwrap_or_default());
        let there = files.segments().unwrap();
        let mut last = None;
        let mut begin = |number| {
            last = Some(number);
            Ok(Box::new(files.begin_segment(number)?) as Box<dyn SegmentWriter>)
        };
        let SegmentLayout { head, .. } =
            &Segments::new(self.segment_bytes_min, there, heads, 0).lay_out(saved, &mut begin).unwrap();
        if let Some(last) = last.filter(|_| torn == Torn::HalfSegment) {
            let content = fs::read(self.segment(last)).unwrap();
            fs::write(self.segment(last), &content[..content.len() / 2]).unwrap();
        }
        if matches!(torn, Torn::HalfSegment | Torn::Segment) {
            return;
        }
        let of_head = |number| files.read_segment(number).ok().map(Bytes::from);
        let segments: Option<Vec<Bytes>> = named_by(head).unwrap().iter().map(|segment| of_head(segment.number)).collect();
        if let Some(found) = segments.and_then(|segments| put_together(head, segments).ok()) {
            self.known.insert(digest(&found), known);
        }
        let [before, behind] = checksum::header_and_trailer(head);
        let whole = [before.as_slice(), head, &behind].concat();
        let bytes = if torn == Torn::Half { &whole[..whole.len() / 2] } else { &whole };
        fs::write(self.file(".writing"), bytes).unwrap();
        if torn == Torn::Moved && self.file("").exists() {
            fs::rename(self.file(""), self.file(".before")).unwrap();
        }
    }

    /// Damages the newest checkpoint. Says whether there was one.
    pub fn harm(&self, harm: Harm) -> bool {
        let path = match harm {
            Harm::SegmentFlipped | Harm::SegmentGone => {
                let numbers = fs::read_dir(self.dir.path()).unwrap().filter_map(|entry| {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    name.strip_prefix(&format!("{NAME}.segment."))?.parse().ok()
                });
                let Some(newest) = numbers.max() else { return false };
                self.segment(newest)
            }
            _ => self.file(""),
        };
        let Ok(mut bytes) = fs::read(&path) else { return false };
        let middle = bytes.len() / 2;
        match harm {
            Harm::Flipped | Harm::SegmentFlipped if !bytes.is_empty() => bytes[middle] ^= 0x10,
            Harm::CutOff => bytes.truncate(middle),
            Harm::Flipped | Harm::SegmentFlipped | Harm::Emptied => bytes.clear(),
            Harm::Gone | Harm::SegmentGone => {
                fs::remove_file(&path).unwrap();
                return true;
            }
        }
        fs::write(&path, bytes).unwrap();
        true
    }
}

pub fn digest(found: &LoadedSnapshot) -> Digest {
    let mut hasher = DefaultHasher::new();
    (&found.head, &found.chunks).hash(&mut hasher);
    hasher.finish()
}
