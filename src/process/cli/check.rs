//! `squelch check`: every error in every rule file.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::rule::check::{LoadedRules, load};

/// Loads rules or fails with the number of errors, having printed all of them.
pub fn load_or_explain(paths: &[PathBuf], color: bool, print: &mut dyn FnMut(&str)) -> Result<LoadedRules> {
    match load(paths) {
        Ok(book) => Ok(book),
        Err(report) => {
            print(&report.render(color));
            bail!("{} in {}", count(report.errors(), "error"), count(report.files().count(), "file"))
        }
    }
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
