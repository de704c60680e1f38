//! Loads rule files for any command, or reports all of their errors.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process::report::plural::count;
use crate::rule::check::{LoadedRules, load};

/// Loads the rules. Prints every error of every file.
///
/// # Errors
///
/// There are errors; their number.
pub(crate) fn load_rules(paths: &[PathBuf], color: bool, print: &mut dyn FnMut(&str)) -> Result<LoadedRules> {
    match load(paths) {
        Ok(rules) => Ok(rules),
        Err(report) => {
            print(&report.render(color));
            bail!("{} in {}", count(report.errors(), "error"), count(report.files().count(), "file"))
        }
    }
}
