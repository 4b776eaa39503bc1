//! How a program ends: with status 0, or with words on standard error and status 1, or 64 for wrong usage.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Wrong usage (sysexits' EX_USAGE), as with every command of ours.
const USAGE: u8 = 64;

/// The exit status of a program that did this; why it failed is said.
pub fn of<E: AsRef<dyn Error>>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&words(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The exit status of a program that answers this, which is printed. Where nobody reads on nothing is wrong.
#[must_use]
pub fn of_answer(answer: &str) -> ExitCode {
    let mut out = io::stdout();
    match writeln!(out, "{answer}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell(&format_args!("standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn tell(why: &dyn Display) {
    // A closed standard error has nobody to tell.
    let _nobody = writeln!(io::stderr(), "error: {why}");
}

/// The exit status of a command line that was not understood, which is explained; asking for help is no mistake.
#[must_use]
pub fn of_usage(error: &clap::Error) -> ExitCode {
    // A closed standard output has nobody to tell.
    let _nobody = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// An error and what caused it, each said once: many an error's own words have its cause in them.
#[must_use]
pub fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error as ThisError;

    #[derive(Debug, ThisError)]
    enum Example {
        #[error("a.toml: {source}")]
        Saying { source: io::Error },
        #[error("not started")]
        Silent { source: io::Error },
    }

    #[test]
    fn a_cause_is_said_once() {
        let source = || io::Error::other("no room");
        assert_eq!(words(&Example::Saying { source: source() }), "a.toml: no room");
        assert_eq!(words(&Example::Silent { source: source() }), "not started: no room");
    }
}
