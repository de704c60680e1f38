//! Golden files: `UPDATE_EXPECT=1` rewrites them.

use std::path::Path;

/// Fails unless `got` is what the file holds.
pub fn expect_file(path: &Path, got: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, got).expect("the expectation can be written");
        return;
    }
    let want =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}; UPDATE_EXPECT=1 makes it", path.display()));
    if let Some(difference) = first_difference(&want, got) {
        panic!("{} differs (UPDATE_EXPECT=1 rewrites it):\n{difference}", path.display());
    }
}

/// The first line that differs, with its number.
pub fn first_difference(want: &str, got: &str) -> Option<String> {
    if want == got {
        return None;
    }
    let (mut want_lines, mut got_lines) = (want.lines(), got.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (want_lines.next(), got_lines.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return Some("the line breaks differ".into()),
            (a, b) => {
                return Some(format!(
                    "line {number}\n  want: {}\n  got:  {}",
                    a.unwrap_or("(nothing)"),
                    b.unwrap_or("(nothing)")
                ));
            }
        }
    }
}
