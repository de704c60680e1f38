//! The protobuf message `ExportMetricsServiceRequest`, field by field, as opentelemetry-proto 1.x numbers them.

use crate::io::decode::histogram::Exponential;
use crate::io::decode::otlp::attributes::push;
use crate::io::decode::otlp::resources;
use crate::io::decode::otlp_metrics::points::{Base, Metric, Points, temporality};
use crate::io::decode::protobuf::{Fields, ProtobufError, push_doubles, push_fixed64, push_varints, zigzag};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    resources::read(payload, &mut rows, &mut |rows, message| metric(message, &mut Points { rows }))
}

fn metric<'a>(message: &'a [u8], points: &mut Points<'_, '_, '_, 'a>) -> Result<(), ProtobufError> {
    let mut metric = Metric::default();
    let mut data = None;
    for field in Fields::new(message) {
        match field? {
            (1, value) => metric.name = value.cow(1)?,
            (number @ (5 | 7 | 9 | 10 | 11), value) => data = Some((number, value.message(number)?)),
            _ => {}
        }
    }
    let Some((kind, data)) = data else { return Ok(()) };
    let (mut number, mut is_monotonic) = (0, kind != 7);
    for field in Fields::new(data) {
        match field? {
            (2, value) => number = value.unsigned(2)?,
            (3, value) => is_monotonic = value.unsigned(3)? != 0,
            _ => {}
        }
    }
    metric.temporality = match kind {
        5 => Some("gauge"),
        11 => Some("cumulative"),
        _ => temporality(number, is_monotonic),
    };
    let mut base = Base::default();
    for field in Fields::new(data) {
        let (1, value) = field? else { continue };
        let point = value.message(1)?;
        base.attributes.clear();
        let read = match kind {
            5 | 7 => number_point(point, &metric, &mut base, points),
            9 => histogram(point, &metric, &mut base, points),
            10 => exponential(point, &metric, &mut base, points),
            _ => summary(point, &metric, &mut base, points),
        };
        if let Err(reason) = read {
            points.rows.reject(point, reason);
        }
    }
    Ok(())
}

#[inline]
fn number_point<'a>(
    message: &'a [u8],
    metric: &Metric<'a>,
    base: &mut Base<'a>,
    points: &mut Points<'_, '_, '_, 'a>,
) -> Result<(), RejectReason> {
    (base.time, base.flags) = (0, 0);
    let mut number = None;
    for field in Fields::new(message) {
        match field? {
            (7, value) => push(value, 7, &mut base.attributes)?,
            (3, value) => base.time = value.unsigned(3)?,
            (4, value) => number = Some(value.double(4)?),
            (6, value) => number = Some(value.signed(6)? as f64),
            (8, value) => base.flags = value.unsigned(8)? as u32,
            _ => {}
        }
    }
    Ok(points.number(metric, base, number)?)
}

fn histogram<'a>(
    message: &'a [u8],
    metric: &Metric<'a>,
    base: &mut Base<'a>,
    points: &mut Points<'_, '_, '_, 'a>,
) -> Result<(), RejectReason> {
    (base.time, base.flags) = (0, 0);
    let (mut count, mut sum, mut counts, mut bounds) = (0, None, Vec::new(), Vec::new());
    for field in Fields::new(message) {
        match field? {
            (9, value) => push(value, 9, &mut base.attributes)?,
            (3, value) => base.time = value.unsigned(3)?,
            (4, value) => count = value.unsigned(4)?,
            (5, value) => sum = Some(value.double(5)?),
            (6, value) => push_fixed64(value, 6, &mut counts)?,
            (7, value) => push_doubles(value, 7, &mut bounds)?,
            (10, value) => base.flags = value.unsigned(10)? as u32,
            _ => {}
        }
    }
    points.histogram(metric, base, (count, sum), (&bounds, &counts))
}

fn exponential<'a>(
    message: &'a [u8],
    metric: &Metric<'a>,
    base: &mut Base<'a>,
    points: &mut Points<'_, '_, '_, 'a>,
) -> Result<(), RejectReason> {
    (base.time, base.flags) = (0, 0);
    let (mut count, mut sum, mut histogram) = (0, None, Exponential::default());
    for field in Fields::new(message) {
        match field? {
            (1, value) => push(value, 1, &mut base.attributes)?,
            (3, value) => base.time = value.unsigned(3)?,
            (4, value) => count = value.unsigned(4)?,
            (5, value) => sum = Some(value.double(5)?),
            (6, value) => histogram.scale = value.zigzag(6)? as i32,
            (7, value) => histogram.zero_count = value.unsigned(7)? as f64,
            (8, value) => histogram.positive = buckets(value.message(8)?)?,
            (9, value) => histogram.negative = buckets(value.message(9)?)?,
            (10, value) => base.flags = value.unsigned(10)? as u32,
            (14, value) => histogram.zero_threshold = value.double(14)?,
            _ => {}
        }
    }
    points.exponential(metric, base, (count, sum), &histogram)
}

fn buckets(message: &[u8]) -> Result<Vec<(i32, f64)>, ProtobufError> {
    let (mut offset, mut counts) = (0_i32, Vec::new());
    for field in Fields::new(message) {
        match field? {
            (1, value) => offset = zigzag(value.unsigned(1)?) as i32,
            (2, value) => push_varints(value, 2, &mut counts)?,
            _ => {}
        }
    }
    Ok(counts.into_iter().enumerate().map(|(at, count)| (offset.saturating_add(at as i32), count as f64)).collect())
}

fn summary<'a>(
    message: &'a [u8],
    metric: &Metric<'a>,
    base: &mut Base<'a>,
    points: &mut Points<'_, '_, '_, 'a>,
) -> Result<(), RejectReason> {
    (base.time, base.flags) = (0, 0);
    let (mut count, mut sum, mut quantiles) = (0, 0.0, Vec::new());
    for field in Fields::new(message) {
        match field? {
            (7, value) => push(value, 7, &mut base.attributes)?,
            (3, value) => base.time = value.unsigned(3)?,
            (4, value) => count = value.unsigned(4)?,
            (5, value) => sum = value.double(5)?,
            (6, value) => quantiles.push(quantile(value.message(6)?)?),
            (8, value) => base.flags = value.unsigned(8)? as u32,
            _ => {}
        }
    }
    points.summary(metric, base, (count, sum), &quantiles)
}

fn quantile(message: &[u8]) -> Result<(f64, f64), ProtobufError> {
    let mut both = (0.0, 0.0);
    for field in Fields::new(message) {
        match field? {
            (1, value) => both.0 = value.double(1)?,
            (2, value) => both.1 = value.double(2)?,
            _ => {}
        }
    }
    Ok(both)
}
