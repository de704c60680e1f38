//! JSON numbers, delimited and parsed in one pass, and rounded correctly.

use crate::io::decode::raw_event::Scalar;

/// A number token.
#[derive(Debug)]
pub(crate) struct NumberSpan {
    start: usize,
    /// The index after it.
    pub(crate) end: usize,
    negative: bool,
    /// All digits before the exponent; overflows with more than [`DIGITS_MAX`] digits.
    mantissa: u64,
    digits: usize,
    fraction_digits: usize,
    exponent: bool,
}

/// A mantissa of so many digits fits into an i64.
const DIGITS_MAX: usize = 18;

/// The powers of ten up to [`DIGITS_MAX`] fraction digits; each is exact.
const TENS: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

impl NumberSpan {
    /// The number that starts at `start`, by JSON's grammar; what follows it is not checked.
    #[inline]
    pub(crate) fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let byte = |at: usize| bytes.get(at).copied();
        let negative = byte(start) == Some(b'-');
        let first = start + usize::from(negative);
        let mut mantissa = 0;
        let mut end = digits(bytes, first, &mut mantissa)?;
        let mut count = end - first;
        if count > 1 && byte(first) == Some(b'0') {
            return None;
        }
        let mut fraction_digits = 0;
        if byte(end) == Some(b'.') {
            let fraction = end + 1;
            end = digits(bytes, fraction, &mut mantissa)?;
            fraction_digits = end - fraction;
            count += fraction_digits;
        }
        let exponent = matches!(byte(end), Some(b'e' | b'E'));
        if exponent {
            let sign = matches!(byte(end + 1), Some(b'+' | b'-'));
            end = digits(bytes, end + 1 + usize::from(sign), &mut 0)?;
        }
        Some(Self { start, end, negative, mantissa, digits: count, fraction_digits, exponent })
    }

    /// Its value; `None` if it is too large for a finite number.
    #[inline]
    pub(crate) fn scalar<'a>(&self, text: &str) -> Option<Scalar<'a>> {
        if self.digits <= DIGITS_MAX && !self.exponent {
            let sign = if self.negative { -1 } else { 1 };
            if self.fraction_digits == 0 && !(self.negative && self.mantissa == 0) {
                return Some(Scalar::Whole(sign * self.mantissa as i64));
            }
            // Both are exact, so their quotient is rounded once, which is correct.
            if self.mantissa <= 1 << f64::MANTISSA_DIGITS {
                let number = self.mantissa as f64 / TENS[self.fraction_digits];
                return Some(Scalar::Number(if self.negative { -number } else { number }));
            }
        }
        let token = text.get(self.start..self.end)?;
        if self.digits > DIGITS_MAX
            && self.fraction_digits == 0
            && !self.exponent
            && let Ok(whole) = token.parse()
        {
            return Some(Scalar::Whole(whole));
        }
        token.parse().ok().filter(|number: &f64| number.is_finite()).map(Scalar::Number)
    }
}

/// Skips at least one digit.
#[inline]
fn digits(bytes: &[u8], start: usize, mantissa: &mut u64) -> Option<usize> {
    let mut at = start;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (at > start).then_some(at)
}
