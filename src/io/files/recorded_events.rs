//! Recorded events: one JSON event a line, plain, gzip or zstd by the file's name; several files are merged by time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::io::decode::command;
use crate::io::decode::decompress::Encoding;
use crate::io::decode::rejection::RejectReason;
use crate::io::files::timed_lines::{TimedLine, TimedLines};
use crate::model::time::{TimestampMs, format_rfc3339};

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
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The file.
    pub path: &'a Path,
    /// From 1.
    pub number: usize,
    /// Without the line break.
    pub bytes: &'a [u8],
    /// It is a command: the file is one of commands.
    pub is_command: bool,
    /// Why it must not be decoded.
    pub rejected: Option<RejectReason>,
}

struct LineFile {
    path: PathBuf,
    is_command: bool,
    lines: TimedLines,
    line: TimedLine,
    /// The time of the waiting line; `None` when the file has ended.
    head: Option<TimestampMs>,
}

impl EventFiles {
    /// Opens the files. Events ahead of those around them by more than `future_ms` are marked.
    pub fn open(paths: &[PathBuf], future_ms: i64) -> Result<Self, FileError> {
        let all = Self { files: Vec::new(), read: Arc::new(AtomicU64::new(0)), bytes_total: 0 };
        all.with(paths, &|reader| TimedLines::new(reader, future_ms), false)
    }

    /// Adds files of commands: no other file can hold one.
    pub fn with_commands(self, paths: &[PathBuf]) -> Result<Self, FileError> {
        self.with(paths, &|reader| TimedLines::new(reader, i64::MAX).timed_by(command::time_of), true)
    }

    /// Adds lines that are in memory already; `path` is where they come from.
    pub fn with_text(mut self, path: &Path, text: Vec<u8>, is_command: bool) -> Result<Self, FileError> {
        self.bytes_total += text.len() as u64;
        let lines = TimedLines::new(Box::new(std::io::Cursor::new(text)), i64::MAX);
        let lines = if is_command { lines.timed_by(command::time_of) } else { lines };
        self.push(path, lines, is_command)?;
        Ok(self)
    }

    fn push(&mut self, path: &Path, lines: TimedLines, is_command: bool) -> Result<(), FileError> {
        let mut file = LineFile { path: path.to_path_buf(), is_command, lines, line: TimedLine::default(), head: None };
        file.advance()?;
        self.files.push(file);
        Ok(())
    }

    fn with(
        mut self,
        paths: &[PathBuf],
        lines_of: &dyn Fn(Box<dyn BufRead + Send>) -> TimedLines,
        is_command: bool,
    ) -> Result<Self, FileError> {
        for path in paths {
            let fail = |cause| FileError { path: path.clone(), cause };
            let file = File::open(path).map_err(fail)?;
            self.bytes_total += file.metadata().map_err(fail)?.len();
            let counted = BufReader::with_capacity(1 << 16, Counted { file, read: Arc::clone(&self.read) });
            let reader: Box<dyn BufRead + Send> = match Encoding::of_path(path) {
                Encoding::Gzip => Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(counted))),
                Encoding::Zstd => Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(counted).map_err(fail)?)),
                // No file extension stands for another encoding.
                _ => Box::new(counted),
            };
            self.push(path, lines_of(reader), is_command)?;
        }
        Ok(self)
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
        let waiting = self.files.iter_mut().filter(|file| file.head.is_some());
        let Some(first) = waiting.min_by_key(|file| file.head) else { return Ok(false) };
        let TimedLine { number, bytes, ts, ahead_of } = &first.line;
        let rejected = ts.zip(*ahead_of).map(|(ts, latest)| {
            RejectReason::Future(format!(
                "`ts` {} lies far ahead of the events around it, the latest of {}: is its sender's clock right?",
                format_rfc3339(ts),
                format_rfc3339(latest)
            ))
        });
        take(Line { path: &first.path, number: *number, bytes, is_command: first.is_command, rejected });
        first.advance()?;
        Ok(true)
    }
}

impl LineFile {
    fn advance(&mut self) -> Result<(), FileError> {
        let more = self.lines.next(&mut self.line).map_err(|cause| FileError { path: self.path.clone(), cause })?;
        let time = self.line.ts.filter(|_| self.line.ahead_of.is_none());
        // A line without a time stays behind the one before it.
        self.head = more.then(|| time.or(self.head).unwrap_or(TimestampMs::MIN));
        Ok(())
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
