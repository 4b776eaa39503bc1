//! What the exit status says: one table for every command.
//!
//! | status | meaning |
//! | --- | --- |
//! | 0 | done; of `status`: healthy |
//! | 1 | failed; of `status`: degraded, everything can be read and written |
//! | 2 | of `status`: unavailable, something can not be read or written |
//! | 3 | of `status`: cannot tell, the metadata group does not answer |
//! | 64 | wrong usage (sysexits' EX_USAGE) |

use std::io;
use std::process::ExitCode;

use anyhow::Result;

use crate::health::Verdict;

/// Wrong usage.
const USAGE: u8 = 64;
/// Failed.
const FAILED: u8 = 1;
/// The metadata group does not answer.
const UNKNOWN: u8 = 3;

/// What a command ends with, if it does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It did what it was asked.
    Done,
    /// It was `status`.
    Status(Verdict),
    /// It was `status`, and nobody could say.
    StatusUnknown,
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
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn number(end: End) -> u8 {
    match end {
        End::Done | End::Status(Verdict::Healthy) => 0,
        End::Status(Verdict::Degraded) => 1,
        End::Status(Verdict::Unavailable) => 2,
        End::StatusUnknown => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        let verdicts = [Verdict::Healthy, Verdict::Degraded, Verdict::Unavailable];
        assert_eq!(verdicts.map(|verdict| number(End::Status(verdict))), [0, 1, 2]);
        assert_eq!((number(End::Done), number(End::StatusUnknown)), (0, 3));
    }
}
