//! Numbers as OTLP's JSON has them: 64-bit integers as texts or numbers, doubles also as the texts `NaN` and `Infinity`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

struct NumberVisitor<T>(std::marker::PhantomData<T>);

/// A number type that JSON's numbers and texts become.
trait FromJson: Sized + FromStr {
    fn of_unsigned(value: u64) -> Option<Self>;
    fn of_signed(value: i64) -> Option<Self>;
    fn of_double(value: f64) -> Option<Self>;
}

impl FromJson for u64 {
    fn of_unsigned(value: u64) -> Option<Self> {
        Some(value)
    }
    fn of_signed(value: i64) -> Option<Self> {
        value.try_into().ok()
    }
    fn of_double(value: f64) -> Option<Self> {
        (value >= 0.0 && value < 2f64.powi(64) && value.fract() == 0.0).then_some(value as u64)
    }
}

impl FromJson for i64 {
    fn of_unsigned(value: u64) -> Option<Self> {
        value.try_into().ok()
    }
    fn of_signed(value: i64) -> Option<Self> {
        Some(value)
    }
    fn of_double(value: f64) -> Option<Self> {
        (value.abs() < 2f64.powi(63) && value.fract() == 0.0).then_some(value as i64)
    }
}

impl FromJson for f64 {
    fn of_unsigned(value: u64) -> Option<Self> {
        Some(value as f64)
    }
    fn of_signed(value: i64) -> Option<Self> {
        Some(value as f64)
    }
    fn of_double(value: f64) -> Option<Self> {
        Some(value)
    }
}

impl<T: FromJson> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, or a text that is one")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        T::of_unsigned(value).ok_or_else(|| E::custom(format!("{value} is out of range")))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        T::of_signed(value).ok_or_else(|| E::custom(format!("{value} is out of range")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        T::of_double(value).ok_or_else(|| E::custom(format!("{value} is out of range")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.trim().parse().map_err(|_| E::custom(format!("{text:?} is no number in range")))
    }
}

fn number<'de, T: FromJson, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(NumberVisitor(std::marker::PhantomData))
}

/// An unsigned integer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unsigned(pub u64);

/// A signed integer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signed(pub i64);

/// A double.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Double(pub f64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(Self)
    }
}
