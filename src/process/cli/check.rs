//! `squelch check`: every error in every rule file.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process::report::diagnostics;
use crate::rule::check::{LoadedRules, load};

/// Loads rules or fails with the number of errors, having printed all of them.
pub fn load_or_explain(paths: &[PathBuf], color: bool, print: &mut dyn FnMut(&str)) -> Result<LoadedRules> {
    match load(paths) {
        Ok(book) => Ok(book),
        Err(complaints) => {
            print(&diagnostics::render(&complaints, color));
            let errors = complaints.diagnostics.len();
            let mut files: Vec<_> = complaints.diagnostics.iter().map(|diagnostic| &diagnostic.file).collect();
            files.dedup();
            bail!("{} in {}", count(errors, "error"), count(files.len(), "file"))
        }
    }
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
