//! `squelch run`: reads the configuration and starts the process that the role asks for.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::process::cluster::partition::{WorkerPartition, partitions};
use crate::process::cluster::worker;
use crate::process::config::Config;
use crate::process::run;

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The configuration; every key has a default
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    config: PathBuf,
    /// Do a part of the work only
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// Which part of the events a worker reads: 1/2 and 2/2 are all
    #[arg(long, value_name = "I/N", required_if_eq("role", "worker"), requires = "role", conflicts_with = "partitions")]
    partition: Option<WorkerPartition>,
    /// How many workers there are for the correlator
    #[arg(long, value_name = "N", required_if_eq("role", "correlator"), requires = "role", value_parser = partitions)]
    partitions: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Reads and counts events
    Worker,
    /// Makes incidents of what the workers have counted
    Correlator,
}

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let config = Config::read_or_default(&args.config)?;
    match args.partition {
        Some(partition) => worker::main(config, partition),
        None => run::main(config, args.partitions),
    }
}
