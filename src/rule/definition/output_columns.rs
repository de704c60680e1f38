//! What the columns of a rule's result mean: texts are labels, `value` is the value, `severity` overrides, numbers feed the
//! templates.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema, TimestampMillisecondType};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use crate::model::event::label_of_column;
use crate::model::labels::Labels;
use crate::model::time::TimestampMs;
use crate::rule::definition::column_name::is_word;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::detectors::sequence::STEP;

/// One breach: a row of a rule's result at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// When: the event's own time where the rule looks at each event alone, else the evaluation's instant.
    pub ts: TimestampMs,
    /// The text columns.
    pub labels: Labels,
    /// The `value` column.
    pub value: f64,
    /// The `severity` column, where the rule has one and the row says something.
    pub severity: Option<String>,
    /// The other numeric columns by name, for templates.
    pub numbers: Vec<(String, f64)>,
    /// Texts by name that templates may use and that are no labels.
    pub texts: Vec<(String, String)>,
}

impl Breach {
    /// An order that depends on nothing but what the rows say: by time, then by labels, then by all else.
    pub fn in_order(&self, other: &Self) -> Ordering {
        let number = |(a, x): &(String, f64), (b, y): &(String, f64)| a.cmp(b).then(x.total_cmp(y));
        let pairs = self.numbers.iter().zip(&other.numbers).map(|(mine, theirs)| number(mine, theirs));
        (self.ts, &self.labels)
            .cmp(&(other.ts, &other.labels))
            .then_with(|| self.texts.cmp(&other.texts))
            .then(self.value.total_cmp(&other.value))
            .then_with(|| self.severity.cmp(&other.severity))
            .then_with(|| pairs.fold(self.numbers.len().cmp(&other.numbers.len()), Ordering::then))
    }

    /// A text that is no label.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

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
    /// Texts that are no labels: the `step` of a sequence.
    texts: Vec<(usize, String)>,
    /// Numbers that a detector works out after the SQL: `expected` and `score` of a deviation.
    computed: &'static [&'static str],
    /// Texts likewise: `previous` of a change.
    computed_texts: &'static [&'static str],
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
    /// A column is a time.
    #[error("`{0}` is a time: an alert's columns are texts and numbers")]
    Time(String),
    /// Two columns would be the same label.
    #[error("two columns are called `{0}`")]
    Twice(String),
    /// A column has the name of what the rule's detector adds.
    #[error("the column `{name}` and what `{detector}` adds have one name")]
    Added {
        /// The column.
        name: &'static str,
        /// The detector's key in the front matter.
        detector: &'static str,
    },
    /// A sequence's rows do not say which step they are.
    #[error("the result has no text column `step`")]
    NoStep,
}

impl OutputColumns {
    /// Sorts the columns of a result's schema into their roles.
    pub fn new(schema: &Schema) -> Result<Self, OutputError> {
        let mut columns = Self {
            labels: Vec::new(),
            value: usize::MAX,
            severity: None,
            numbers: Vec::new(),
            texts: Vec::new(),
            computed: &[],
            computed_texts: &[],
        };
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
                _ if kind.is_temporal() => return Err(OutputError::Time(name)),
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

    /// The names of the texts that are no labels.
    pub fn text_names(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|(_, name)| name.as_str()).chain(self.computed_texts.iter().copied())
    }

    /// The same columns, with what a detector makes of them and adds to them.
    pub fn with_detector(mut self, detector: &DetectorSpec) -> Result<Self, OutputError> {
        if let DetectorSpec::Sequence(_) = detector {
            let (steps, labels) = self.labels.into_iter().partition(|(_, name)| name == STEP);
            (self.texts, self.labels) = (steps, labels);
            if self.texts.is_empty() {
                return Err(OutputError::NoStep);
            }
        }
        for name in detector.numbers().iter().chain(detector.texts()) {
            if self.label_names().chain(self.number_names()).any(|taken| taken == *name) {
                return Err(OutputError::Added { name, detector: detector.key() });
            }
        }
        Ok(Self { computed: detector.numbers(), computed_texts: detector.texts(), ..self })
    }

    /// The names that a template may use. A column without a name of its own is called after its expression, in the planner's words.
    pub fn template_names(&self) -> Vec<&str> {
        let all = self.label_names().chain(self.number_names()).chain(self.text_names()).chain(["value", "severity"]);
        all.filter(|name| is_word(name)).collect()
    }

    /// Reads the rows of an evaluation at `at`. A row whose value is null or no finite number (0 / 0, 1 / 0) is no breach.
    pub fn breaches(&self, batch: &RecordBatch, at: TimestampMs) -> Result<Vec<Breach>, ArrowError> {
        self.rows(batch, |_| Some(at))
    }

    /// Reads rows that each stand for one event, at `times` (a `TimestampMillisecond` array); one without a time is no breach.
    /// They come sorted, so that the order of arrival changes nothing.
    pub fn events(&self, batch: &RecordBatch, times: &ArrayRef) -> Result<Vec<Breach>, ArrowError> {
        let times = times
            .as_primitive_opt::<TimestampMillisecondType>()
            .ok_or_else(|| ArrowError::CastError(format!("{} are no times in milliseconds", times.data_type())))?;
        let mut rows = self.rows(batch, |row| times.is_valid(row).then(|| times.value(row)))?;
        rows.sort_by(Breach::in_order);
        Ok(rows)
    }

    fn rows(&self, batch: &RecordBatch, ts: impl Fn(usize) -> Option<TimestampMs>) -> Result<Vec<Breach>, ArrowError> {
        let text = |at: usize| cast(batch.column(at), &DataType::Utf8);
        let number = |at: usize| cast(batch.column(at), &DataType::Float64);
        let named = |columns: &[(usize, String)], read: &dyn Fn(usize) -> Result<ArrayRef, ArrowError>| {
            columns
                .iter()
                .map(|(at, name)| Ok((name.clone(), read(*at)?)))
                .collect::<Result<Vec<(String, ArrayRef)>, ArrowError>>()
        };
        let texts_at = |columns: &[(String, ArrayRef)], row: usize| -> Vec<(String, String)> {
            columns.iter().filter_map(|(name, column)| Some((name.clone(), text_at(column, row)?))).collect()
        };
        let (labels, texts, numbers) = (named(&self.labels, &text)?, named(&self.texts, &text)?, named(&self.numbers, &number)?);
        let severity = self.severity.map(text).transpose()?;
        let value = number(self.value)?;
        let mut breaches = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let Some(value) = number_at(&value, row).filter(|value| value.is_finite()) else { continue };
            let Some(ts) = ts(row) else { continue };
            breaches.push(Breach {
                ts,
                labels: Labels::new(texts_at(&labels, row)),
                value,
                severity: severity.as_ref().and_then(|column| text_at(column, row)),
                numbers: numbers.iter().filter_map(|(name, column)| Some((name.clone(), number_at(column, row)?))).collect(),
                texts: texts_at(&texts, row),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};

    use super::{OutputColumns, OutputError};
    use crate::model::diagnostic::yaml_tree::Node;
    use crate::rule::definition::detectors::DetectorSpec;

    fn batch(rows: &[(&str, &str, Option<f64>)]) -> RecordBatch {
        let hosts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
        let steps: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
        let values: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>());
        RecordBatch::try_from_iter_with_nullable([("host", hosts, true), ("step", steps, true), ("value", values, true)]).unwrap()
    }

    fn sequence() -> DetectorSpec {
        let text = "{ steps: [a, b], within: 1m }";
        DetectorSpec::parse("sequence", &Node::parse(text, 0..text.len()).unwrap()).unwrap()
    }

    #[test]
    fn events_have_times_of_their_own_and_an_order_that_arrival_does_not_change() {
        let rows = [("b", "x", Some(1.0)), ("a", "x", Some(2.0)), ("a", "x", Some(1.0)), ("a", "x", None), ("c", "x", Some(1.0))];
        let times = [5, 5, 5, 5, 3];
        let columns = OutputColumns::new(&batch(&rows).schema()).unwrap();
        let read = |order: &[usize]| {
            let shuffled: Vec<_> = order.iter().map(|at| rows[*at]).collect();
            let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(order.iter().map(|at| times[*at])));
            columns.events(&batch(&shuffled), &times).unwrap()
        };
        let events = read(&[0, 1, 2, 3, 4]);
        let told: Vec<_> = events.iter().map(|it| (it.ts, it.labels.get("host").unwrap(), it.value)).collect();
        assert_eq!(told, [(3, "c", 1.0), (5, "a", 1.0), (5, "a", 2.0), (5, "b", 1.0)]);
        assert_eq!(events, read(&[4, 3, 2, 1, 0]));
    }

    #[test]
    fn rows_of_an_evaluation_have_its_time() {
        let rows = batch(&[("b", "x", Some(1.0)), ("a", "x", Some(2.0))]);
        let breaches = OutputColumns::new(&rows.schema()).unwrap().breaches(&rows, 7).unwrap();
        assert_eq!(breaches.iter().map(|it| (it.ts, it.value)).collect::<Vec<_>>(), [(7, 1.0), (7, 2.0)]);
    }

    #[test]
    fn the_step_of_a_sequence_is_a_text_and_no_label() {
        let rows = batch(&[("a", "failed", Some(1.0))]);
        let columns = OutputColumns::new(&rows.schema()).unwrap().with_detector(&sequence()).unwrap();
        let breach = columns.breaches(&rows, 0).unwrap().remove(0);
        assert_eq!((breach.labels.get("step"), breach.text("step")), (None, Some("failed")));
        assert_eq!(columns.template_names(), ["host", "took", "step", "value", "severity"]);
        let without = rows.project(&[0, 2]).unwrap();
        let error = OutputColumns::new(&without.schema()).unwrap().with_detector(&sequence());
        assert_eq!(error, Err(OutputError::NoStep));
    }
}
