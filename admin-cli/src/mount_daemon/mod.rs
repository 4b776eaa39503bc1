//! The daemons of this machine's mounts: found, listened to, ended.
//!
//! Each has a socket in the abstract name space; where, and what it says there, is described in
//! `client-fuse/mounts/src/socket.rs` and `said.rs`. A daemon outlives its mount for as long as it writes what is left,
//! so one that is waited for may be of a path where nothing is mounted any more.

mod outlook;

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use emberfs_client_fuse_mounts::{Said, Socket, Unheard, has_ended, is_daemon, sockets};
use futures_util::future::join_all;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::exit::{say, words};
use crate::printable::printable;
use crate::spinner::Spinner;

/// How long one may take to say what it does, before it is taken for hung.
const FIRST_WORDS: Duration = Duration::from_secs(2);
/// How often one that closed its connection is looked at: it is about to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Before this nobody wonders what is waited for.
const FIRST_LINE: Duration = Duration::from_secs(1);
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
    /// What it said last; `None`: nothing.
    said: Option<Said>,
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

/// All that run on this machine and answer this user: asked once, and then taken out one by one.
#[derive(Debug)]
pub(crate) struct Daemons {
    left: Vec<Daemon>,
    /// Of all that were found.
    processes: Vec<Pid>,
}

impl Daemons {
    /// Asks them.
    pub(crate) async fn find() -> Self {
        // Side by side: those that hang are waited for once.
        let found = join_all(sockets().into_iter().map(Daemon::connect)).await;
        let left: Vec<_> = found.into_iter().flatten().collect();
        let processes = left.iter().map(|daemon| daemon.pid).collect();
        Self { left, processes }
    }

    /// Takes those that may be of the mount of this device at `here`, as `/proc/self/mountinfo` has both: first one
    /// that says that it is, then those that say nothing.
    pub(crate) fn take(&mut self, device: &str, here: &str) -> Vec<Daemon> {
        // Whoever served a device of the same number before may still write what it had from here.
        let ends = !self.left.iter().any(|one| one.is_of(device, here) && !one.ends());
        let all = std::mem::take(&mut self.left).into_iter();
        let is_its = |one: &Daemon| one.is_of(device, here) && one.ends() == ends;
        let (mut its, left): (Vec<_>, _) = all.partition(is_its);
        self.left = left;
        its.sort_by_key(|one| !one.serves());
        its
    }

    /// Those that were not taken.
    pub(crate) fn into_rest(self) -> impl Iterator<Item = Daemon> {
        self.left.into_iter()
    }

    /// The processes of all that were found, taken or not.
    pub(crate) fn processes(&self) -> &[Pid] {
        &self.processes
    }
}

/// What became of daemons that were waited for, where all that was written is not safe: each in words.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// What is lost for good: nobody has it any more.
    pub(crate) lost: Vec<String>,
    /// Who is not gone, and why.
    pub(crate) left: Vec<String>,
}

impl Gone {
    /// That all of them are gone, and all is safe.
    ///
    /// # Errors
    /// All that is said.
    pub(crate) fn safely(self) -> Result<()> {
        let said = [self.lost, self.left].concat();
        ensure!(said.is_empty(), "{}", said.join("\n"));
        Ok(())
    }
}

/// How one of them ended.
#[derive(Debug)]
enum End {
    /// All that was written to its mount is safe.
    Done,
    /// What is lost, in words.
    Lost(String),
}

/// Waits until these are gone, all of them for the same time; what became of them.
pub(crate) async fn until_gone(daemons: Vec<Daemon>, how: Waiting<'_>) -> Gone {
    let (spinner, deadline) = (&Spinner::new(), Instant::now() + how.time);
    let ends = daemons.into_iter().map(|daemon| daemon.leaves(how, deadline, spinner));
    let mut gone = Gone::default();
    for end in join_all(ends).await {
        match end {
            Ok(End::Done) => {}
            Ok(End::Lost(what)) => gone.lost.push(what),
            Err(error) => gone.left.push(words(&error)),
        }
    }
    gone
}

/// Waits until these have ended, which may be daemons of what is unmounted: what they write nobody hears.
///
/// # Errors
/// Who has not ended in time.
pub(crate) async fn until_ended(unheard: Vec<Unheard>, how: Waiting<'_>) -> Result<()> {
    let (spinner, deadline) = (Spinner::new(), Instant::now() + how.time);
    for one in unheard {
        let process = one.number.as_raw_nonzero();
        spinner.say(format!("waiting: process {process} may still write"));
        while !has_ended(&one.process) {
            ensure!(
                Instant::now() < deadline,
                "after {} s process {process} still runs, which may be the daemon of what was unmounted, in another \
                 network namespace. Its log says what it waits for; `{}` goes on without it",
                how.time.as_secs_f32(),
                how.command
            );
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

impl Daemon {
    /// That of this socket. Anybody may take any name: those of other users are believed by root only.
    async fn connect(at: Socket) -> Option<Self> {
        let stream = UnixStream::connect(format!("\0{}", at.name)).await.ok()?;
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
            device: at.device,
            cluster: String::new(),
            path: at.name,
            pid,
            process,
            lines: BufReader::new(stream).lines(),
            said: None,
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

    /// Whether it is that of the mount of this device at `here`. A device's number is given again as soon as it is
    /// free, while whoever served the one before still writes.
    fn is_of(&self, device: &str, here: &str) -> bool {
        self.device == device && (!self.ends() || self.path == here)
    }

    /// Whether it has said that it serves no more.
    fn ends(&self) -> bool {
        self.said.as_ref().is_some_and(|said| *said != Said::Mounted)
    }

    /// Whether it is known to be another cluster's than this. One that hangs has not said it.
    pub(crate) fn is_of_other(&self, cluster: Option<&str>) -> bool {
        !self.cluster.is_empty() && Some(self.cluster.as_str()) != cluster
    }

    /// Whether it has said that nothing is left to write.
    fn has_written_all(&self) -> bool {
        matches!(&self.said, Some(Said::Writing(left)) if left.is_nothing())
    }

    /// Whether its mount is in use.
    pub(crate) fn serves(&self) -> bool {
        self.said == Some(Said::Mounted)
    }

    fn hear(&mut self, line: &str) {
        self.said = Said::of_line(&printable(line));
    }

    /// Waits until it is gone.
    ///
    /// # Errors
    /// Why it is not.
    async fn leaves(
        mut self,
        how: Waiting<'_>,
        deadline: Instant,
        spinner: &Spinner,
    ) -> Result<End> {
        if how.gives_up && self.serves() {
            self.signal()?;
        }
        if !self.ends_before(deadline, how, spinner).await {
            if !how.gives_up && self.has_written_all() {
                say(&format!("{self}, which the cluster does not hear: it ends by itself"));
                return Ok(End::Done);
            }
            if !how.gives_up {
                bail!("after {} s {}", how.time.as_secs_f32(), self.in_vain(how.command));
            }
            self.end(how, spinner).await?;
        }
        Ok(match &self.said {
            Some(Said::Done) => End::Done,
            Some(_) if self.has_written_all() => End::Done,
            Some(Said::Lost(what)) => End::Lost(format!("{}: {what}", self.path)),
            _ => End::Lost(format!(
                "{}: its daemon (process {}) died before it had written all; its log says more",
                self.path,
                self.pid.as_raw_nonzero()
            )),
        })
    }

    /// Listens until its process is gone; `false` if it is not at `deadline`.
    async fn ends_before(
        &mut self,
        deadline: Instant,
        how: Waiting<'_>,
        spinner: &Spinner,
    ) -> bool {
        let first_line = deadline.min(Instant::now() + FIRST_LINE);
        let mut shown = None;
        loop {
            let is_early = Instant::now() < first_line;
            if !is_early && shown.as_ref().is_none_or(|shown| self.has_news(shown)) {
                spinner.say(format!("waiting: {}", self.outlook(how)));
                shown = Some(self.said.clone());
            }
            let until = if is_early { first_line } else { deadline };
            match timeout_at(until, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => self.hear(&line),
                // The connection ends with the process.
                Ok(_) => break,
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return false,
            }
        }
        while !has_ended(&self.process) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Ends it, whatever it holds.
    async fn end(&mut self, how: Waiting<'_>, spinner: &Spinner) -> Result<()> {
        for _ in 0..SIGNALS_MAX {
            self.signal()?;
            if self.ends_before(Instant::now() + GIVES_UP, how, spinner).await {
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

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// One that has said nothing yet.
    pub(super) fn daemon(pid: Pid, path: &str, stream: UnixStream) -> Daemon {
        Daemon {
            device: "0:57".to_owned(),
            cluster: String::new(),
            path: path.to_owned(),
            pid,
            process: pidfd_open(pid, PidfdFlags::empty()).expect("it runs"),
            lines: BufReader::new(stream).lines(),
            said: None,
        }
    }

    #[tokio::test]
    async fn who_serves_is_told_from_who_had_the_same_device_before() {
        let (stream, _other) = UnixStream::pair().expect("a pair");
        let mut daemon = daemon(rustix::process::getpid(), "/a", stream);
        assert!(daemon.is_of("0:57", "/b"), "it may hang");
        daemon.hear("mounted");
        assert!(daemon.is_of("0:57", "/b"), "it may have been moved");
        assert!(!daemon.is_of("0:58", "/a"));
        daemon.hear("writing");
        assert!(daemon.is_of("0:57", "/a") && !daemon.is_of("0:57", "/b"));
        assert!(daemon.to_string().ends_with("has written all, and takes its leave"), "{daemon}");
        daemon.hear("writing files=1 bytes=7");
        assert!(daemon.to_string().ends_with("still writes 1 file, 7 bytes"), "{daemon}");
    }

    /// A name is found by its order, and says nothing about who serves.
    #[tokio::test]
    async fn one_that_hangs_does_not_hide_who_serves() {
        let new = |path, said| {
            let (stream, _other) = UnixStream::pair().expect("a pair");
            let mut daemon = daemon(rustix::process::getpid(), path, stream);
            daemon.hear(said);
            daemon
        };
        let (hangs, serves) = (new("/hangs", ""), new("/serves", "mounted"));
        let ends = new("/a", "writing");
        let mut daemons = Daemons { left: vec![hangs, ends, serves], processes: Vec::new() };
        let paths = |all: Vec<Daemon>| all.into_iter().map(|one| one.path).collect::<Vec<_>>();
        assert_eq!(paths(daemons.take("0:58", "/a")), Vec::<String>::new());
        assert_eq!(paths(daemons.take("0:57", "/a")), ["/serves", "/hangs"]);
        assert_eq!(paths(daemons.take("0:57", "/a")), ["/a"]);
        assert_eq!(daemons.into_rest().count(), 0);
    }

    /// A process that says nothing, holds its end of the connection, and ends when it is told to.
    struct Silent(Child);

    impl Silent {
        fn start(path: &str) -> (Self, Daemon) {
            let (stream, other) = UnixStream::pair().expect("a pair");
            let other = other.into_std().expect("it is whole");
            other.set_nonblocking(false).expect("a socket");
            let child = Command::new("cat").stdin(OwnedFd::from(other)).spawn().expect("it starts");
            let pid = child.id().try_into().expect("a process number");
            let daemon = daemon(Pid::from_raw(pid).expect("not 0"), path, stream);
            (Self(child), daemon)
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            let _ended_already = self.0.kill();
            self.0.wait().expect("it is a child");
        }
    }

    /// Who is still there is told from what is lost: only the former may yet write.
    #[tokio::test]
    async fn who_is_not_gone_has_lost_nothing() {
        let all = ["/waits", "/loses"].map(Silent::start);
        let (mut processes, mut daemons): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        daemons[0].hear("writing files=1 bytes=7 why=chain-1");
        daemons[1].hear("lost all");
        drop(processes.pop());
        let how = Waiting { time: Duration::from_millis(50), gives_up: false, command: "emberfs" };
        let gone = until_gone(daemons, how).await;
        assert_eq!(gone.lost, ["/loses: all"]);
        assert!(gone.left.len() == 1 && gone.left[0].contains("/waits: its daemon"), "{gone:?}");
    }

    /// It only says good-bye, which nobody may hear: no byte waits for that.
    #[tokio::test]
    async fn one_that_has_written_all_is_not_waited_for_in_vain() {
        for gives_up in [false, true] {
            let (_process, mut daemon) = Silent::start("/a");
            daemon.hear("writing");
            let how = Waiting { time: Duration::from_millis(50), gives_up, command: "emberfs" };
            until_gone(vec![daemon], how).await.safely().expect("all is safe");
        }
    }

    /// They have one time, and what became of one is said beside what became of another.
    #[tokio::test]
    async fn all_are_waited_for_and_ended_together() {
        let all = ["/waits", "/loses", "/hangs"].map(Silent::start);
        let (_processes, mut daemons): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        daemons[0].hear("writing files=1 bytes=7 why=chain-1");
        daemons[1].hear("lost all");
        let how = Waiting { time: Duration::from_millis(50), gives_up: true, command: "emberfs" };
        let gone = until_gone(daemons, how).await;
        assert!(gone.left.is_empty() && gone.lost.len() == 3, "{gone:?}");
        let said = gone.safely().expect_err("all is lost").to_string();
        for words in ["/waits: its daemon", "/loses: all", "/hangs: its daemon", "died before it"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
