//! Recorded events: one JSON event a line, plain, gzip or zstd by the file's name; several files are merged by time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::io::decode::decompress::Encoding;
use crate::io::decode::native_json;
use crate::model::limits::EVENT_BYTES_MAX;
use crate::model::time::TimestampMs;

/// A file could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct FileError {
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

/// The lines of some files, in order of time across files; within a file, lines keep their order.
pub struct EventFiles {
    files: Vec<LineFile>,
    read: Arc<AtomicU64>,
    bytes_total: u64,
}

/// One line of one file.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The file.
    pub path: &'a Path,
    /// From 1.
    pub number: usize,
    /// Without the line break.
    pub bytes: &'a [u8],
}

struct LineFile {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: usize,
    /// The time of the waiting line; `None` when the file has ended.
    head: Option<TimestampMs>,
}

impl EventFiles {
    /// Opens the files.
    pub fn open(paths: &[PathBuf]) -> Result<Self, FileError> {
        let read = Arc::new(AtomicU64::new(0));
        let mut bytes_total = 0;
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let fail = |cause| FileError { path: path.clone(), cause };
            let file = File::open(path).map_err(fail)?;
            bytes_total += file.metadata().map_err(fail)?.len();
            let counted = BufReader::with_capacity(1 << 16, Counted { file, read: Arc::clone(&read) });
            let reader: Box<dyn BufRead + Send> = match Encoding::of_path(path) {
                Encoding::Plain => Box::new(counted),
                Encoding::Gzip => Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(counted))),
                Encoding::Zstd => Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(counted).map_err(fail)?)),
            };
            files.push(LineFile { path: path.clone(), reader, line: Vec::new(), number: 0, head: None });
        }
        let mut all = Self { files, read, bytes_total };
        let many = all.files.len() > 1;
        all.files.iter_mut().try_for_each(|file| file.advance(many))?;
        Ok(all)
    }

    /// Bytes of all files on disk.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes of the files read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Calls `take` with the next line. Returns `false` when there is none.
    pub fn next(&mut self, take: &mut dyn FnMut(Line<'_>)) -> Result<bool, FileError> {
        let many = self.files.len() > 1;
        let waiting = self.files.iter_mut().filter(|file| file.head.is_some());
        let Some(first) = waiting.min_by_key(|file| file.head) else { return Ok(false) };
        take(Line { path: &first.path, number: first.number, bytes: first.line.trim_ascii_end() });
        first.advance(many)?;
        Ok(true)
    }
}

impl LineFile {
    fn advance(&mut self, merge: bool) -> Result<(), FileError> {
        self.line.clear();
        // One byte over the limit is enough for the decoder to reject the line by its size; the rest of it is skipped.
        let fail = |cause| FileError { path: self.path.clone(), cause };
        let read = (&mut self.reader).take(EVENT_BYTES_MAX as u64 + 2).read_until(b'\n', &mut self.line).map_err(fail)?;
        if read > EVENT_BYTES_MAX && self.line.last() != Some(&b'\n') {
            skip_line(&mut self.reader).map_err(fail)?;
        }
        self.number += 1;
        let before = self.head;
        self.head = match read {
            0 => None,
            _ if !merge => Some(0),
            // A line without a time stays behind the one before it.
            _ => native_json::parse(self.line.trim_ascii())
                .ok()
                .and_then(|event| event.ts?.ok())
                .or(before)
                .or(Some(TimestampMs::MIN)),
        };
        Ok(())
    }
}

fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                reader.consume(at + 1);
                return Ok(());
            }
            None => {
                let all = buffer.len();
                reader.consume(all);
            }
        }
    }
}

/// Counts what is read of a file, for a progress bar over compressed bytes.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
