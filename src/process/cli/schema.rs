//! `squelch schema`: the JSON Schema of what squelch publishes.

use std::io::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::io::incident_message;
use crate::process::cli::answer::Terminal;

#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {
    /// Which message
    #[arg(value_enum)]
    what: SchemaOf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// A revision of an incident
    Incident,
}

pub(crate) fn run(args: &SchemaArgs, terminal: &mut Terminal) -> Result<()> {
    match args.what {
        SchemaOf::Incident => writeln!(terminal.out, "{:#}", incident_message::schema())?,
    }
    Ok(())
}
