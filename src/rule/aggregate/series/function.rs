//! The functions over series, by name: what they take, and which of them must know their window.

use std::ops::Range;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Signature, TypeSignature, Volatility};

use crate::model::event::Column;
use crate::model::time::TimestampMs;

/// The columns of `metrics` that follow the written arguments.
pub const HIDDEN: [&str; 3] = ["series", "temporality", "ts"];

/// The last written argument that asks for Prometheus's figure.
pub const PROMETHEUS: &str = "prometheus";

/// A function that looks at each series of a group by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesFunction {
    /// By how much counters rose.
    Increase,
    /// The same, a second.
    Rate,
    /// Last value less first.
    Delta,
    /// How often counters began anew.
    Resets,
    /// The last value.
    Last,
    /// The slope of the line through the samples, a second.
    Deriv,
    /// Where that line will be.
    Predict,
    /// A quantile of a histogram of counters.
    HistogramQuantile,
}

/// All of them, by name.
pub const ALL: [(&str, SeriesFunction); 8] = [
    ("increase", SeriesFunction::Increase),
    ("rate", SeriesFunction::Rate),
    ("delta", SeriesFunction::Delta),
    ("resets", SeriesFunction::Resets),
    ("last", SeriesFunction::Last),
    ("deriv", SeriesFunction::Deriv),
    ("predict", SeriesFunction::Predict),
    ("histogram_quantile", SeriesFunction::HistogramQuantile),
];

/// The function of this name.
pub fn named(name: &str) -> Option<SeriesFunction> {
    ALL.into_iter().find(|(known, _)| *known == name).map(|(_, function)| function)
}

impl SeriesFunction {
    /// The arguments as an author writes them.
    pub fn usage(self) -> &'static str {
        match self {
            Self::Increase => "increase(value) or increase(value, 'prometheus')",
            Self::Rate => "rate(value) or rate(value, 'prometheus')",
            Self::Delta => "delta(value) or delta(value, 'prometheus')",
            Self::Resets => "resets(value)",
            Self::Last => "last(value)",
            Self::Deriv => "deriv(value)",
            Self::Predict => "predict(value, 3600), where 3600 is in seconds",
            Self::HistogramQuantile => "histogram_quantile(0.95, labels['le'], value)",
        }
    }

    /// Whether `'prometheus'` may follow the value.
    pub fn extrapolates(self) -> bool {
        matches!(self, Self::Increase | Self::Rate | Self::Delta)
    }

    /// Whether a call with so many arguments, hidden ones among them, must know where its window begins and ends.
    pub fn needs_window(self, arguments: usize) -> bool {
        matches!(self, Self::Rate | Self::Predict) || (self.extrapolates() && arguments > 1 + HIDDEN.len())
    }

    /// Its arguments, the hidden ones included.
    pub fn signature(self) -> Signature {
        let hidden = [DataType::Utf8View, DataType::Utf8View, Column::Time.data_type()];
        let with = |written: &[DataType]| TypeSignature::Exact(written.iter().chain(&hidden).cloned().collect());
        let (number, text) = (DataType::Float64, DataType::Utf8View);
        let one_of = match self {
            Self::Increase | Self::Rate | Self::Delta => vec![with(std::slice::from_ref(&number)), with(&[number, text])],
            Self::Resets | Self::Last | Self::Deriv => vec![with(&[number])],
            Self::Predict => vec![with(&[number.clone(), number])],
            Self::HistogramQuantile => vec![with(&[number.clone(), text, number])],
        };
        Signature::one_of(one_of, Volatility::Immutable)
    }
}

/// An expression without the hidden columns, for `explain`.
pub fn as_written(expression: &str) -> String {
    expression.replace(&format!(", {})", HIDDEN.join(", ")), ")")
}

/// Start and end of a window, where they are known.
pub type Window<'a> = Option<&'a Range<TimestampMs>>;
