//! Checkpoints on the local disk: the newest and the one before it, and the segments that both use.
//!
//! A checkpoint's head is written to a file of its own, synced, and only then renamed to replace the newest one: whatever happens
//! meanwhile, a whole one is there. A checksum reveals a damaged one. Segments are written before the head that names them, and stay
//! until no head does.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::model::snapshot::checksum::{self, ChecksumError};

/// Bytes of a segment that are written at once.
const SEGMENT_BUFFER_BYTES: usize = 256 << 10;

/// Why checkpoints cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
    /// Another process writes its checkpoints there.
    #[error("{} is in use by another squelch: give each its own checkpoint.dir or input.consumer", .0.display())]
    InUse(PathBuf),
    /// The file is damaged or no checkpoint.
    #[error("{} is {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        what: ChecksumError,
    },
}

/// A folder of checkpoints, locked for this process.
#[derive(Debug)]
pub struct CheckpointFolder {
    newest: PathBuf,
    before: PathBuf,
    writing: PathBuf,
    dir: PathBuf,
    /// The prefix of the names of segments.
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
    /// Appends.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.file.write_all(bytes).map_err(|source| at(&self.path, source))
    }

    /// Syncs it to the disk.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn finish(mut self) -> Result<(), CheckpointError> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(|source| at(&self.path, source))
    }
}

impl CheckpointFolder {
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

    /// The content of the `nth` head, newest first, or why it cannot be used.
    pub fn read(&self, nth: usize) -> Option<Result<Vec<u8>, CheckpointError>> {
        [&self.newest, &self.before].into_iter().filter(|path| path.exists()).nth(nth).map(|path| read(path))
    }

    /// The numbers of the segments in the folder.
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

    /// Removes a segment. Returns whether that succeeded; if not, it takes room until the next time.
    pub fn remove_segment(&self, number: u64) -> bool {
        fs::remove_file(self.segment(number)).is_ok() || !self.segment(number).exists()
    }

    /// Writes this as the newest. Until all of it is on the disk, the one before counts.
    ///
    /// # Errors
    ///
    /// The file system's: a full disk, say. The checkpoint before is untouched then.
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
    fn a_damaged_checkpoint_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let kept = CheckpointFolder::open(dir.path(), "squelch").unwrap();
        assert!(kept.read(0).is_none());
        kept.write(b"first").unwrap();
        kept.write(b"second").unwrap();
        let read = || [0, 1].map(|nth| kept.read(nth).unwrap().ok());
        assert_eq!(read(), [Some(b"second".to_vec()), Some(b"first".to_vec())]);
        let mut bytes = fs::read(dir.path().join("squelch.checkpoint")).unwrap();
        bytes[9] ^= 1;
        fs::write(dir.path().join("squelch.checkpoint"), &bytes).unwrap();
        assert_eq!(read(), [None, Some(b"first".to_vec())]);
        assert!(matches!(CheckpointFolder::open(dir.path(), "squelch"), Err(CheckpointError::InUse(_))));
    }
}
