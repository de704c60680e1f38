//! `squelch schema`: the JSON Schema of what squelch publishes.

use std::io::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::io::incident_message::{self, alert_update};
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
    /// A change of an alert, on the stream of alerts
    Alert,
}

pub(crate) fn run(args: &SchemaArgs, terminal: &mut Terminal) -> Result<()> {
    match args.what {
        SchemaOf::Incident => writeln!(terminal.out, "{:#}", incident_message::schema())?,
        SchemaOf::Alert => writeln!(terminal.out, "{:#}", alert_update::schema())?,
    }
    Ok(())
}
