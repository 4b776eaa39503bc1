//! Nobody reads what is said: standard error is closed, its reader has gone, or it is on a full disk. Whatever was
//! asked for is done all the same, and ends as it does where somebody reads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::local::{LocalCluster, program};
use crate::process::until;
use crate::verbs::SINGLE;

/// Where standard error leads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Nowhere: the descriptor is closed.
    Closed,
    /// Into a pipe from which nobody reads.
    Pipe,
    /// To a disk that is full.
    Full,
}

const WAYS: [Way; 3] = [Way::Closed, Way::Pipe, Way::Full];

/// Starts this so that nobody reads what it says.
fn spawn(command: &Command, way: Way) -> Child {
    let end = match way {
        Way::Closed => "exec \"$0\" \"$@\" 2>&-",
        Way::Pipe => "exec \"$0\" \"$@\"",
        Way::Full => "exec \"$0\" \"$@\" 2>/dev/full",
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", end]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env_remove("EMBERFS_CLUSTER").stdin(Stdio::null());
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh");
    drop((child.stdout.take(), child.stderr.take()));
    child
}

fn status(command: &Command, way: Way) -> ExitStatus {
    spawn(command, way).wait().expect("it is a child")
}

/// The configuration of a server of this cluster, with another log.
fn logging_to(cluster: &LocalCluster, server: &str, log: Option<&Path>) -> PathBuf {
    let (kind, _) = server.split_once('-').expect("a kind and a number");
    let file = cluster.directory().join(server).join(format!("{kind}.toml"));
    let text = fs::read_to_string(&file).expect("`up` wrote it");
    let (rest, _) = text.split_once("[log]").expect("`up` says where it logs");
    let log = log.map_or(String::new(), |log| format!("file = {log:?}\n"));
    // Here its process is looked for.
    let other = file.with_extension("other.toml");
    fs::write(&other, format!("{rest}[log]\nlevel = \"debug\"\n{log}")).expect("written");
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_serve_though_nobody_reads_what_they_say() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let source = folder.path().join("source");
    fs::write(&source, vec![7; 1 << 20]).expect("written");
    let full = folder.path().join("full.log");
    symlink("/dev/full", &full).expect("a link");
    for (way, server, log) in [
        (Way::Closed, "storage-1", None),
        (Way::Pipe, "storage-1", Some(&*full)),
        (Way::Pipe, "meta-1", None),
        (Way::Full, "meta-1", Some(&*full)),
        (Way::Full, "storage-1", None),
    ] {
        let kind = server.split_once('-').expect("a kind and a number").0;
        // Of a dead metadata server nobody takes note; of a dead storage server only after a while.
        let before = match kind {
            "storage" => Some(cluster.boot(server).await),
            _ => None,
        };
        cluster.kill(server).await;
        let mut command = cluster.command(&format!("emberfs-{kind}"));
        command.arg("--config").arg(logging_to(&cluster, server, log));
        let mut child = spawn(&command, way);
        until("it serves", async || {
            let ended = child.try_wait().expect("it is a child");
            assert_eq!(ended, None, "{server} with {way:?}, {log:?}");
            let is_registered = match before {
                Some(before) => cluster.boot(server).await != before,
                None => true,
            };
            is_registered && cluster.emberfs(&["status"]).status.success()
        })
        .await;
        if way == Way::Closed {
            let descriptor = fs::read_link(format!("/proc/{}/fd/2", child.id()));
            assert_eq!(descriptor.expect("it is open"), Path::new("/dev/null"));
        }
        let name = format!("ember:/{server}-{way:?}");
        cluster.must(&["--timeout", "60", "cp", &source.to_string_lossy(), &name]);
        cluster.signal(server, "TERM");
        let ended = child.wait().expect("it is a child");
        assert!(ended.success(), "{server} with {way:?}, {log:?}: {ended}");
        cluster.up();
    }
    cluster.down();
}

#[test]
fn a_local_cluster_comes_and_goes_though_nobody_reads_what_is_said() {
    let cluster = LocalCluster::prepare(&SINGLE, &[]);
    let directory = cluster.directory();
    for way in WAYS {
        let mut up = cluster.command("emberfs");
        up.args(["up", "--dir"]).arg(&directory).args(SINGLE);
        assert_eq!(status(&up, way).code(), Some(0), "up with {way:?}");
        let mut down = cluster.command("emberfs");
        down.args(["down", "--dir"]).arg(&directory);
        assert_eq!(status(&down, way).code(), Some(0), "down with {way:?}");
        assert_eq!(cluster.processes(), [], "down leaves nothing behind");
    }
}

#[test]
fn what_fails_fails_alike_though_nobody_reads_why() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, words, code) in [
        ("emberfs", &["--cluster=127.0.0.1:1", "--timeout=2.5", "ls"][..], 1),
        ("emberfs", &["disk", "format", "/dev/null"], 1),
        ("emberfs", &["no-such-verb"], 64),
        ("emberfs-storage", &["--config", "gone.toml"], 1),
        ("emberfs-storage", &["config", "gone.toml"], 1),
        ("emberfs-meta", &["--config", "gone.toml"], 1),
        ("emberfs-fuse", &["nobody", "."], 32),
    ] {
        for way in WAYS {
            let mut command = Command::new(program(name));
            command.args(words).env("EMBERFS_CONFIG_DIR", directory.path());
            assert_eq!(status(&command, way).code(), Some(code), "{name} {words:?} with {way:?}");
        }
    }
    // What is printed, rather: nobody reads on, as of `head`.
    for (name, words) in [
        ("emberfs", &["completions", "bash"][..]),
        ("emberfs", &["cluster", "list"]),
        ("emberfs-storage", &["sample-config"]),
        ("emberfs-meta", &["sample-config"]),
    ] {
        let mut command = Command::new(program(name));
        command.args(words).env("EMBERFS_CONFIG_DIR", directory.path());
        assert_eq!(status(&command, Way::Full).code(), Some(0), "{name} {words:?}");
    }
}
