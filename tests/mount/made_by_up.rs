//! Mounts that `emberfs up` makes: how they come and go, and that no command waits for one that hangs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use emberfs_client_fuse_mounts::MountTable;
use emberfs_tests::local::program;
use emberfs_tests::scratch;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::local::LocalCluster;
use crate::mounted::{cluster, until, words};

/// A cluster with one mount of its own.
struct Example {
    /// Gone first, with all that is mounted.
    cluster: LocalCluster,
    top: TempDir,
}

impl Example {
    fn start(test: &str) -> Option<Self> {
        let cluster = cluster(test, &[])?;
        let example = Self { top: cluster.folder(), cluster };
        example.emberfs("up", &["--mount", &example.path("one").display().to_string()]);
        Some(example)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    /// `emberfs` with these words and `--dir`.
    fn emberfs(&self, command: &str, more: &[&str]) -> String {
        let directory = self.cluster.directory().display().to_string();
        self.cluster.must(&[&[command, "--dir", &directory][..], more].concat())
    }

    /// Runs `emberfs`: see [`Self::program_ends`].
    fn ends(&self, command: &[&str], mend: impl Fn()) -> Output {
        self.program_ends("emberfs", command, mend)
    }

    /// Runs what must end, also while nobody answers who asks about files of the mount. If it does not, `mend` makes
    /// that somebody does: before that it could not even be killed.
    fn program_ends(&self, name: &str, command: &[&str], mend: impl Fn()) -> Output {
        let mut program = self.cluster.command(name);
        program.args(command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("it starts");
        let begun = Instant::now();
        let mut in_time = true;
        while child.try_wait().expect("it is a child").is_none() {
            if begun.elapsed() > Duration::from_secs(60) && in_time {
                in_time = false;
                mend();
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let output = child.wait_with_output().expect("it has ended");
        assert!(in_time, "{command:?} waited: {}", words(&output));
        output
    }

    /// The daemon of the mount.
    fn daemon(&self) -> Pid {
        let is_daemon = |process: &u32| {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            name.trim() == "emberfs-fuse"
        };
        let found = self.cluster.processes().into_iter().find(is_daemon).expect("it runs");
        Pid::from_raw(found.try_into().expect("a process number")).expect("not 0")
    }
}

fn is_mounted(path: &Path) -> bool {
    MountTable::read().expect("Linux").topmost(path).is_some()
}

#[test]
fn the_mount_of_another_cluster_stays() {
    let Some(example) = Example::start("the_mount_of_another_cluster_stays") else { return };
    let (one, other) = (example.path("one"), example.path("other"));
    let (one, other) = (one.to_str().expect("text"), other.to_str().expect("text"));
    let up = ["up", "--dir", other, "--name", "other", "--storage", "1", "--replicas", "1"];
    let refused = example.cluster.emberfs(&[&up[..], &["--mount", one]].concat());
    assert!(words(&refused).contains("another cluster is mounted at"), "{}", words(&refused));
    // What its plan has is no more its own when something else is there.
    let own = example.path("two");
    example.cluster.must(&["up", "--dir", other, "--mount", own.to_str().expect("text")]);
    example.cluster.must(&["umount", own.to_str().expect("text")]);
    example.emberfs("up", &["--mount", own.to_str().expect("text")]);
    example.cluster.must(&["down", "--dir", other]);
    assert!(is_mounted(&own) && is_mounted(Path::new(one)));
}

#[test]
fn each_goes_and_comes_back() {
    let Some(example) = Example::start("each_goes_and_comes_back") else { return };
    let (one, two) = (example.path("one"), example.path("two"));
    let said = example.emberfs("up", &["--mount", two.to_str().expect("text")]);
    for path in [&one, &two] {
        assert!(said.contains(&format!("mounted at {}\n", path.display())), "{said}");
    }
    fs::write(one.join("f"), "text").expect("written");
    assert_eq!(fs::read(two.join("f")).expect("there"), b"text");
    example.cluster.down();
    assert!(!is_mounted(&one) && !is_mounted(&two));
    example.emberfs("up", &[]);
    for path in [&one, &two] {
        assert_eq!(fs::read(path.join("f")).expect("mounted again"), b"text");
    }
    example.cluster.down();
}

/// The servers stay, and what was unmounted before is at its end.
#[test]
fn down_that_meets_a_busy_mount_says_which_it_has_unmounted() {
    let test = "down_that_meets_a_busy_mount_says_which_it_has_unmounted";
    let Some(example) = Example::start(test) else { return };
    let (one, two) = (example.path("one"), example.path("two"));
    example.emberfs("up", &["--mount", two.to_str().expect("text")]);
    fs::write(one.join("f"), "text").expect("written");
    let before = example.cluster.processes().len();
    let held = fs::File::open(&two).expect("there");
    let directory = example.cluster.directory().display().to_string();
    let output = example.cluster.emberfs(&["down", "--dir", &directory]);
    assert_eq!(example.cluster.processes().len(), before - 1, "its daemon was waited for");
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let unmounted = format!("no more mounted: {}; `emberfs up", one.display());
    for said in ["nothing is stopped", "busy", &unmounted] {
        assert!(words(&output).contains(said), "{said}: {}", words(&output));
    }
    assert!(!is_mounted(&one) && is_mounted(&two));
    drop(held);
    example.cluster.down();
}

#[test]
fn nobody_asks_a_mount_whose_metadata_servers_are_dead() {
    let test = "nobody_asks_a_mount_whose_metadata_servers_are_dead";
    let Some(example) = Example::start(test) else { return };
    let (cluster, path) = (&example.cluster, example.path("one"));
    fs::write(path.join("f"), "text").expect("written");
    // The kernel tells the daemon of a close when the program goes on already.
    let clients = || cluster.must(&["client", "list", "--json"]);
    until("the file is closed", || clients().contains("\"open_for_writing\": 0"));
    let (link, below) = (example.path("link"), path.join("d/e").display().to_string());
    symlink(&path, &link).expect("made");
    let (shown, link) = (path.display().to_string(), link.display().to_string());
    cluster.signal("meta-1", "KILL");
    until("the metadata server is gone", || cluster.process("meta-1").is_none());
    let ends = |command: &[&str], status: i32, said: &[&str]| {
        let output = example.ends(command, || cluster.start_one("meta-1"));
        assert_eq!(output.status.code(), Some(status), "{command:?}: {}", words(&output));
        for word in said {
            assert!(words(&output).contains(word), "{command:?}: {word}: {}", words(&output));
        }
    };
    ends(&["status", "--timeout", "0.2"], 3, &["cannot tell"]);
    ends(&["mount", &shown], 1, &["is mounted already"]);
    ends(&["mount", &link], 1, &["is mounted already"]);
    ends(&["mount", &below], 1, &["lies in the mount at", &shown]);
    ends(&["umount", &below], 1, &["nothing is mounted there, in an EmberFS"]);
    // As mount(8) does it for `mount -t emberfs`.
    for (at, options, said) in [
        (&shown, "rw", "is mounted already"),
        (&link, "rw", "is mounted already"),
        (&below, "rw", "lies in the mount at"),
        (&below, "remount,ro", "no EmberFS is mounted at"),
    ] {
        let command = ["local:/", at, "-o", options];
        let output = example.program_ends("emberfs-fuse", &command, || cluster.start_one("meta-1"));
        assert_eq!(output.status.code(), Some(32), "{at} {options}: {}", words(&output));
        assert!(words(&output).contains(said), "{at} {options}: {}", words(&output));
    }
    let dir = cluster.directory().display().to_string();
    ends(&["down", "--dir", &dir], 0, &[&format!("unmounted {shown}"), "stopped storage-1"]);
    assert_eq!(cluster.processes(), []);

    example.emberfs("up", &[]);
    assert_eq!(fs::read(path.join("f")).expect("mounted again"), b"text");
    cluster.signal("meta-1", "KILL");
    until("the metadata server is gone", || cluster.process("meta-1").is_none());
    ends(&["umount", &link], 0, &[]);
    assert!(!is_mounted(&path));
    cluster.down();
}

#[test]
fn up_does_not_wait_for_a_daemon_that_hangs() {
    let Some(example) = Example::start("up_does_not_wait_for_a_daemon_that_hangs") else { return };
    let (cluster, daemon, path) = (&example.cluster, example.daemon(), example.path("one"));
    let dir = cluster.directory().display().to_string();
    let send = |signal| kill_process(daemon, signal).expect("it runs");
    send(Signal::STOP);
    let path = path.display().to_string();
    let fuse = ["local:/", &path];
    let fuse = example.program_ends("emberfs-fuse", &fuse, || send(Signal::CONT));
    let output = example.ends(&["up", "--dir", &dir, "--mount", &path], || send(Signal::CONT));
    send(Signal::CONT);
    assert!(words(&fuse).contains("is mounted already"), "{}", words(&fuse));
    assert!(output.status.success(), "{}", words(&output));
    let said = format!("{path}: its daemon (process {}) does not answer", daemon.as_raw_nonzero());
    assert!(words(&output).contains(&said), "{}", words(&output));
    cluster.down();
}

/// As seen from another network namespace, where its socket is not.
#[test]
fn a_mount_whose_daemon_is_not_heard_stays() {
    let test = "a_mount_whose_daemon_is_not_heard_stays";
    let may = Command::new("unshare").args(["--net", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: {test}: no network namespace of its own");
        return;
    }
    let Some(example) = Example::start(test) else { return };
    let (path, daemon) = (example.path("one"), example.daemon().as_raw_nonzero());
    let shown = path.display().to_string();
    let directory = example.cluster.directory().display().to_string();
    let unheard = format!("{shown} is mounted already, it seems by process {daemon}");
    let ends = |name: &str, command: &[&str], status: i32, said: &[&str]| {
        let mut elsewhere = Command::new("unshare");
        elsewhere.arg("--net").arg(program(name)).args(command);
        elsewhere.env(scratch::VARIABLE, example.cluster.config()).env_remove("EMBERFS_CLUSTER");
        let output = elsewhere.output().expect("it starts");
        assert_eq!(output.status.code(), Some(status), "{}", words(&output));
        for word in said {
            assert!(words(&output).contains(word), "{word}: {}", words(&output));
        }
    };
    let hint = &*format!("`emberfs umount --force {shown}`");
    ends("emberfs", &["up", "--mount", &shown, "--dir", &directory], 1, &[&unheard, hint]);
    ends("emberfs-fuse", &["local:/", &shown], 32, &[&unheard, hint]);
    ends("emberfs", &["down", "--dir", &directory], 1, &["nothing is stopped", &unheard, hint]);
    fs::write(path.join("f"), "text").expect("it serves on");
    let process = format!("process {daemon} may be it");
    ends("emberfs", &["down", "--force", "--dir", &directory], 0, &[&process, "stopped meta-1"]);
    assert_eq!(example.cluster.processes(), [], "it was waited for");
    example.emberfs("up", &[]);
    assert_eq!(fs::read(path.join("f")).expect("mounted again"), b"text");
    example.cluster.down();
}

#[test]
fn a_mount_whose_daemon_died_is_made_anew() {
    let Some(example) = Example::start("a_mount_whose_daemon_died_is_made_anew") else { return };
    let (cluster, path) = (&example.cluster, example.path("one"));
    fs::write(path.join("f"), "text").expect("written");
    let daemon = example.daemon();
    let processes = || cluster.processes();
    kill_process(daemon, Signal::KILL).expect("it runs");
    let number = daemon.as_raw_nonzero().get().unsigned_abs();
    until("the daemon is gone", || !processes().contains(&number));
    let mount = cluster.emberfs(&["mount", &path.display().to_string()]);
    assert!(
        words(&mount).contains("without a daemon, or another user's: `emberfs umount --force"),
        "{}",
        words(&mount)
    );
    example.emberfs("up", &[]);
    assert_eq!(fs::read(path.join("f")).expect("mounted again"), b"text");
    cluster.down();
}
