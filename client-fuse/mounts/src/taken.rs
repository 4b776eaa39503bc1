//! Why nothing is mounted at a path: a mount of ours is there, or above.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use rustix::process::Pid;

/// What is there, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A mount with its daemon.
    Served {
        /// Where.
        path: PathBuf,
    },
    /// A mount whose daemon is not heard; this process may be it.
    Unheard {
        /// Where.
        path: PathBuf,
        /// Which.
        process: Pid,
    },
    /// A mount without a daemon, as far as this user can tell.
    Dead {
        /// Where.
        path: PathBuf,
    },
    /// A mount into which the path leads.
    Below {
        /// Which path.
        path: PathBuf,
        /// Where it is mounted.
        mount: PathBuf,
    },
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served { path } => write!(f, "{} is mounted already", path.display()),
            Self::Unheard { path, process } => write!(
                f,
                "{0} is mounted already, it seems by process {1}, which is not heard from here: it may be in \
                 another network namespace. If the mount hangs: `emberfs umount --force {0}`",
                path.display(),
                process.as_raw_nonzero()
            ),
            Self::Dead { path } => write!(
                f,
                "{0} is a mount without a daemon, or another user's: `emberfs umount --force {0}`",
                path.display()
            ),
            Self::Below { path, mount } => write!(
                f,
                "{} lies in the mount at {}: a mount in it would hang with it",
                path.display(),
                mount.display()
            ),
        }
    }
}

impl Error for Taken {}
