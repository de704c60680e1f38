//! What a command answers, and where it writes.

use std::io::{IsTerminal, StdoutLock, Write};

use anyhow::Result;

use crate::process::report::incidents_text::Style;

/// What a command answers: exit code 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Good.
    Yes,
    /// The answer is no.
    No,
}

/// Standard output, and how it is styled.
pub(crate) struct Terminal {
    pub(crate) out: StdoutLock<'static>,
    pub(crate) style: Style,
}

impl Terminal {
    /// The standard output of this process.
    pub(crate) fn stdout() -> Self {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out: std::io::stdout().lock(), style: Style { color } }
    }

    /// Prints what was asked for, or why it does not exist.
    pub(crate) fn answer(&mut self, text: Result<String, String>) -> Result<Answer> {
        match text {
            Ok(text) => {
                write!(self.out, "{text}")?;
                Ok(Answer::Yes)
            }
            Err(missing) => {
                writeln!(self.out, "{missing}")?;
                Ok(Answer::No)
            }
        }
    }
}

/// Prints errors in rule files.
pub(crate) fn print_errors(text: &str) {
    // Nothing is left to be done where even this cannot be written.
    drop(std::io::stderr().write_all(text.as_bytes()));
}
