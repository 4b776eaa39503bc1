//! A mount in a temporary directory, unmounted and gone when it is dropped.

use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::local::LocalCluster;

/// A cluster of one server of each kind: what the mount does is the same with more.
pub(crate) const SHAPE: [&str; 8] =
    ["--meta", "1", "--storage", "1", "--disks", "1", "--replicas", "1"];

/// A mount of a cluster.
pub(crate) struct Mounted {
    directory: TempDir,
    daemon: Child,
}

/// A cluster, if there is all that the test needs; else it says what is missing.
pub(crate) fn cluster(test: &str, programs: &[&str]) -> Option<LocalCluster> {
    has(test, programs).then(|| LocalCluster::start(&SHAPE))
}

/// Whether there is all that the test needs; else it says what is missing.
pub(crate) fn has(test: &str, programs: &[&str]) -> bool {
    let found = |program: &&&str| {
        let found = Command::new("which").arg(program).output();
        found.is_ok_and(|output| output.status.success())
    };
    let missing = programs.iter().find(|program| !found(program));
    let why = match (Path::new("/dev/fuse").exists(), missing) {
        (false, _) => "no /dev/fuse".to_owned(),
        (true, Some(program)) => format!("no {program}"),
        (true, None) => return true,
    };
    println!("skipped: {test}: {why}");
    false
}

/// The program that mounts, with the cluster's configuration.
pub(crate) fn fuse(cluster: &LocalCluster) -> Command {
    let ours = std::env::current_exe().expect("a test has a path");
    let folder = ours.parent().and_then(Path::parent).expect("deps/ lies beside the programs");
    let mut command = Command::new(folder.join("emberfs-fuse"));
    command.env("EMBERFS_CONFIG_DIR", cluster.directory().with_file_name("config"));
    command.stdin(Stdio::null());
    command
}

impl Mounted {
    /// Mounts with these options.
    pub(crate) fn start(cluster: &LocalCluster, options: &str) -> Self {
        let directory = cluster.folder();
        let path = directory.path().join("mount");
        std::fs::create_dir(&path).expect("an empty directory");
        let log = directory.path().join("log").display().to_string();
        let options = format!("log={log},{options}");
        let mut command = fuse(cluster);
        command.arg("local").arg(&path).args(["-o", &options, "--foreground", "--announce"]);
        let mut daemon = command.stdout(Stdio::piped()).spawn().expect("emberfs-fuse starts");
        let mut said = String::new();
        let out = daemon.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut said).expect("it says something or ends");
        assert_eq!(said, "mounted\n");
        assert!(is_found(daemon.id()), "`emberfs umount` finds what was announced");
        Self { directory, daemon }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Runs a shell in it, which must succeed; what it printed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        must(shell.args(["-ec", script]).current_dir(self.path()))
    }

    /// Runs Python in it, which must succeed; what it printed.
    pub(crate) fn python(&self, script: &str) -> String {
        must(Command::new("python3").args(["-c", script]).current_dir(self.path()))
    }

    /// The daemon's number.
    pub(crate) fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let number = self.id().to_string();
        must(Command::new("kill").args(["-s", signal, &number]));
    }

    /// Waits until the daemon has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.daemon.wait().expect("it is a child")
    }

    /// How the daemon ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.daemon.try_wait().expect("it is a child")
    }

    /// Unmounts, and waits until the daemon has ended well.
    pub(crate) fn leave(mut self) {
        unmount(&self.path());
        assert!(self.wait().success(), "{}", self.log());
    }

    /// What the daemon logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("log of the mount:\n{}", self.log());
        }
        // All of it may be done already.
        let _left = Command::new("umount").arg("-l").arg(self.path()).output();
        let _dead = self.daemon.kill();
        let _gone = self.daemon.wait();
    }
}

/// Whether a daemon listens to `emberfs umount`.
fn is_found(daemon: u32) -> bool {
    let table = std::fs::read_to_string("/proc/net/unix").expect("Linux");
    let end = format!("/{daemon}");
    table.lines().any(|line| line.contains(" @emberfs-mount/") && line.ends_with(&end))
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not yet: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Unmounts. A test that starts a program beside this one lends it all open files until it runs, so the
/// mount may be busy for a moment.
pub(crate) fn unmount(path: &Path) {
    let begun = Instant::now();
    loop {
        let output = Command::new("umount").arg(path).output().expect("it starts");
        if output.status.success() {
            return;
        }
        let busy = words(&output).contains("busy") && begun.elapsed() < Duration::from_secs(10);
        assert!(busy, "{}", words(&output));
        std::thread::yield_now();
    }
}

/// Runs a command, which must succeed; what it printed.
pub(crate) fn must(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", words(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that a command said.
pub(crate) fn words(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Whether a call failed with this errno.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T, impl Into<std::io::Error>>, errno: i32) {
    let error: std::io::Error = result.expect_err("refused").into();
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}
