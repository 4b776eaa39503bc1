//! Mounts for which nobody waits any more: they are given up before they are made.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use emberfs_tests::local::program;

use crate::mounted::{until, words};

/// Nobody listens there, which a mount takes half a minute to believe.
const NOWHERE: &str = "127.0.0.1:1";

/// Starts what mounts at `m`, kills it once its daemon tries, and hears of all that this started until it is gone.
/// `command` has a directory of its own, and where the mount's options belong `{}`.
fn kill(prepare: impl FnOnce(&Path), command: &[&str]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("m")).expect("made");
    prepare(directory.path());
    let options = format!("log={}", at("log").display());
    let words: Vec<_> = command.iter().map(|word| word.replace("{}", &options)).collect();
    let mut first = Command::new(&words[0]);
    first.args(&words[1..]).current_dir(directory.path());
    first.env("EMBERFS_CONFIG_DIR", directory.path()).env_remove("EMBERFS_CLUSTER");
    first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut first = first.spawn().expect("it starts");
    until("the daemon tries", || at("log").exists());
    first.kill().expect("it is a child");
    // Whoever is left holds the other end.
    let (mut said, mut all) = (String::new(), first.stderr.take().expect("it is piped"));
    all.read_to_string(&mut said).expect("text");
    assert!(said.contains("nobody waits for the mount any more"), "{said}");
    first.wait().expect("it is a child");
}

#[test]
fn who_is_killed_while_it_waits_for_its_mount_gets_none() {
    let fuse = program("emberfs-fuse").display().to_string();
    kill(|_| {}, &[&fuse, NOWHERE, "m", "-o", "{}"]);
}

#[test]
fn a_killed_mount_takes_its_helper_along() {
    let link = |directory: &Path| {
        symlink(program("emberfs-fuse"), directory.join("mount.emberfs")).expect("a link");
    };
    // As mount(8) does: it starts the helper, and waits for it.
    let script = "./mount.emberfs \"$@\"; exit $?";
    kill(link, &["sh", "-c", script, "sh", NOWHERE, "m", "-o", "{}"]);
}

#[test]
fn a_killed_emberfs_mount_leaves_nobody_behind() {
    let emberfs = program("emberfs").display().to_string();
    kill(|_| {}, &[&emberfs, "--cluster", NOWHERE, "mount", "m", "-o", "{}"]);
}

/// It is started, and before it can say that it wants to hear of that, whoever waits is gone.
#[test]
fn who_has_died_before_it_is_watched_gets_none() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    let mut gone = Command::new("true").spawn().expect("it starts");
    let waiter = gone.id().to_string();
    gone.wait().expect("it is a child");
    let mut fuse = Command::new(program("emberfs-fuse"));
    fuse.args([NOWHERE, "--with-parent", &waiter, "-o"]).arg(format!("log={}", log.display()));
    let output = fuse.arg(directory.path()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(32), "{}", words(&output));
    assert!(words(&output).contains("nobody waits for the mount any more"), "{}", words(&output));
    assert!(!log.exists(), "no daemon was started");
}
