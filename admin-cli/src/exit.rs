//! What the exit status says: one table for every command.
//!
//! | status | meaning |
//! | --- | --- |
//! | 0 | done; of `status` and `up`: healthy; of `check`: every replica is whole |
//! | 1 | failed; of `status` and `up`: degraded, everything can be read and written; of `check`: something is wrong |
//! | 2 | of `status` and `up`: unavailable, something can not be read or written |
//! | 3 | of `status` and `check`: cannot tell, as somebody who must be asked does not answer |
//! | 64 | wrong usage (sysexits' EX_USAGE) |
//! | 130 | of `cp`: stopped by Ctrl-C, SIGTERM or SIGHUP, once what was under way is taken back; of `bench`, once what it made is removed |

use std::fmt;
use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

use anyhow::Result;

use crate::health::Verdict;

/// Wrong usage.
pub(crate) const USAGE: u8 = 64;
/// Failed.
const FAILED: u8 = 1;
/// What shells make of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// Nobody can say.
const UNKNOWN: u8 = 3;

/// What a command ends with, if it does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It did what it was asked.
    Done,
    /// It was `status`, or `up`, which has started all it can.
    Status(Verdict),
    /// Some of it failed, which was said.
    Failed,
    /// Somebody stopped it.
    Interrupted,
    /// It was `check`, and something is wrong.
    Damaged,
    /// It was `status` or `check`, and nobody could say.
    Unknown,
}

/// The exit status of a command line that was not understood, which is explained; asking for help is no
/// mistake.
pub(crate) fn of_usage(error: &clap::Error) -> ExitCode {
    // A closed standard output has nobody to tell.
    let _nobody = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// The exit status of a command; why it failed is said.
pub(crate) fn of(result: Result<End>) -> ExitCode {
    match result {
        Ok(end) => ExitCode::from(number(end)),
        // `emberfs ls | head`: nobody reads on, and nothing is wrong.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {}", words(&error)));
            ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
        }
    }
}

/// Says a line on standard error. A terminal that has gone takes none, which ends nothing that still goes on.
pub(crate) fn say(line: &str) {
    let _nobody = writeln!(io::stderr(), "{line}");
}

/// Prints a line of what was asked for.
///
/// # Errors
/// The system's, as when a pipe is closed.
pub(crate) fn print(line: &str) -> io::Result<()> {
    writeln!(out(), "{line}")
}

/// Standard output, whose errors say that they are its: that a disk here is full is not to be read as if the cluster
/// were.
#[derive(Debug)]
pub(crate) struct Out<W>(W);

/// Takes standard output, for what was asked for.
pub(crate) fn out() -> Out<StdoutLock<'static>> {
    Out(io::stdout().lock())
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| of_out(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| of_out(&error))
    }
}

fn of_out(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: {error}"))
}

/// An error and what caused it, each said once: many an error's own words have its cause in them.
pub(crate) fn words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, words| {
        match said.contains(&words) {
            true => said,
            false if said.is_empty() => words,
            false => format!("{said}: {words}"),
        }
    })
}

/// What is wrong with a command line that was understood.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Whether it failed as nobody reads on.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn number(end: End) -> u8 {
    match end {
        End::Done | End::Status(Verdict::Healthy) => 0,
        End::Status(Verdict::Degraded) => 1,
        End::Status(Verdict::Unavailable) => 2,
        End::Damaged | End::Failed => FAILED,
        End::Interrupted => INTERRUPTED,
        End::Unknown => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(io::Error::other("no room")).context("a: no room").context("b");
        assert_eq!(words(&error.expect_err("as made")), "b: a: no room");
    }

    /// `/dev/full` on standard output, which no test has.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn what_standard_output_takes_not_is_said_of_it() {
        let full = anyhow::Error::from(Out(Full).write_all(b"a").expect_err("full"));
        assert!(words(&full).starts_with("standard output: no storage"), "{}", words(&full));
        assert!(is_closed_pipe(&Out(Full).flush().expect_err("closed").into()));
    }

    #[test]
    fn the_table_holds() {
        let verdicts = [Verdict::Healthy, Verdict::Degraded, Verdict::Unavailable];
        assert_eq!(verdicts.map(|verdict| number(End::Status(verdict))), [0, 1, 2]);
        assert_eq!([End::Done, End::Damaged, End::Unknown].map(number), [0, 1, 3]);
        assert_eq!([End::Failed, End::Interrupted].map(number), [1, 130]);
    }
}
