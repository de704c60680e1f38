//! The rule authors' workbench: tests of rules, and what makes rules.

pub mod backtest;
pub mod import;
pub mod testing;
