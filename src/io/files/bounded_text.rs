//! A file's text, of which only so much is read: what is called a file may be a pipe or a device that never ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The whole text of a file of at most `bytes_max` bytes.
///
/// # Errors
///
/// The file system's; it is longer; it is no UTF-8.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {bytes_max} bytes")));
    }
    Ok(text)
}
