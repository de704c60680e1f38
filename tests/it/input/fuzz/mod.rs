//! Whatever is read from outside, changed at random: no panic, no hang, no memory without bound, and nothing lost without a reason.
//!
//! Each target runs in a process of its own under a limit of memory, so that a length that is believed and not checked shows.
//! `FUZZ_EXECUTIONS=… FUZZ_SEED=… cargo test --test it fuzz` is more patient, or repeats a run.

mod formats;
mod harness;
mod mutate;
mod saved_state;
mod written_files;
