//! Lookup files as they lie on disk.

use std::path::{Path, PathBuf};

/// Whether a file holds a lookup, by its ending.
pub fn is_lookup(path: &Path) -> bool {
    path.extension().and_then(|ext| ext.to_str()).is_some_and(|ext| ["csv", "yaml", "yml"].contains(&ext))
}

/// The lookup files of a folder, sorted by path.
///
/// # Errors
///
/// The folder cannot be read.
pub fn find(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if is_lookup(&path) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
