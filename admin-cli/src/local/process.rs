//! One server of a local cluster: its files, and the process that runs it.
//!
//! There are no files of process numbers, which lie after a crash: a server's process is the one whose
//! command line is the server's program with the server's configuration file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use emberfs_layout::{ClusterId, DiskId};
use rustix::process::{Pid, Signal, kill_process};

/// How often a process that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many lines of a server's standard error say why it ended: a panic has a few.
const TELLING_LINES: usize = 12;
/// What marks a line of a log that says what went wrong.
const ERROR: &str = " ERROR ";

/// A server of a local cluster.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `meta-1`, `storage-2`.
    pub(crate) name: String,
    role: &'static str,
    folder: PathBuf,
}

/// A server that was started here.
#[derive(Debug)]
pub(crate) struct Started {
    server: Server,
    child: Child,
    /// How long its log was before, in bytes.
    log_from: u64,
}

/// A server that was asked to end.
#[derive(Debug)]
pub(crate) struct Stopping {
    server: Server,
    pid: Pid,
}

impl Server {
    pub(crate) fn new(cluster: &Path, role: &'static str, number: u16) -> Self {
        let name = format!("{role}-{number}");
        Self { folder: cluster.join(&name), name, role }
    }

    /// The folder of all that is its own.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(format!("{}.toml", self.role))
    }

    /// Its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.role))
    }

    fn stderr(&self) -> PathBuf {
        self.folder.join("stderr.log")
    }

    /// Of 15 bytes at most, or the kernel would cut the name of the process.
    fn program(&self) -> String {
        format!("emberfs-{}", self.role)
    }

    /// Starts it, in a process group of its own: a keyboard's interrupt ends this program alone.
    pub(crate) fn start(&self) -> Result<Started> {
        use std::os::unix::process::CommandExt;
        let stderr = File::create(self.stderr()).context("its standard error")?;
        let mut command = program(&self.program())?;
        command.arg("--config").arg(self.config());
        command.stdout(Stdio::null()).stderr(stderr).process_group(0);
        let log_from = fs::metadata(self.log()).map_or(0, |log| log.len());
        let child = command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        Ok(Started { server: self.clone(), child, log_from })
    }

    /// The process that runs it now.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let config = self.config();
        let entries = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let mut numbers = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        numbers.find(|number| self.is_run_by(*number, &config)).and_then(Pid::from_raw)
    }

    /// Known by its name first: the kernel does not tell the command line of a process that is just becoming
    /// another, which may take as long as a mount that hangs takes to close its files.
    fn is_run_by(&self, number: i32, config: &Path) -> bool {
        let name = fs::read(format!("/proc/{number}/comm")).unwrap_or_default();
        if name.trim_ascii_end() != self.program().as_bytes() {
            return false;
        }
        let Ok(line) = fs::read(format!("/proc/{number}/cmdline")) else { return false };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let [program, "--config", file, ..] = &*words
            .iter()
            .map(|word| std::str::from_utf8(word).unwrap_or_default())
            .collect::<Vec<_>>()
        else {
            return false;
        };
        let same = Path::new(program).file_name().is_some_and(|name| name == &*self.program());
        same && Path::new(file) == config
    }

    /// Asks its process to end; `None` if there is none.
    pub(crate) fn stop(&self) -> Result<Option<Stopping>> {
        let Some(pid) = self.pid() else { return Ok(None) };
        kill_process(pid, Signal::TERM).with_context(|| format!("stopping {}", self.name))?;
        Ok(Some(Stopping { server: self.clone(), pid }))
    }

    /// Why a run of it ended, as it said itself: its standard error, and the last error in its log, which was
    /// `log_from` bytes long before. Each line stands on a line of its own.
    fn last_words(&self, log_from: u64) -> String {
        let said = fs::read(self.stderr()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let mut lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.drain(..lines.len().saturating_sub(TELLING_LINES));
        let log = written_since(&self.log(), log_from);
        lines.extend(log.lines().rfind(|line| line.contains(ERROR)));
        if lines.is_empty() {
            lines.extend(log.lines().last());
        }
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }
}

impl Stopping {
    /// Waits until it has ended; what it is called.
    pub(crate) fn wait(self, patience: Duration) -> Result<String> {
        let Self { server, pid } = self;
        let begin = Instant::now();
        while server.pid() == Some(pid) {
            if begin.elapsed() > patience {
                bail!(
                    "{} (process {}) has not ended in {} s; its log is {}; kill -9 loses nothing \
                     that was acknowledged",
                    server.name,
                    pid.as_raw_nonzero(),
                    patience.as_secs(),
                    server.log().display()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(server.name)
    }
}

impl Started {
    /// That it still runs.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let (name, log) = (&self.server.name, self.server.log());
        let said = self.server.last_words(self.log_from);
        bail!("{name} ended with {status}; its log is {}{said}", log.display())
    }
}

/// What was written to a log since it was `from` bytes long; all, if another was begun since.
fn written_since(log: &Path, from: u64) -> String {
    let read = || {
        let mut log = File::open(log)?;
        let from = if log.metadata()?.len() < from { 0 } else { from };
        log.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Makes the directory of a metadata member that of this cluster, or a new one; one that is formatted already stays as
/// it is. Which cluster it is.
pub(crate) fn format_meta(config: &Path, cluster: Option<ClusterId>) -> Result<ClusterId> {
    let mut command = program("emberfs-meta")?;
    command.arg("format").arg("--if-needed").arg("--config").arg(config);
    if let Some(cluster) = cluster {
        command.arg("--cluster").arg(cluster.to_string());
    }
    answer_of(&mut command)
}

/// Makes a directory a disk; one that is a disk of this cluster already stays as it is. Which disk it is.
pub(crate) fn format_disk(directory: &Path, cluster: ClusterId) -> Result<DiskId> {
    let mut command = program("emberfs-storage")?;
    command.arg("format-disk").arg("--if-needed").arg(directory);
    answer_of(command.arg("--cluster").arg(cluster.to_string()))
}

/// A command of one of the other programs, which lie beside this one.
pub(crate) fn program(name: &str) -> Result<Command> {
    let ours = std::env::current_exe().context("where this program is")?;
    let program = ours.with_file_name(name);
    if !program.is_file() {
        bail!("{} is missing: build it by `cargo build --release`", program.display());
    }
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Runs a command that prints an answer, or says what is wrong.
pub(crate) fn answer_of<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    command: &mut Command,
) -> Result<T> {
    let output = command.output().context("cannot start it")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().with_context(|| format!("it said `{}`", said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_program_with_its_configuration() {
        let server = Server::new(Path::new("/c"), "meta", 1);
        assert_eq!(server.config(), Path::new("/c/meta-1/meta.toml"));
        assert_eq!(server.pid(), None);
        let ours = std::process::id().try_into().expect("a process number");
        assert!(!server.is_run_by(ours, &server.config()), "a test is no server");
    }

    #[test]
    fn what_a_server_said_last_is_shown() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = Server::new(directory.path(), "storage", 2);
        fs::create_dir(server.folder()).expect("a new folder");
        assert_eq!(server.last_words(0), "", "it said nothing");
        let before = "t ERROR a: an earlier run\n";
        let log = |text: &str| fs::write(server.log(), format!("{before}{text}")).expect("written");
        let said = || server.last_words(before.len() as u64);
        log("t  INFO a: one\nt  INFO a: two\n");
        assert_eq!(said(), "\n  t  INFO a: two", "killed, perhaps");
        log("t ERROR a: disk left out\nt  INFO a: two\n");
        assert_eq!(said(), "\n  t ERROR a: disk left out");
        fs::write(server.stderr(), "\nerror: the port is taken\n").expect("written");
        assert_eq!(said(), "\n  error: the port is taken\n  t ERROR a: disk left out");
        fs::write(server.log(), "a new file").expect("written");
        assert_eq!(said(), "\n  error: the port is taken");
    }

    #[test]
    fn one_that_ends_is_named_with_its_log() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = Server::new(directory.path(), "storage", 2);
        fs::create_dir(server.folder()).expect("a new folder");
        fs::write(server.stderr(), "error: no disk\n").expect("written");
        let child = Command::new("false").spawn().expect("it starts");
        let mut started = Started { server, child, log_from: 0 };
        started.child.wait().expect("it is a child");
        let said = started.check().expect_err("it ended").to_string();
        for words in
            ["storage-2 ended with exit status: 1", "/storage-2/storage.log", "error: no disk"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
