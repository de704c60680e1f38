//! The line through the samples of one series by least squares, as Prometheus's `deriv` and `predict_linear` have it: its moments, which merge
//! in any order.

use datafusion::common::{Result, exec_err};

use crate::model::time::TimestampMs;
use crate::rule::aggregate::moments::TwoColumns;
use crate::rule::aggregate::series::accumulator::{Question, Sample, SeriesKey, SeriesPart, sum_of};
use crate::rule::aggregate::series::bytes::{Reader, write_float, write_varint};
use crate::rule::aggregate::series::function::Window;

/// What is asked of the line.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// Its slope, a second.
    Slope,
    /// Its value so long after the end of the window.
    After {
        /// How long.
        seconds: f64,
    },
}

/// The moments of a series' values over its times in milliseconds, which floats hold exactly.
#[derive(Clone, Copy, Debug)]
pub struct Trend(TwoColumns);

impl SeriesPart for Trend {
    const NEEDS_ORDER: bool = false;

    fn of_sample(sample: &Sample) -> Self {
        let mut moments = TwoColumns::default();
        moments.add(sample.value, sample.ts as f64);
        Self(moments)
    }

    fn order(&self, _other: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }

    fn is_replaced_by(&self, _next: &Self) -> bool {
        false
    }

    fn join(&mut self, later: &Self) {
        self.0.merge(&later.0);
    }

    fn write(&self, _before: &mut TimestampMs, bytes: &mut Vec<u8>) {
        let (count, parts) = self.0.parts();
        write_varint(count, bytes);
        parts.into_iter().for_each(|part| write_float(part, bytes));
    }

    fn read(_key: &SeriesKey, _before: &mut TimestampMs, reader: &mut Reader<'_>) -> Option<Self> {
        let count = reader.varint()?;
        let mut parts = [0.0; 10];
        for part in &mut parts {
            *part = reader.float()?;
        }
        Some(Self(TwoColumns::of_parts(count, parts)))
    }
}

impl Question for Line {
    type Part = Trend;

    fn has_bounds(self) -> bool {
        false
    }

    fn answer(self, series: &[(SeriesKey, Trend)], window: Window<'_>) -> Result<Option<f64>> {
        let each = series.iter().map(|(_, trend)| &trend.0);
        match (self, window) {
            (Line::Slope, _) => Ok(sum_of(each.map(|moments| moments.slope().map(|slope| slope * 1000.0)))),
            (Line::After { seconds }, Some(window)) => {
                let at = window.end as f64 + seconds * 1000.0;
                Ok(sum_of(each.map(|moments| moments.line_at(at))))
            }
            (Line::After { .. }, None) => exec_err!("rows without a window have no time from which to predict"),
        }
    }
}
