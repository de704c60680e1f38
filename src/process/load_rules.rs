//! Loads rule files for any command, or reports all of their errors.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::model::local_time::Zone;
use crate::process::report::plural::count;
use crate::rule::check::{LoadedRules, load_with};

/// The folder of lookups: the one that is named, else `lookups` where there is one.
pub(crate) fn lookups_folder(named: Option<&Path>) -> Option<PathBuf> {
    let usual = Path::new("lookups");
    named.or_else(|| usual.is_dir().then_some(usual)).map(Path::to_path_buf)
}

/// Loads the rules with the usual lookups. Prints every error of every file.
///
/// # Errors
///
/// There are errors; their number.
pub(crate) fn load_rules(paths: &[PathBuf], color: bool, print: &mut dyn FnMut(&str)) -> Result<LoadedRules> {
    load_rules_with(paths, lookups_folder(None).as_deref(), Zone::default(), color, print)
}

/// Loads the rules, with the lookups in a folder, and the time zone of rules that name none. Prints every error of every file.
///
/// # Errors
///
/// There are errors; their number.
pub(crate) fn load_rules_with(
    paths: &[PathBuf],
    lookups: Option<&Path>,
    zone: Zone,
    color: bool,
    print: &mut dyn FnMut(&str),
) -> Result<LoadedRules> {
    match load_with(paths, lookups, zone) {
        Ok(rules) => Ok(rules),
        Err(report) => {
            print(&report.render(color));
            bail!("{} in {}", count(report.errors(), "error"), count(report.files().count(), "file"))
        }
    }
}
