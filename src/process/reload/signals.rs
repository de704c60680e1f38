//! A mapping of signals that changes while squelch runs. Its file is checked with the rule files, and a new mapping goes to the decoder with
//! the rules, between two batches. A bad version changes nothing: the last good one stays in force.

use std::path::PathBuf;
use std::sync::Arc;

use crate::io::files::signals_file::{self, SignalsFileError};
use crate::model::signal::mapping::SignalMapping;
use crate::process::reload::file_watcher::changed;

/// Knows what the file contained last.
#[derive(Clone, Debug)]
pub struct SignalsFile {
    path: PathBuf,
    /// Its text, or why it cannot be read.
    seen: Result<String, String>,
}

impl SignalsFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// It is bad.
    pub fn open(path: PathBuf) -> Result<(Self, Arc<SignalMapping>), SignalsFileError> {
        let text = signals_file::read_text(&path)?;
        let mapping = signals_file::parse(&text, &path)?;
        Ok((Self { path, seen: Ok(text) }, mapping))
    }

    /// Checks the file. Returns its mapping, if that is new and good. With `settle` it waits until the file stays the same.
    pub fn check(&mut self, settle: bool) -> Option<Arc<SignalMapping>> {
        let now = changed(&self.seen, settle, || signals_file::read_text(&self.path).map_err(with_cause))?;
        let parse = |text: &String| signals_file::parse(text, &self.path).map_err(with_cause);
        let mapping = now.as_ref().map_err(Clone::clone).and_then(parse);
        self.seen = now;
        match mapping {
            Ok(mapping) => {
                tracing::info!("the mapping of signals was reloaded");
                Some(mapping)
            }
            Err(error) => {
                error.lines().for_each(|line| tracing::error!("{line}"));
                tracing::error!("the mapping of signals is bad: its last good version stays in force");
                None
            }
        }
    }
}

fn with_cause(error: SignalsFileError) -> String {
    match &error {
        SignalsFileError::Read { cause, .. } => format!("{error}: {cause}"),
        SignalsFileError::Wrong(_) => error.to_string(),
    }
}
