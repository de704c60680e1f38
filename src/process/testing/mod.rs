//! Rule authors' tests: what they may write ([`file`], [`promtool`]), the engine over it ([`run`]), and how far what came of it is what was
//! expected ([`compare`]). The engine and the decoder are those of a replay: nothing here evaluates a rule.

pub(crate) mod case;
pub(crate) mod compare;
pub(crate) mod expectation;
pub(crate) mod file;
pub(crate) mod find;
pub(crate) mod history;
pub(crate) mod junit;
mod native;
mod promtool;
pub(crate) mod run;
mod samples;
mod series;
mod time_reader;
