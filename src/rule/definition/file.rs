//! Rule files as they lie on disk: YAML front matter in a leading SQL comment, then SQL. Finds files and cuts them in two.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The text of one rule file, and where its two parts lie.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The path, as the user named it.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    /// The bytes of the YAML between `/*---` and `---*/`.
    pub front: Range<usize>,
}

/// How the front matter begins.
pub const OPEN: &str = "/*---";
/// How it ends.
const CLOSE: &str = "---*/";

/// Why a text is no rule file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoRuleFile {
    /// The text does not begin with front matter.
    #[error("the file does not begin with front matter")]
    NoFrontMatter,
    /// The front matter never ends.
    #[error("the front matter is never closed")]
    Unclosed,
}

impl RuleFile {
    /// Cuts a text into front matter and SQL.
    pub fn new(path: PathBuf, text: &str) -> Result<Self, NoRuleFile> {
        let start = text.len() - text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
        if !text[start..].starts_with(OPEN) {
            return Err(NoRuleFile::NoFrontMatter);
        }
        let from = start + OPEN.len();
        let to = text[from..].find(CLOSE).ok_or(NoRuleFile::Unclosed)? + from;
        Ok(Self { path, text: text.into(), front: from..to })
    }

    /// The SQL, with all before it blanked out, so that a place in it is the same place in the file.
    pub fn sql(&self) -> String {
        let sql_start = self.front.end + CLOSE.len();
        // Byte by byte: a letter of two bytes becomes two spaces.
        let blank = self.text[..sql_start].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
        blank.chain(self.text[sql_start..].chars()).collect()
    }
}

/// The `.sql` files below `dir`, sorted by path so that every machine loads rules in the same order.
pub fn find(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    if dir.is_file() {
        return Ok(vec![dir.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if path.extension().is_some_and(|ext| ext == "sql") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
