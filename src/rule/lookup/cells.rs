//! A lookup as it is written, whatever the format: texts with their places.

use std::ops::Range;

/// One value of a row, or a name of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The text; `None` where nothing is written.
    pub text: Option<String>,
    /// Whether it is marked as a text, by quotes for example.
    pub quoted: bool,
    /// Its place in the file.
    pub span: Range<usize>,
}

/// A table as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// The names of the columns.
    pub header: Vec<Cell>,
    /// The names of the columns by which a row is found; empty where the file does not say.
    pub key: Vec<Cell>,
    /// The rows, each as long as the header.
    pub rows: Vec<Vec<Cell>>,
}
