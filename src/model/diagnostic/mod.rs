//! A complaint about a file that a person wrote: where, what, and how to mend it.

pub mod yaml;

use std::path::PathBuf;

/// One error in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The bytes of the file that are wrong; empty at the file's start where no place is known.
    pub span: std::ops::Range<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it, where we know.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// As a person reads it: `file:line:column: message`, the line, a caret, the hint. `text` is the file's.
    pub fn describe(&self, text: &str) -> String {
        let (line, column) = line_and_column(text, self.span.start);
        let mut out = format!("{}:{line}:{column}: {}", self.file.display(), self.message);
        let shown = text.lines().nth(line - 1).unwrap_or_default().replace('\t', " ");
        if shown.len() <= SHOWN_BYTES_MAX && !shown.trim().is_empty() {
            let spanned = text.get(self.span.clone()).unwrap_or_default();
            let carets = spanned.lines().next().map_or(1, |first| first.chars().count().max(1));
            let margin = " ".repeat(line.to_string().len());
            out += &format!("\n {margin} |\n {line} | {shown}\n {margin} | {}{}", " ".repeat(column - 1), "^".repeat(carets));
        }
        if let Some(hint) = &self.hint {
            out += &format!("\n  = help: {hint}");
        }
        out
    }
}

/// A longer line is no help to a reader: a topology in JSON may be one line.
const SHOWN_BYTES_MAX: usize = 200;

/// Line and column, both from 1, of a byte offset; the column counts characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The byte offset of a line and column, both from 1; the end of the text where it is shorter.
pub fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(at) => start += at + 1,
            None => return text.len(),
        }
    }
    text[start..].char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| start + at)
}

/// The name in `known` that is nearest to `wrong`, if any is near enough to be a slip of the fingers.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(wrong.len()) / 4)
        .min()
        .map(|(_, name)| name)
}
