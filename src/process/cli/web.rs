//! `squelch web`: reads the configuration and shows what was published.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::process::config::Config;
use crate::process::web::alone;

#[derive(Args, Debug)]
pub(crate) struct WebArgs {
    /// The configuration; every key has a default
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    config: PathBuf,
}

pub(crate) fn run(args: &WebArgs) -> Result<()> {
    alone::main(Config::read_or_default(&args.config)?)
}
