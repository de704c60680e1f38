//! The lines of one recording, each with its time; a time that lies far ahead of the events around it is found by reading ahead.
//!
//! In `run`, an event from the future is rejected by the broker's clock. A recording has none, but it has what came next: where most of
//! the following events fall back to earlier times, the event's own time was wrong, and believing it would make all of them late. Where
//! they go on from there, the recording has a gap.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use crate::io::decode::native_json::scanner::time_of;
use crate::model::limits::{EVENT_BYTES_MAX, RECORDING_GAP_MS, RECORDING_LOOKAHEAD_LINES};
use crate::model::time::TimestampMs;

/// Finds the time of a line.
pub(crate) type TimeOf = fn(&[u8]) -> Option<TimestampMs>;

/// One line.
#[derive(Debug, Default)]
pub(crate) struct TimedLine {
    /// From 1.
    pub(crate) number: usize,
    /// Without the line break.
    pub(crate) bytes: Vec<u8>,
    /// The time of its event, if it can be read.
    pub(crate) ts: Option<TimestampMs>,
    /// Set where that time lies far ahead: the latest time around it.
    pub(crate) ahead_of: Option<TimestampMs>,
}

/// Reads lines.
pub(crate) struct TimedLines {
    reader: Box<dyn BufRead + Send>,
    future_ms: i64,
    time_of: TimeOf,
    lines: usize,
    /// The latest time that was believed.
    latest: Option<TimestampMs>,
    /// Lines that were read ahead.
    ahead: VecDeque<TimedLine>,
}

impl TimedLines {
    /// Times ahead of those around them by more than `future_ms` are marked.
    pub(crate) fn new(reader: Box<dyn BufRead + Send>, future_ms: i64) -> Self {
        Self { reader, future_ms, time_of, lines: 0, latest: None, ahead: VecDeque::new() }
    }

    /// The same, of lines whose time is elsewhere.
    pub(crate) fn timed_by(self, time_of: TimeOf) -> Self {
        Self { time_of, ..self }
    }

    /// Reads the next line into `line`, whose memory is used again. Returns `false` at the end.
    pub(crate) fn next(&mut self, line: &mut TimedLine) -> std::io::Result<bool> {
        match self.ahead.pop_front() {
            Some(next) => *line = next,
            None if !self.read(line)? => return Ok(false),
            None => {}
        }
        let Some(ts) = line.ts else { return Ok(true) };
        if self.latest.is_none_or(|latest| ts > latest.saturating_add(self.future_ms)) {
            line.ahead_of = self.far_ahead(ts)?;
        }
        if line.ahead_of.is_none() {
            self.latest = self.latest.max(Some(ts));
        }
        Ok(true)
    }

    /// The latest time around a line that lies far ahead of it; `None` if its time is believed.
    fn far_ahead(&mut self, ts: TimestampMs) -> std::io::Result<Option<TimestampMs>> {
        while self.ahead.len() < RECORDING_LOOKAHEAD_LINES {
            let mut line = TimedLine::default();
            if !self.read(&mut line)? {
                break;
            }
            self.ahead.push_back(line);
        }
        let following = || self.ahead.iter().filter_map(|line| line.ts);
        let before = |next: &TimestampMs| *next < ts.saturating_sub(self.future_ms);
        let (all, fall_back) = (following().count(), following().filter(before).count());
        // A jump of a year is believed only where a hundred events confirm it: at the end of a recording nothing else would show it.
        let of_a_year = self.latest.is_some_and(|latest| ts > latest.saturating_add(RECORDING_GAP_MS));
        let believed = 2 * fall_back <= all && !(of_a_year && all < RECORDING_LOOKAHEAD_LINES);
        let latest = || following().filter(before).max().max(self.latest);
        Ok(if believed { None } else { latest() })
    }

    fn read(&mut self, line: &mut TimedLine) -> std::io::Result<bool> {
        line.bytes.clear();
        // One byte over the limit is enough for the decoder to reject the line by its size; the rest of it is skipped.
        let read = (&mut self.reader).take(EVENT_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line.bytes)?;
        if read > EVENT_BYTES_MAX && line.bytes.last() != Some(&b'\n') {
            skip_line(&mut self.reader)?;
        }
        line.bytes.truncate(line.bytes.trim_ascii_end().len());
        self.lines += 1;
        (line.number, line.ts, line.ahead_of) = (self.lines, (self.time_of)(&line.bytes), None);
        Ok(read > 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const START: i64 = 1_773_489_600_000;

    /// The minutes at which events lie, and those that are found far ahead.
    fn far_ahead(minutes: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let text: String = minutes.into_iter().map(|minute| format!("{{\"ts\":{}}}\n", START + minute * MINUTE)).collect();
        let mut lines = TimedLines::new(Box::new(std::io::Cursor::new(text)), 5 * MINUTE);
        let (mut line, mut found) = (TimedLine::default(), Vec::new());
        while lines.next(&mut line).unwrap() {
            if line.ahead_of.is_some() {
                found.push((line.ts.unwrap() - START) / MINUTE);
            }
        }
        found
    }

    #[test]
    fn an_event_after_which_the_others_go_on_as_before_is_far_ahead() {
        assert_eq!(far_ahead([0, 1, 2, 1440, 3, 4, 5, 6]), [1440]);
        assert_eq!(far_ahead([1440, 0, 1, 2, 3]), [1440]);
        assert_eq!(
            far_ahead((0..500).flat_map(|minute| if minute % 3 == 0 { vec![minute, minute + 1440] } else { vec![minute] })).len(),
            167
        );
    }

    #[test]
    fn a_gap_is_none() {
        assert_eq!(far_ahead([0, 1, 2, 1440, 1441, 1442]), [0; 0]);
        assert_eq!(far_ahead([0, 60, 120, 180]), [0; 0]);
        // One event that is late after a gap does not make what came after the gap wrong.
        assert_eq!(far_ahead([0, 1, 120, 2, 121, 122, 123]), [0; 0]);
        assert_eq!(far_ahead([0, 1, 120]), [0; 0]);
    }

    #[test]
    fn a_year_takes_a_hundred_events_to_be_believed() {
        let year = 367 * 1440;
        assert_eq!(far_ahead([0, 1, year]), [year]);
        assert_eq!(far_ahead([0, 1].into_iter().chain(year..year + 101)), [0; 0]);
    }
}
