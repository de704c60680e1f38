//! `squelch check`: every error in every rule file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::model::local_time::Zone;
use crate::process::cli::answer::{Answer, Terminal};
use crate::process::load_rules::{load_rules_with, lookups_folder};
use crate::process::report::plural::count;

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Folders or files of rules
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// The folder of lookups that rules join [default: lookups, where it is there]
    #[arg(long, value_name = "DIR")]
    lookups: Option<PathBuf>,
}

pub(crate) fn run(args: &CheckArgs, terminal: &mut Terminal) -> Result<Answer> {
    for path in &args.paths {
        std::fs::metadata(path)
            .with_context(|| format!("cannot check {}: name a folder of rules or a rule file", path.display()))?;
    }
    let mut errors = String::new();
    match load_rules_with(
        &args.paths,
        lookups_folder(args.lookups.as_deref()).as_deref(),
        Zone::default(),
        terminal.style.color,
        &mut |text| errors.push_str(text),
    ) {
        Ok(rules) => {
            writeln!(terminal.out, "{}: good", count(rules.rules.len(), "rule"))?;
            Ok(Answer::Yes)
        }
        Err(error) => {
            writeln!(terminal.out, "{errors}{error}")?;
            Ok(Answer::No)
        }
    }
}
