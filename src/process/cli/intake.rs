//! `squelch intake`: reads the configuration and takes in what senders post.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::process::config::Config;
use crate::process::intake::alone;

#[derive(Args, Debug)]
pub(crate) struct IntakeArgs {
    /// The configuration; every key has a default
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    config: PathBuf,
}

pub(crate) fn run(args: &IntakeArgs) -> Result<()> {
    alone::main(Config::read_or_default(&args.config)?)
}
