//! Files that a command makes.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes a file, and the folders above it that are missing.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
