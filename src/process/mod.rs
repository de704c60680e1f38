//! Floor 5: the process: configuration, the pipeline of stages, checkpoints, several processes as one, the command line. The only place
//! with `anyhow`.

pub mod alertmanager;
mod backtest;
pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
mod connection;
pub mod file_limit;
mod import;
pub mod intake;
mod leader;
mod load;
mod load_rules;
pub mod notify;
pub mod pipeline;
pub mod reload;
mod replay;
pub mod report;
pub mod run;
mod send_command;
mod serve;
pub mod shipped_rules;
pub mod shutdown;
pub mod telemetry;
mod testing;
pub mod web;
