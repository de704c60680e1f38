//! Finds files of tests: `*_test.yaml`, and any YAML in a folder `tests`.

use std::path::{Path, PathBuf};

/// The test files below `path`, sorted. A file that is named is one, whatever it is called.
pub(crate) fn find(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if is_test(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_test(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let named = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("_test"));
    is_yaml && (named || is_tests_folder(path.parent()))
}

fn is_tests_folder(folder: Option<&Path>) -> bool {
    folder.and_then(Path::file_name).is_some_and(|name| name == "tests")
}

/// Where the rules of a test file are that names none: in its folder, or in the one above a folder `tests`.
pub(crate) fn usual_rules(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new(""));
    let folder = if is_tests_folder(Some(folder)) { folder.parent().unwrap_or(Path::new("")) } else { folder };
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_path_buf() }
}
