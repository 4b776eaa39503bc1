//! Wrong usage ends with 64, of whichever program and verb it is; `mount.emberfs` is `mount(8)`'s, where 64 means
//! something else.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::local::program;

/// An address at which nobody listens: nothing here gets as far as to ask.
const NOWHERE: &str = "--cluster=127.0.0.1:1";
const DISK: &str = "0123456789abcdef0123456789abcdef";

/// Words that are wrong, and some that say why.
type Cases<'a> = &'a [(&'a [&'a str], &'a str)];

const EMBERFS: Cases<'_> = &[
    (&[], "Usage"),
    (&["--no-such"], "--no-such"),
    (&["no-such-verb"], "no-such-verb"),
    (&["--cluster", "host:99999", "status"], "number up to 65535"),
    (&["--cluster", "host:port", "ls"], "host:port"),
    (&["--cluster", "a:1,b", "node", "list"], "`b` is no address"),
    (
        &["--cluster", "[::]:7000", "status"],
        "`[::]:7000` is no address: a wildcard is where a server listens",
    ),
    (&["status", "--timeout", "soon"], "number of seconds"),
    (&["status", "--timeout=-1"], "--timeout"),
    (&["status", "more"], "more"),
    (&["up", "--dir", "new", "--replicas", "0"], "--replicas 0: no copy keeps nothing"),
    (&["up", "--dir", "new", "--replicas", "4"], "--replicas 4"),
    (&["up", "--dir", "new", "--storage", "0"], "one storage server"),
    (&["up", "--dir", "new", "--disks", "0"], "one disk"),
    (&["up", "--dir", "new", "--meta", "many"], "many"),
    (&["up", "--dir", "new", "--meta", "2"], "--meta 2: 1, 3 or 5"),
    (&["meta", "list", "one"], "one"),
    (&["up", "--dir", "new", "--name", "a:b"], "a:b"),
    (&["up", "--dir", "new", "--name", ""], "--name"),
    (&["down", "--dir"], "--dir"),
    (&[NOWHERE, "mount"], "PATH"),
    (&[NOWHERE, "mount", ".", "-o"], "-o"),
    (&[NOWHERE, "mount", ".", "-o", "cache=all"], "-o cache=all: no such option"),
    (&["umount"], "PATH"),
    (&["umount", ".", "."], "."),
    (&["cluster"], "Usage"),
    (&["cluster", "init"], "--config"),
    (&["cluster", "list", "all"], "all"),
    (&["node", "list", "one"], "one"),
    (&[NOWHERE, "disk", "add"], "DISKS"),
    (&[NOWHERE, "disk", "add", "nonsense"], "32 hexadecimal digits"),
    (&[NOWHERE, "disk", "add", DISK, "--targets", "0"], "--targets"),
    (&[NOWHERE, "disk", "format"], "DIRECTORY"),
    (&[NOWHERE, "chain-table", "create", "--replicas", "0"], "--replicas"),
    (&[NOWHERE, "chain-table", "create", "--replicas", "300"], "--replicas"),
    (&[NOWHERE, "chain-table", "create", "--min-serving", "0"], "--min-serving"),
    (&[NOWHERE, "chain-table", "create", "--min-serving", "4"], "only 3 replicas"),
    (&[NOWHERE, "chain-table", "create", "--chunk-size", "3"], "chunk size"),
    (&[NOWHERE, "chain-table", "create", "--disk", "one"], "32 hexadecimal digits"),
    (&[NOWHERE, "layout", "get"], "PATH"),
    (&[NOWHERE, "layout", "get", "local"], "ember:/path"),
    (&[NOWHERE, "layout", "set", "ember:/a"], "--inherit"),
    (&[NOWHERE, "layout", "set", "ember:/a", "--stripe", "0"], "at least one chain"),
    (&[NOWHERE, "layout", "set", "ember:/a", "--chunk-size", "3"], "or `default`"),
    (&["config", "show", "one", "two"], "two"),
    (&[NOWHERE, "ls", "/local"], "ember:/path"),
    (&[NOWHERE, "ls", "ember:/a", "ember:/b"], "ember:/b"),
    (&[NOWHERE, "stat"], "PATH"),
    (&[NOWHERE, "cat", "/local"], "ember:/path"),
    (&[NOWHERE, "check", "local"], "ember:/path"),
    (&[NOWHERE, "cp", "one"], "PATHS"),
    (&[NOWHERE, "mkdir"], "PATHS"),
    (&[NOWHERE, "mkdir", ""], "ember:/path"),
    (&[NOWHERE, "mv", "ember:/a", "/b"], "ember:/path"),
    (&[NOWHERE, "rm", "-r"], "PATHS"),
    (&["completions", "nonsense"], "nonsense"),
];

const FUSE: Cases<'_> = &[
    (&[], "CLUSTER"),
    (&["local"], "PATH"),
    (&["local", ".", "--no-such"], "--no-such"),
    (&["local", ".", "-o", "cache=all"], "-o cache=all: no such option"),
    (&["local", ".", "-o", "deadline=soon"], "-o deadline=soon: expected a number"),
    (&["local", ".", "-o", "log_level=x=lowd"], "-o log_level=x=lowd"),
    (&["local:/sub", "."], "only the root can be mounted"),
    (&["host:99999:/", "."], "number up to 65535"),
    (&["0.0.0.0:7000:/", "."], "a wildcard is where a server listens"),
];

const SERVER: Cases<'_> = &[
    (&[], "--config"),
    (&["--config"], "--config"),
    (&["--config", "file", "config", "file"], "config"),
    (&["no-such-verb"], "no-such-verb"),
    (&["config"], "FILE"),
];

/// Runs a program with all of these in an empty directory, in which nothing is made.
#[track_caller]
fn refuse(program: &Path, cases: Cases<'_>, status: i32) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ended = |words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).current_dir(directory.path()).stdin(Stdio::null());
        command.env("EMBERFS_CONFIG_DIR", directory.path()).env_remove("EMBERFS_CLUSTER");
        let output = command.output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    for (words, why) in cases {
        let (code, said) = ended(words);
        assert_eq!(code, Some(status), "{} {words:?}: {said}", program.display());
        assert!(said.contains(why), "{words:?} should say `{why}`: {said}");
    }
    assert_eq!(ended(&["--help"]).0, Some(0), "asking is no mistake");
    let left = std::fs::read_dir(directory.path()).expect("there").count();
    assert_eq!(left, 0, "nothing was made");
}

#[test]
fn wrong_usage_is_64_for_every_command() {
    refuse(&program("emberfs"), EMBERFS, 64);
    refuse(&program("emberfs-fuse"), FUSE, 64);
    refuse(&program("emberfs-storage"), SERVER, 64);
    refuse(&program("emberfs-meta"), SERVER, 64);
}

#[test]
fn wrong_usage_of_mount_is_as_mount_has_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mount = directory.path().join("mount.emberfs");
    symlink(program("emberfs-fuse"), &mount).expect("a link");
    refuse(&mount, FUSE, 1);
}

#[test]
fn a_variable_is_as_wrong_as_a_flag() {
    let mut command = Command::new(program("emberfs"));
    let output = command.arg("status").env("EMBERFS_CLUSTER", "host:99999").output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(64), "{}", String::from_utf8_lossy(&output.stderr));
}
