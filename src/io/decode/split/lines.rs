//! Messages whose records are lines, or groups of lines.

use std::borrow::Cow;

use crate::io::decode::split::{SplitError, add, groups};

/// Cuts between lines.
pub fn lines(message: &[u8], max: usize) -> Result<Vec<Cow<'_, [u8]>>, SplitError> {
    records(message, max, &|_| 1)
}

/// Cuts between records; `lines_of` is the number of lines of the record that begins with a line.
pub fn records<'m>(message: &'m [u8], max: usize, lines_of: &dyn Fn(&[u8]) -> usize) -> Result<Vec<Cow<'m, [u8]>>, SplitError> {
    if message.len() <= max {
        return Ok(vec![Cow::Borrowed(message)]);
    }
    let mut sizes = Vec::new();
    let mut lines = message.split_inclusive(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        let more = if line.trim_ascii().is_empty() { 0 } else { lines_of(line).saturating_sub(1) };
        sizes.push(line.len() + lines.by_ref().take(more).map(<[u8]>::len).sum::<usize>());
    }
    if let Some(bytes) = sizes.iter().copied().find(|size| *size > max) {
        return Err(SplitError::RecordTooLarge { bytes, max });
    }
    let (mut pieces, mut start) = (Vec::new(), 0);
    for group in groups(&sizes, max) {
        let end = start + sizes[group].iter().sum::<usize>();
        add(&mut pieces, Cow::Borrowed(&message[start..end]))?;
        start = end;
    }
    Ok(pieces)
}
