//! Quantiles of classic histograms, as Prometheus's `histogram_quantile` has them: within the bucket of the asked rank the value is
//! interpolated linearly.

/// The number of observations up to a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// The upper bound, `le`.
    pub(super) bound: f64,
    /// Observations at or below it.
    pub(super) count: f64,
}

/// The quantile of buckets in the order of their bounds. `None` without observations, or without the bucket up to infinity.
pub(super) fn quantile(quantile: f64, mut buckets: Vec<Bucket>) -> Option<f64> {
    // Buckets are read from several samples, so that one may have been counted before and one after an observation.
    let mut most = f64::NEG_INFINITY;
    for bucket in &mut buckets {
        most = most.max(bucket.count);
        bucket.count = most;
    }
    let (last, finite) = buckets.split_last()?;
    if last.bound != f64::INFINITY || finite.is_empty() || last.count <= 0.0 {
        return None;
    }
    let rank = quantile * last.count;
    let at = finite.iter().position(|bucket| bucket.count >= rank);
    let Some(at) = at else { return finite.last().map(|bucket| bucket.bound) };
    let Bucket { bound: end, count } = finite[at];
    match at.checked_sub(1).map(|below| finite[below]) {
        None if end <= 0.0 => Some(end),
        None => Some(end * (rank / count)),
        Some(below) => Some(below.bound + (end - below.bound) * ((rank - below.count) / (count - below.count))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: f64, buckets: &[(f64, f64)]) -> Option<f64> {
        quantile(asked, buckets.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect())
    }

    #[test]
    fn values_are_interpolated_within_a_bucket() {
        let buckets = [(0.1, 10.0), (0.5, 30.0), (1.0, 40.0), (f64::INFINITY, 40.0)];
        assert_eq!(of(0.5, &buckets), Some(0.1 + 0.4 * (10.0 / 20.0)));
        assert_eq!(of(0.125, &buckets), Some(0.05));
        assert_eq!(of(1.0, &buckets), Some(1.0));
    }

    #[test]
    fn above_the_last_bound_the_answer_is_that_bound() {
        assert_eq!(of(0.99, &[(0.1, 10.0), (0.5, 30.0), (f64::INFINITY, 100.0)]), Some(0.5));
        assert_eq!(of(0.1, &[(-1.0, 10.0), (0.5, 30.0), (f64::INFINITY, 30.0)]), Some(-1.0));
    }

    #[test]
    fn counts_that_fall_are_those_before_them() {
        let level = [(0.1, 10.0), (0.5, 8.0), (1.0, 20.0), (f64::INFINITY, 20.0)];
        assert_eq!(of(0.75, &level), Some(0.75));
    }

    #[test]
    fn what_is_no_histogram_has_no_quantile() {
        assert_eq!(of(0.5, &[]), None);
        assert_eq!(of(0.5, &[(0.1, 10.0), (0.5, 30.0)]), None);
        assert_eq!(of(0.5, &[(f64::INFINITY, 30.0)]), None);
        assert_eq!(of(0.5, &[(0.1, 0.0), (f64::INFINITY, 0.0)]), None);
    }
}
