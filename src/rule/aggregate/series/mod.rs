//! Functions over the series of a group: each series is looked at by itself, and the results are added up.
//!
//! `increase`, `rate`, `delta`, `resets` and `histogram_quantile` are about counters, `last` about gauges ([`segment`]); `deriv` and `predict`
//! are about the line through the samples ([`trend`]). Their semantics are those of Prometheus's functions, without what Prometheus
//! extrapolates; `'prometheus'` as the last argument asks for that too ([`extrapolation`]).
//!
//! Rule authors write `increase(value)`. [`crate::rule::sql::rewrite::series`] adds the columns by which samples are assigned to series
//! and put in order.

pub mod accumulator;
pub mod bytes;
pub mod extrapolation;
pub mod function;
pub mod histogram;
pub mod segment;
pub mod trend;
pub mod udaf;
