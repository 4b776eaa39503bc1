//! A directory of which nothing is left when it is dropped, nor when the test program is killed.
//!
//! A program that is killed from outside, by a keyboard, a time limit or kill -9, runs no destructor, and servers
//! that `emberfs up` started are not even its children. So for each such directory there is a process, `sweeper`
//! (`sweeper/main.rs`), that reads from a pipe to whose other end only the test program holds on. When that
//! closes, or the program is seen to be dying, it [`sweep`]s. In order or not, it is the same way.
//!
//! Whatever is started about a cluster has the directory of its configuration in its environment, and hands that
//! on to what it starts: by this a process is known to be the test's own.
//!
//! Rejected: `PR_SET_PDEATHSIG`, which needs `unsafe`, strikes when the *thread* ends that started a child, and
//! is not inherited by the children of `emberfs up`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{panicking, park_timeout};
use std::time::{Duration, Instant};
use std::{fs, io};

use emberfs_client_fuse_mounts::{Mount, MountTable};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::local::program;

/// The variable by which a process is known.
pub const VARIABLE: &str = "EMBERFS_CONFIG_DIR";

/// Far beyond what killed processes take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a process has ended.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Such a directory, with its sweeper.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    sweeper: Child,
}

impl Scratch {
    /// A new one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        let path = tempfile::tempdir().expect("a temporary directory").keep();
        let mut sweeper = Command::new(program("sweeper"));
        // In a group of its own: what interrupts the test does not reach it.
        sweeper.arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let sweeper = sweeper.spawn().expect("it starts");
        Self { path, sweeper }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Closes the pipe first.
        let swept = self.sweeper.wait().expect("it is a child");
        assert!(swept.success() || panicking(), "{} is left", self.path.display());
    }
}

/// Ends all that was started with a variable that leads into `directory`, unmounts what is mounted below it, and
/// removes it.
///
/// # Errors
/// The system's; when something cannot be ended or unmounted, and then nothing is removed.
pub fn sweep(directory: &Path) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let mounts = mounts_below(directory)?;
        for mount in &mounts {
            // By force: who waits for a daemon that hangs can end. It may just have unmounted it by itself.
            let umount = &mut Command::new("umount");
            let _left = umount.args(["-l", "-f"]).arg(mount).stderr(Stdio::null()).status();
        }
        // Whatever one look found may just have started something else.
        let processes = processes_of(directory)?;
        if processes.is_empty() && mounts.is_empty() {
            return fs::remove_dir_all(directory);
        }
        if begun.elapsed() > PATIENCE {
            let left = format!("{}: {processes:?} and {mounts:?} are left", directory.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, left));
        }
        processes.into_iter().for_each(|process| kill(process, directory));
        park_timeout(LOOK_EVERY);
    }
}

/// Kills a process of `directory`; one that ended by itself is as dead as it should be, and whoever has its number
/// then is somebody else.
fn kill(process: Pid, directory: &Path) {
    let Ok(held) = pidfd_open(process, PidfdFlags::empty()) else { return };
    if is_of(process, directory) {
        let _ended = pidfd_send_signal(held, Signal::KILL);
    }
}

/// The programs of ours, and what holds them in namespaces of their own, that were started with a variable that
/// leads into `directory`. They are known by their names first: the kernel does not tell the variables of a process
/// that is just becoming another, and so might wait for a mount that hangs.
///
/// # Errors
/// The system's.
pub fn processes_of(directory: &Path) -> io::Result<Vec<Pid>> {
    let listed = fs::read_dir("/proc")?.filter_map(Result::ok);
    let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_of = |process: &Pid| is_of(*process, directory);
    Ok(numbers.filter_map(Pid::from_raw).filter(is_of).collect())
}

fn is_of(process: Pid, directory: &Path) -> bool {
    let mark = [VARIABLE.as_bytes(), b"=", directory.as_os_str().as_bytes(), b"/"].concat();
    // Another user's is not ours, and one that has ended has none.
    let of = |file| fs::read(format!("/proc/{}/{file}", process.as_raw_nonzero()));
    let name = of("comm").unwrap_or_default();
    if !name.starts_with(b"emberfs") && name != b"unshare\n" {
        return false;
    }
    let variables = of("environ").unwrap_or_default();
    variables.split(|byte| *byte == 0).any(|variable| variable.starts_with(&mark))
}

/// What is mounted below `directory`, the last one first.
fn mounts_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let table = MountTable::read()?;
    let places = table.mounts().iter().rev().map(Mount::place);
    Ok(places.filter(|place| place.starts_with(directory)).collect())
}
