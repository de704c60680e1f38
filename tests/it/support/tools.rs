//! Programs of others that tests run beside squelch. `scripts/test-tools` installs them; a test that misses one fails and says so.

use std::path::PathBuf;
use std::process::Command;

/// How to get what is missing.
const INSTALL: &str = "install what the tests need with ./scripts/test-tools";

/// The Python that has the packages listed in `scripts/test-tools`.
pub fn python() -> Command {
    let cache = || {
        let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from)
    };
    let python = std::env::var_os("TEST_PYTHON").map_or_else(|| cache().join("squelch-test-python/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: {INSTALL}", python.display());
    Command::new(python)
}

/// The program with this name.
pub fn program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    assert!(std::env::split_paths(&path).any(|dir| dir.join(name).exists()), "{name} is not on the PATH: {INSTALL}");
    Command::new(name)
}
