//! A number as two floats, the second of which holds what rounding took from the first: about 106 bits.
//!
//! Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 1971; Knuth's two-sum. Numbers of
//! similar size add up without rounding, so the order of the terms leaves no trace in the first float.

use std::ops::{Add, Mul, Neg, Sub};

/// The unevaluated sum of two floats that do not overlap. What is not finite stands in the first alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DoubleDouble {
    /// The nearest float.
    pub high: f64,
    /// What it lacks.
    pub low: f64,
}

/// A sum and what rounding took from it.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

impl DoubleDouble {
    /// How far a few operations may be from the exact answer, as a share of it: some of the 106 bits are left to them.
    pub const ROUNDING: f64 = 1.0 / (1_u128 << 98) as f64;

    /// The sum of two floats, of which the first is the larger.
    fn normal(high: f64, low: f64) -> Self {
        let sum = high + low;
        if !sum.is_finite() {
            return Self { high: sum, low: 0.0 };
        }
        Self { high: sum, low: low - (sum - high) }
    }

    /// The nearest float.
    pub fn value(self) -> f64 {
        self.high + self.low
    }

    /// The square root of a number that is not negative.
    pub fn sqrt(self) -> Self {
        let root = self.high.sqrt();
        if root == 0.0 || !root.is_finite() {
            return root.into();
        }
        let rest = self - Self::from(root) * root.into();
        Self::normal(root, rest.high / (2.0 * root))
    }

    /// Divided by another, as the nearest float.
    pub fn ratio(self, by: Self) -> f64 {
        let first = self.high / by.high;
        if !first.is_finite() {
            return first;
        }
        first + (self - Self::from(first) * by).high / by.high
    }

    /// Divided by a float.
    pub fn over(self, by: f64) -> Self {
        let first = self.high / by;
        if !first.is_finite() {
            return first.into();
        }
        let rest = self - Self::from(first) * by.into();
        Self::normal(first, rest.high / by)
    }
}

impl From<f64> for DoubleDouble {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Add<f64> for DoubleDouble {
    type Output = Self;

    fn add(self, term: f64) -> Self {
        let (sum, lost) = two_sum(self.high, term);
        if !sum.is_finite() {
            return sum.into();
        }
        Self::normal(sum, self.low + lost)
    }
}

impl Add for DoubleDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (high, lost) = two_sum(self.high, other.high);
        if !high.is_finite() {
            return high.into();
        }
        let (low, lost_below) = two_sum(self.low, other.low);
        let sum = Self::normal(high, lost + low);
        Self::normal(sum.high, sum.low + lost_below)
    }
}

impl Neg for DoubleDouble {
    type Output = Self;

    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Sub for DoubleDouble {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = self.high * other.high;
        if !product.is_finite() {
            return product.into();
        }
        let lost = self.high.mul_add(other.high, -product);
        Self::normal(product, lost + (self.high * other.low + self.low * other.high))
    }
}

#[cfg(test)]
mod tests {
    use super::DoubleDouble;

    fn sum_of(terms: impl Iterator<Item = f64>) -> f64 {
        terms.fold(DoubleDouble::default(), |sum, term| sum + term).value()
    }

    #[test]
    fn order_does_not_matter_where_plain_sums_differ() {
        let terms: Vec<f64> = (1..=10_000_i32).map(|i| f64::from(i) * 0.1 + 1e6 / f64::from(i)).collect();
        let plain = |terms: &mut dyn Iterator<Item = &f64>| terms.sum::<f64>();
        assert_ne!(plain(&mut terms.iter()), plain(&mut terms.iter().rev()), "these terms tell orders apart");
        assert_eq!(sum_of(terms.iter().copied()), sum_of(terms.iter().rev().copied()));
    }

    #[test]
    fn what_cancels_is_not_lost() {
        assert_eq!(sum_of([1e16, 1.0, -1e16].into_iter()), 1.0);
        assert_eq!(sum_of([f64::MAX, f64::MAX].into_iter()), f64::INFINITY);
    }

    #[test]
    fn products_and_quotients_keep_what_floats_round_away() {
        let (a, b) = (DoubleDouble::from(1.0 + f64::EPSILON), DoubleDouble::from(1.0 - f64::EPSILON));
        assert_eq!((a * b - 1.0.into()).value(), -f64::EPSILON * f64::EPSILON);
        let third = DoubleDouble::from(1.0).over(3.0);
        assert_eq!((third + third + third).value(), 1.0);
        assert_ne!(third.low, 0.0);
        assert_eq!(DoubleDouble::from(1.0).over(0.0).value(), f64::INFINITY);
    }
}
