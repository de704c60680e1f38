//! Checkpoints on the local disk: the newest and the one before it, and the segments that they share.
//!
//! A checkpoint's head is written beside the others, brought to the disk, and only then takes the newest one's place: whatever happens
//! meanwhile, a whole one is there. A digest at its end tells a damaged one. Segments come before the head that names them, and stay
//! until no head does.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::model::snapshot::checksum::{self, ChecksumError};

/// What of a segment is written at once.
const SEGMENT_BUFFER_BYTES: usize = 256 << 10;

/// Why checkpoints cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Another process keeps its checkpoints there.
    #[error("{} is in use by another squelch: give each its own checkpoint.dir or input.consumer", .0.display())]
    InUse(PathBuf),
    /// The file is damaged or no checkpoint.
    #[error("{} is {what}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In which way.
        what: ChecksumError,
    },
}

/// A folder of checkpoints, locked for this process.
#[derive(Debug)]
pub struct Checkpoints {
    newest: PathBuf,
    before: PathBuf,
    writing: PathBuf,
    dir: PathBuf,
    /// What the names of segments begin with.
    segment: String,
    /// Holds the lock as long as it is open.
    _lock: File,
}

/// A segment that is being written.
#[derive(Debug)]
pub struct SegmentFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl SegmentFile {
    /// Adds to it.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.file.write_all(bytes).map_err(|source| at(&self.path, source))
    }

    /// Brings it to the disk.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn end(mut self) -> Result<(), CheckpointError> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(|source| at(&self.path, source))
    }
}

impl Checkpoints {
    /// Opens the folder, made where it is missing, for the checkpoints called `name`.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written, or another process has it.
    pub fn open(dir: &Path, name: &str) -> Result<Self, CheckpointError> {
        fs::create_dir_all(dir).map_err(|source| at(dir, source))?;
        let path = dir.join(format!("{name}.lock"));
        let lock = File::create(&path).map_err(|source| at(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(CheckpointError::InUse(dir.join(name))),
            Err(fs::TryLockError::Error(source)) => return Err(at(&path, source)),
        }
        let file = |end: &str| dir.join(format!("{name}.checkpoint{end}"));
        Ok(Self {
            newest: file(""),
            before: file(".before"),
            writing: file(".writing"),
            dir: dir.to_path_buf(),
            segment: format!("{name}.segment."),
            _lock: lock,
        })
    }

    /// The heads that were kept, newest first: the content of the `nth`, or why it cannot be used.
    pub fn read(&self, nth: usize) -> Option<Result<Vec<u8>, CheckpointError>> {
        [&self.newest, &self.before].into_iter().filter(|path| path.exists()).nth(nth).map(|path| read(path))
    }

    /// The numbers of the segments that are there.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn segments(&self) -> Result<Vec<u64>, CheckpointError> {
        let of_dir = |source| at(&self.dir, source);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(of_dir)? {
            let name = entry.map_err(of_dir)?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_prefix(&self.segment)?.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}{number}", self.segment))
    }

    /// The content of a segment, as it is.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read_segment(&self, number: u64) -> Result<Vec<u8>, CheckpointError> {
        let path = self.segment(number);
        fs::read(&path).map_err(|source| at(&path, source))
    }

    /// Begins a segment.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn begin_segment(&self, number: u64) -> Result<SegmentFile, CheckpointError> {
        let path = self.segment(number);
        let file = File::create(&path).map_err(|source| at(&path, source))?;
        Ok(SegmentFile { path, file: BufWriter::with_capacity(SEGMENT_BUFFER_BYTES, file) })
    }

    /// Removes a segment; says whether it is gone. One that is not takes room until the next time.
    pub fn remove_segment(&self, number: u64) -> bool {
        fs::remove_file(self.segment(number)).is_ok() || !self.segment(number).exists()
    }

    /// Keeps this as the newest. Until it is on the disk whole, the one before stays.
    ///
    /// # Errors
    ///
    /// The file system's: a full disk, say. What was kept before is untouched then.
    pub fn write(&self, content: &[u8]) -> Result<(), CheckpointError> {
        let written = self.write_whole(content);
        if written.is_err() {
            // What is half written takes room that others may need.
            fs::remove_file(&self.writing).ok();
        }
        written
    }

    fn write_whole(&self, content: &[u8]) -> Result<(), CheckpointError> {
        let of_writing = |source| at(&self.writing, source);
        let mut file = File::create(&self.writing).map_err(of_writing)?;
        let [before, behind] = checksum::header_and_trailer(content);
        for part in [&before, content, &behind] {
            file.write_all(part).map_err(of_writing)?;
        }
        file.sync_all().map_err(of_writing)?;
        if self.newest.exists() {
            fs::rename(&self.newest, &self.before).map_err(|source| at(&self.before, source))?;
        }
        fs::rename(&self.writing, &self.newest).map_err(|source| at(&self.newest, source))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|source| at(&self.dir, source))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|source| at(path, source))?;
    checksum::verify(bytes).map_err(|what| CheckpointError::Damaged { path: path.to_path_buf(), what })
}

fn at(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_one_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Checkpoints::open(dir.path(), "squelch").unwrap();
        assert!(kept.read(0).is_none());
        kept.write(b"first").unwrap();
        kept.write(b"second").unwrap();
        let read = || [0, 1].map(|nth| kept.read(nth).unwrap().ok());
        assert_eq!(read(), [Some(b"second".to_vec()), Some(b"first".to_vec())]);
        let mut bytes = fs::read(dir.path().join("squelch.checkpoint")).unwrap();
        bytes[9] ^= 1;
        fs::write(dir.path().join("squelch.checkpoint"), &bytes).unwrap();
        assert_eq!(read(), [None, Some(b"first".to_vec())]);
        assert!(matches!(Checkpoints::open(dir.path(), "squelch"), Err(CheckpointError::InUse(_))));
    }
}
