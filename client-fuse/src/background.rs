//! Into the background, but only once it is mounted.
//!
//! The process that was called starts itself anew, waits for one line from it, and ends: with success when
//! the line says that all is mounted, else as the new process did, which has said why on standard error.
//!
//! A mount for which nobody waits any more is not made:
//!
//! ```text
//!   mount(8) ──► mount.emberfs ──► daemon        the arrows: who started whom, and waits for it
//!      dies ─signal─►  dies  ─pipe─► ends        unless it is mounted by then
//! ```
//! The signal is asked for first of all. Who had died before that is known by this process's parent being another
//! than it: `emberfs mount` says whom it is to be. Of `mount(8)`, which does not, only the parent at the beginning is
//! known: if that died before, this mounts for nobody.

use std::future::pending;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use etcetera::{BaseStrategy, choose_base_strategy};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::options::MountOptions;

/// Why a mount is given up.
pub(crate) const ABANDONED: &str = "nobody waits for the mount any more: it is given up";
/// The line.
const MOUNTED: &str = "mounted";

/// Starts the daemon, and waits until it is mounted or has failed. `waiter`: the process that started this one, waits
/// for that as well, and does not want the mount any more if it is gone. A shell that ends may want it.
///
/// # Errors
/// If it cannot be started, or the waiter is gone.
pub(crate) fn start(waiter: Option<u32>) -> Result<ExitCode> {
    if let Some(waiter) = waiter {
        set_parent_process_death_signal(Some(Signal::KILL)).context("watching who waits")?;
        ensure!(parent_id() == waiter, ABANDONED);
    }
    let program = std::env::current_exe().context("this program's own file")?;
    let mut daemon = Command::new(program)
        .args(["--foreground", "--announce"])
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the daemon")?;
    let said = daemon.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line).context("listening to the daemon")?;
    if line.trim_end() == MOUNTED {
        return Ok(ExitCode::SUCCESS);
    }
    let status = daemon.wait().context("waiting for the daemon")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// In the daemon, first of all: the terminal's signals are not for it.
///
/// # Errors
/// The system's.
pub(crate) fn leave_terminal() -> io::Result<()> {
    Ok(rustix::process::setsid().map(|_| ())?)
}

/// In the daemon, before it is mounted: returns when nobody waits for that any more.
pub(crate) async fn abandoned() {
    let out = io::stdout().as_fd().try_clone_to_owned();
    match out.and_then(Sender::from_owned_fd) {
        // The one error that a pipe has: nobody is left to read from it.
        Ok(pipe) => while pipe.ready(Interest::ERROR).await.is_ok_and(|now| !now.is_error()) {},
        // What is no pipe, nobody closes.
        Err(_) => pending().await,
    }
}

/// In the daemon: says that it is mounted, then holds on to nothing of whoever started it.
///
/// # Errors
/// The system's; also if nobody waits for it any more.
pub(crate) fn announce() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{MOUNTED}")?;
    out.flush()?;
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    std::env::set_current_dir("/")
}

/// Where the daemon logs if it was not told: root's in `/var/log/emberfs`, others' below their own state.
///
/// # Errors
/// If the user has no home.
pub(crate) fn default_log(options: &MountOptions) -> Result<PathBuf> {
    let path = std::path::absolute(&options.path).context("the mount's path")?;
    let name = path.to_string_lossy().replace('/', "-");
    let directory = if rustix::process::geteuid().is_root() {
        Path::new("/var/log/emberfs").to_owned()
    } else {
        let base = choose_base_strategy().context("no place for a log: -o log=FILE")?;
        base.state_dir().unwrap_or_else(|| base.data_dir()).join("emberfs")
    };
    Ok(directory.join(format!("fuse{name}.log")))
}
