//! A translated expression: SQL that yields a row for each element of the vector. And what a translation collects on its way.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::duration::format_ms;

/// The label that is a column of its own, and part of every relation: environments are kept apart.
pub(super) const ENV: &str = "env";

/// Why an expression has no translation, for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal(pub(super) String);

/// SQL with the columns of [`Self::labels`], `value` and `sample_at`, the time of the newest sample in seconds.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) sql: String,
    pub(super) labels: BTreeSet<String>,
    /// No two rows have the same labels.
    pub(super) is_unique: bool,
}

/// A leaf of an expression, for an example of it.
#[derive(Clone, Debug)]
pub(super) struct LeafShape {
    pub(super) metric: String,
    /// Labels that every series of it has, each with its value.
    pub(super) equal: BTreeMap<String, String>,
    /// It has conditions that no example can be told from.
    pub(super) is_odd: bool,
    /// How its samples become a value.
    pub(super) function: &'static str,
    pub(super) range_ms: i64,
}

/// What a translation collects.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Window and how long before the evaluation it ends.
    pub(super) windows: BTreeSet<(i64, i64)>,
    /// What is not quite the same, in sentences.
    pub(super) notes: BTreeSet<String>,
    pub(super) leaves: Vec<LeafShape>,
}

/// The SQL name of a window.
pub(super) fn window_name(window_ms: i64, ago_ms: i64) -> String {
    let word = |ms: i64| format_ms(ms).replace(' ', "");
    if ago_ms == 0 { format!("w{}", word(window_ms)) } else { format!("w{}_ago_{}", word(window_ms), word(ago_ms)) }
}

/// The table of a window: which one is the rule's own is known when all are.
pub(super) fn table_placeholder(window_ms: i64, ago_ms: i64) -> String {
    format!("{{{{{}}}}}metrics", window_name(window_ms, ago_ms))
}

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A number as SQL: always a float, so that a division is one of floats.
pub(super) fn number(value: f64) -> Result<String, Refusal> {
    if !value.is_finite() {
        return Err(Refusal(format!("{value} is no number in SQL")));
    }
    let text = format!("{value:?}");
    Ok(if value < 0.0 { format!("({text})") } else { text })
}

/// Indents by two.
pub(super) fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The columns of labels, each below `table`.
pub(super) fn columns<'l>(table: &str, labels: impl IntoIterator<Item = &'l String>) -> Vec<String> {
    let dot = if table.is_empty() { "" } else { "." };
    labels.into_iter().map(|label| format!("{table}{dot}{}", quoted(label))).collect()
}

impl Relation {
    /// The same labels with another value.
    pub(super) fn map(self, value: &str, filter: Option<&str>) -> Self {
        let mut select = columns("", &self.labels);
        select.push("sample_at".into());
        select.push(if value == "value" { "value".into() } else { format!("{value} AS value") });
        let filter = filter.map_or(String::new(), |filter| format!("\nWHERE {filter}"));
        let sql = format!("SELECT {}\nFROM (\n{}\n) t{filter}", select.join(", "), indented(&self.sql));
        Self { sql, ..self }
    }
}
