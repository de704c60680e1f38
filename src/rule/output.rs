//! What the columns of a rule's result mean: texts are labels, `value` is the value, `severity` overrides, numbers feed the
//! templates.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};

use crate::words::event::label_of_column;
use crate::words::labels::Labels;

/// One breach: a row of a rule's result at one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The text columns.
    pub labels: Labels,
    /// The `value` column.
    pub value: f64,
    /// The `severity` column, where the rule has one and the row says something.
    pub severity: Option<String>,
    /// The other numeric columns by name, for templates.
    pub numbers: Vec<(String, f64)>,
}

impl Breach {
    /// How far the value departs from what is usual: the `score` column, from the rule's SQL or its deviation.
    pub fn score(&self) -> Option<f64> {
        self.numbers.iter().find(|(name, _)| name == "score").map(|(_, score)| *score)
    }
}

/// Which column of the result is what.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumns {
    labels: Vec<(usize, String)>,
    value: usize,
    severity: Option<usize>,
    numbers: Vec<(usize, String)>,
    /// Numbers that are worked out after the SQL: `expected` and `score` of a deviation.
    computed: &'static [&'static str],
}

/// Why a result cannot become alerts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutputError {
    /// No column is called `value`.
    #[error("the result has no `value` column")]
    NoValue,
    /// `value` is a text or a time.
    #[error("`value` is {0}, it must be a number")]
    ValueNoNumber(&'static str),
    /// `severity` is no text.
    #[error("`severity` is {0}, it must be a text")]
    SeverityNoText(&'static str),
    /// Two columns would be the same label.
    #[error("two columns are called `{0}`")]
    Twice(String),
}

impl OutputColumns {
    /// Sorts the columns of a result's schema into their roles.
    pub fn new(schema: &Schema) -> Result<Self, OutputError> {
        let mut columns = Self { labels: Vec::new(), value: usize::MAX, severity: None, numbers: Vec::new(), computed: &[] };
        let mut seen = std::collections::BTreeSet::new();
        for (at, field) in schema.fields().iter().enumerate() {
            let name = label_of_column(field.name()).unwrap_or(field.name()).to_string();
            if !seen.insert(name.clone()) {
                return Err(OutputError::Twice(name));
            }
            let kind = field.data_type();
            match name.as_str() {
                "value" if kind.is_numeric() => columns.value = at,
                "value" => return Err(OutputError::ValueNoNumber(in_words(kind))),
                "severity" if is_text(kind) => columns.severity = Some(at),
                "severity" => return Err(OutputError::SeverityNoText(in_words(kind))),
                _ if is_text(kind) => columns.labels.push((at, name)),
                _ if kind.is_numeric() => columns.numbers.push((at, name)),
                _ => {}
            }
        }
        if columns.value == usize::MAX { Err(OutputError::NoValue) } else { Ok(columns) }
    }

    /// The names of the label columns.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|(_, name)| name.as_str())
    }

    /// The names of the numbers besides `value`.
    pub fn number_names(&self) -> impl Iterator<Item = &str> {
        self.numbers.iter().map(|(_, name)| name.as_str()).chain(self.computed.iter().copied())
    }

    /// The same columns, with those that a deviation adds.
    pub fn with_departure(self) -> Self {
        Self { computed: &["expected", "score"], ..self }
    }

    /// The names that a template may use.
    pub fn template_names(&self) -> Vec<&str> {
        self.label_names().chain(self.number_names()).chain(["value", "severity"]).collect()
    }

    /// Reads the rows. A row whose value is null or no finite number (0 / 0, 1 / 0) is no breach.
    pub fn breaches(&self, batch: &RecordBatch) -> Result<Vec<Breach>, arrow::error::ArrowError> {
        let text = |at: usize| cast(batch.column(at), &DataType::Utf8);
        let number = |at: usize| cast(batch.column(at), &DataType::Float64);
        let labels =
            self.labels.iter().map(|(at, name)| Ok((name, text(*at)?))).collect::<Result<Vec<_>, arrow::error::ArrowError>>()?;
        let numbers = self
            .numbers
            .iter()
            .map(|(at, name)| Ok((name, number(*at)?)))
            .collect::<Result<Vec<_>, arrow::error::ArrowError>>()?;
        let severity = self.severity.map(text).transpose()?;
        let value = number(self.value)?;
        let mut breaches = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let Some(value) = number_at(&value, row).filter(|value| value.is_finite()) else { continue };
            breaches.push(Breach {
                labels: Labels::new(labels.iter().filter_map(|(name, column)| Some(((*name).clone(), text_at(column, row)?)))),
                value,
                severity: severity.as_ref().and_then(|column| text_at(column, row)),
                numbers: numbers.iter().filter_map(|(name, column)| Some(((*name).clone(), number_at(column, row)?))).collect(),
            });
        }
        Ok(breaches)
    }
}

/// A type as rule authors say it.
pub fn in_words(kind: &DataType) -> &'static str {
    match kind {
        kind if is_text(kind) => "a text",
        kind if kind.is_numeric() => "a number",
        DataType::Boolean => "true/false",
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => "a time",
        DataType::Interval(_) | DataType::Duration(_) => "a span of time",
        DataType::Null => "always null",
        _ => "no plain value",
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn text_at(column: &ArrayRef, row: usize) -> Option<String> {
    let column = column.as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_string())
}

fn number_at(column: &ArrayRef, row: usize) -> Option<f64> {
    let column = column.as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}
