//! The daemons of this machine's mounts: found, listened to, ended.
//!
//! Each has a socket in the abstract name space, `@emberfs-mount/DEVICE/PROCESS`; what it says there is
//! described with the daemon, in `client-fuse/src/presence.rs`. A daemon outlives its mount for as long as it
//! writes what is left, so one that is waited for may be of a path where nothing is mounted any more.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::spinner::Spinner;

/// How the names of their sockets begin in `/proc/net/unix`.
const NAMES: &str = "@emberfs-mount/";
/// What the kernel calls a daemon: its program's name, or that of a link to it, in 15 bytes.
const PROGRAMS: [&str; 3] = ["emberfs-fuse", "mount.emberfs", "mount.fuse.embe"];
/// How long one may take to say what it does, before it is taken for hung.
const FIRST_WORDS: Duration = Duration::from_secs(2);
/// How often one that closed its connection is looked at: it is about to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long one may take to end after each signal that ends it at once.
const GIVES_UP: Duration = Duration::from_secs(2);
/// Signals that end it at once (a count): the first may be the one that asks it to end.
const SIGNALS_MAX: u32 = 3;

/// One of them.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The device of its file system, as in `/proc/self/mountinfo`.
    pub(crate) device: String,
    /// Its cluster's id.
    pub(crate) cluster: String,
    /// Where it is, or was, mounted, as in `/proc/self/mountinfo`.
    pub(crate) path: String,
    pid: Pid,
    process: OwnedFd,
    lines: Lines<BufReader<UnixStream>>,
    said: Said,
}

/// What it said last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Mounted,
    Writing(String),
    Done,
    Lost(String),
}

/// How long daemons are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting<'a> {
    /// How long.
    pub(crate) time: Duration,
    /// Whether what is not written then is given up.
    pub(crate) gives_up: bool,
    /// The command that waits, for its hints.
    pub(crate) command: &'a str,
}

/// All that run on this machine and answer this user.
pub(crate) async fn all() -> Vec<Daemon> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    // Side by side: those that hang are waited for once.
    let found = join_all(names(&table).into_iter().map(Daemon::connect)).await;
    found.into_iter().flatten().collect()
}

/// The names of their sockets, each once: connections have them too.
fn names(table: &str) -> BTreeSet<&str> {
    let names = table.lines().filter_map(|line| line.split_ascii_whitespace().nth(7));
    names.filter(|name| name.starts_with(NAMES)).collect()
}

/// Waits until these are gone: then all that was written to their mounts is safe.
///
/// # Errors
/// Who is not gone and why, or what is lost.
pub(crate) async fn until_gone(daemons: Vec<Daemon>, how: Waiting<'_>) -> Result<()> {
    let (spinner, deadline) = (Spinner::new(), Instant::now() + how.time);
    for mut daemon in daemons {
        if how.gives_up && daemon.serves() {
            daemon.signal()?;
        }
        if !daemon.ends_before(deadline, &spinner).await {
            if !how.gives_up {
                let (seconds, again) = (how.time.as_secs_f32(), how.command);
                bail!(
                    "after {seconds} s {daemon}. It goes on, and loses nothing while it lives: \
                     `{again} --timeout SECONDS` waits for longer, `{again} --force` gives up \
                     what is not written"
                );
            }
            daemon.end(&spinner).await?;
        }
        match &daemon.said {
            Said::Done => {}
            Said::Lost(what) => bail!("{}: {what}", daemon.path),
            _ => bail!(
                "{}: its daemon (process {}) died before it had written all; its log says more",
                daemon.path,
                daemon.pid.as_raw_nonzero()
            ),
        }
    }
    Ok(())
}

impl Daemon {
    /// That of this socket. Anybody may take any name: those of other users are believed by root only.
    async fn connect(name: &str) -> Option<Self> {
        let stream = UnixStream::connect(format!("\0{}", &name[1..])).await.ok()?;
        let peer = stream.peer_cred().ok()?;
        let ours = geteuid();
        if !ours.is_root() && peer.uid() != 0 && peer.uid() != ours.as_raw() {
            return None;
        }
        let pid = Pid::from_raw(peer.pid()?)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // The number is from when it began to listen: that process may be gone, and the number another's by now.
        if !is_daemon(pid, peer.uid()) {
            return None;
        }
        let mut daemon = Self {
            device: name.split('/').nth(1)?.to_owned(),
            cluster: String::new(),
            path: name.to_owned(),
            pid,
            process,
            lines: BufReader::new(stream).lines(),
            said: Said::Nothing,
        };
        // One that hangs is found all the same, by its device.
        let _hung = timeout(FIRST_WORDS, daemon.introduce()).await;
        Some(daemon)
    }

    async fn introduce(&mut self) -> Option<()> {
        let first = self.lines.next_line().await.ok()??;
        let (cluster, path) = first.split_once(' ')?;
        (self.cluster, self.path) = (cluster.to_owned(), printable(path));
        let line = self.lines.next_line().await.ok()??;
        self.hear(&line);
        Some(())
    }

    /// Whether it is that of the mount of this device at `here`, as `/proc/self/mountinfo` has both. A device's number
    /// is given again as soon as it is free, while whoever served the one before still writes.
    pub(crate) fn is_of(&self, device: &str, here: &str) -> bool {
        let ends = !matches!(self.said, Said::Nothing | Said::Mounted);
        self.device == device && (!ends || self.path == here)
    }

    /// Whether it is known to be another cluster's than this. One that hangs has not said it.
    pub(crate) fn is_of_other(&self, cluster: Option<&str>) -> bool {
        !self.cluster.is_empty() && Some(self.cluster.as_str()) != cluster
    }

    /// Whether its mount is in use.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.said, Said::Mounted)
    }

    fn hear(&mut self, line: &str) {
        let (word, words) = line.split_once(' ').unwrap_or((line, ""));
        self.said = match word {
            "mounted" => Said::Mounted,
            "writing" => Said::Writing(printable(words)),
            "done" => Said::Done,
            "lost" => Said::Lost(printable(words)),
            _ => Said::Nothing,
        };
    }

    /// Listens until its process is gone; `false` if it is not at `deadline`.
    async fn ends_before(&mut self, deadline: Instant, spinner: &Spinner) -> bool {
        loop {
            spinner.say(format!("waiting: {self}"));
            match timeout_at(deadline, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => self.hear(&line),
                // The connection ends with the process.
                Ok(_) => break,
                Err(_) => return false,
            }
        }
        while !self.is_gone() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Whether its process has ended, though its parent may not have taken note.
    fn is_gone(&self) -> bool {
        let mut end = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut end, Some(&Timespec::default())).is_ok_and(|ended| ended > 0)
    }

    /// Ends it, whatever it holds.
    async fn end(&mut self, spinner: &Spinner) -> Result<()> {
        for _ in 0..SIGNALS_MAX {
            self.signal()?;
            if self.ends_before(Instant::now() + GIVES_UP, spinner).await {
                return Ok(());
            }
        }
        bail!(
            "{self}: it does not heed signals; `kill -9 {}` loses what it holds",
            self.pid.as_raw_nonzero()
        );
    }

    fn signal(&self) -> Result<()> {
        match pidfd_send_signal(&self.process, Signal::TERM) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => sent.with_context(|| format!("{}: ending its daemon", self.path)),
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: its daemon (process {}) ", self.path, self.pid.as_raw_nonzero())?;
        match &self.said {
            Said::Nothing => f.write_str("does not answer"),
            Said::Mounted => f.write_str("still serves: it is in use, or mounted elsewhere too"),
            Said::Writing(nothing) if nothing.is_empty() => {
                f.write_str("has written all, and takes its leave")
            }
            Said::Writing(what) => write!(f, "still writes {what}"),
            Said::Done => f.write_str("has written all, and ends"),
            Said::Lost(what) => write!(f, "ends: {what}"),
        }
    }
}

/// Whether a process is a mount's daemon of this user: nobody else is ever sent a signal.
fn is_daemon(pid: Pid, user: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let owner = std::fs::metadata(&process).map(|process| process.uid());
    PROGRAMS.contains(&name.trim_end()) && owner.is_ok_and(|owner| owner == user)
}

/// Without what would move the terminal.
fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_daemons_are_found_once_each() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 11 @emberfs-mount/0:57/7\n\
            0000: 00000003 00000000 00000000 0001 03 12 @emberfs-mount/0:57/7\n\
            0000: 00000003 00000000 00000000 0001 03 13\n\
            0000: 00000002 00000000 00010000 0001 01 14 /run/emberfs-mount/0:57/7\n\
            0000: 00000002 00000000 00010000 0001 01 15 @emberfs-mount/0:58/9\n";
        let found: Vec<_> = names(table).into_iter().collect();
        assert_eq!(found, ["@emberfs-mount/0:57/7", "@emberfs-mount/0:58/9"]);
    }

    #[tokio::test]
    async fn who_serves_is_told_from_who_had_the_same_device_before() {
        let (stream, _other) = UnixStream::pair().expect("a pair");
        let process = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).expect("it runs");
        let mut daemon = Daemon {
            device: "0:57".to_owned(),
            cluster: String::new(),
            path: "/a".to_owned(),
            pid: rustix::process::getpid(),
            process,
            lines: BufReader::new(stream).lines(),
            said: Said::Nothing,
        };
        assert!(daemon.is_of("0:57", "/b"), "it may hang");
        daemon.hear("mounted");
        assert!(daemon.is_of("0:57", "/b"), "it may have been moved");
        assert!(!daemon.is_of("0:58", "/a"));
        daemon.hear("writing");
        assert!(daemon.is_of("0:57", "/a") && !daemon.is_of("0:57", "/b"));
        assert!(daemon.to_string().ends_with("has written all, and takes its leave"), "{daemon}");
        daemon.hear("writing 1 file, 7 bytes");
        assert!(daemon.to_string().ends_with("still writes 1 file, 7 bytes"), "{daemon}");
    }

    #[test]
    fn a_process_of_another_name_is_no_daemon() {
        assert!(!is_daemon(rustix::process::getpid(), geteuid().as_raw()));
    }

    #[test]
    fn words_move_no_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r"), "a?[2Jb?");
    }
}
