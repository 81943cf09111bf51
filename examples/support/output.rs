//! Lines on standard output, whose reader may go away.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use tilegrad::{Error, Result};

use super::report;

/// Prints a line on standard output.
pub fn line(text: impl Display) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|error| Error::io("standard output", error))
}

/// Returns the exit code of an example that prints by [`line`]. A reader that wants no more, such as `head`, is no error.
pub fn ended(result: Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => report(Err(error)),
    }
}
