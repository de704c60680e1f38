//! State that outlives a process: checkpoints, restarts, rules that change, and a simulation of all of it.

pub mod checkpoints;
pub mod reload;
pub mod restart;
pub mod simulation;
