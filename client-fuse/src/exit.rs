//! What the exit status says. `mount(8)` passes that of `mount.emberfs` on, so there its table holds.
//!
//! | status | meaning |
//! | --- | --- |
//! | 0 | mounted; in the foreground: unmounted, and all that was written is safe |
//! | 64 | wrong usage (sysexits' EX_USAGE), as with every command of ours |
//! | 1 | wrong usage of `mount.emberfs`: 64 is `mount(8)`'s "some mount succeeded" |
//! | 32 | failed, of `mount(8)`: the mount failed |
//! | 75 | ended before all was written: bytes are lost (sysexits' EX_TEMPFAIL) |

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Error, Result};

use crate::closing::Lost;
use crate::options::OptionError;

/// Wrong usage.
const USAGE: u8 = 64;
/// Wrong usage, of `mount(8)`.
const MOUNT_USAGE: u8 = 1;
/// What `mount(8)` takes as: the mount failed.
const MOUNT_FAILED: u8 = 32;
/// Ended before all was written.
const BYTES_LOST: u8 = 75;

/// Who calls this program, by the name that it is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// `mount(8)`: `/sbin/mount.emberfs`.
    Mount,
    /// Anybody else.
    User,
}

impl Caller {
    /// By the command line's first word.
    #[must_use]
    pub fn of(program: &OsStr) -> Self {
        let name = Path::new(program).file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b"mount.") { Self::Mount } else { Self::User }
    }

    /// The exit status of a command line that was not understood, which is explained; asking for help is no
    /// mistake.
    #[must_use]
    pub fn exit_of_usage(self, error: &clap::Error) -> ExitCode {
        // A closed standard output has nobody to tell.
        let _nobody = error.print();
        if error.use_stderr() { self.wrong_usage().into() } else { ExitCode::SUCCESS }
    }

    /// The exit status of all that was done; why it failed is said.
    #[must_use]
    pub fn exit_of(self, done: Result<ExitCode>) -> ExitCode {
        done.unwrap_or_else(|error| {
            let _unheard = writeln!(io::stderr(), "emberfs-fuse: {}", words(&error));
            self.status(&error).into()
        })
    }

    fn status(self, error: &Error) -> u8 {
        match error {
            error if error.is::<Lost>() => BYTES_LOST,
            error if error.is::<OptionError>() => self.wrong_usage(),
            _ => MOUNT_FAILED,
        }
    }

    fn wrong_usage(self) -> u8 {
        match self {
            Self::Mount => MOUNT_USAGE,
            Self::User => USAGE,
        }
    }
}

/// An error with its causes; many say their cause themselves.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.ends_with(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_usage_is_told_from_failure_as_each_caller_expects() {
        let status = |program: &str, error: Error| Caller::of(OsStr::new(program)).status(&error);
        let wrong = || Error::from(OptionError::Unknown { option: "x".to_owned() });
        for program in ["emberfs-fuse", "/mount.d/emberfs-fuse", ""] {
            assert_eq!(status(program, wrong()), 64, "{program}");
        }
        for program in ["/sbin/mount.emberfs", "mount.fuse.emberfs"] {
            assert_eq!(status(program, wrong()), 1, "{program}");
            assert_eq!(status(program, Error::msg("no such directory")), 32, "{program}");
        }
    }
}
