//! A user's mapping of signals as a YAML file. Its lines come before those that ship.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::io::files::bounded_text;
use crate::model::diagnostic::report::Report;
use crate::model::limits::SIGNALS_FILE_BYTES_MAX;
use crate::model::signal::mapping::SignalMapping;
use crate::model::signal::reader;

/// The file is no mapping.
#[derive(Debug, thiserror::Error)]
pub enum SignalsFileError {
    /// It could not be read.
    #[error("cannot read the mapping of signals {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It is not of the expected shape.
    #[error("{0}")]
    Wrong(Report),
}

/// The text of a mapping.
pub fn read_text(path: &Path) -> Result<String, SignalsFileError> {
    let fail = |cause| SignalsFileError::Read { path: path.to_path_buf(), cause };
    bounded_text::read(path, SIGNALS_FILE_BYTES_MAX).map_err(fail)
}

/// The mapping of a text, before the lines that ship.
pub fn parse(text: &str, path: &Path) -> Result<Arc<SignalMapping>, SignalsFileError> {
    match reader::read(text) {
        Ok(lines) => Ok(Arc::new(SignalMapping::with_shipped(lines))),
        Err(errors) => Err(SignalsFileError::Wrong(Report::of_file(path, text, errors))),
    }
}
