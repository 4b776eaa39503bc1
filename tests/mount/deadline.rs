//! What a deadline ends, which is the waiting, and what it does not: the order of what was asked for.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

use emberfs_tests::local::program;
use emberfs_tests::scratch;

use rustix::io::Errno;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, refused, until, words};

static BYTES: [u8; 100_000] = [b'1'; 100_000];

/// A mount with a file that has other bytes than [`BYTES`].
fn start(test: &str) -> Option<(LocalCluster, Mounted)> {
    let cluster = cluster(test, &[])?;
    // It binds all other calls too, on a machine that has much else to do.
    let mount = Mounted::start(&cluster, "deadline=5");
    fs::write(mount.at("f"), vec![b'0'; 200_000]).expect("written");
    Some((cluster, mount))
}

/// Has a server that hangs go on, and writes over the beginning of the file: what is synced then stays.
fn goes_on(cluster: &LocalCluster, mount: Mounted, server: &str, file: File) {
    // Both may wait for the server, or not.
    let written = file.write_all_at(&BYTES, 0);
    let synced = file.sync_all();
    cluster.signal(server, "CONT");
    if written.is_err() {
        until("it is written", || file.write_all_at(&BYTES, 0).is_ok());
    }
    if written.is_err() || synced.is_err() {
        until("it is synced", || file.sync_all().is_ok());
    }
    let cat = || cluster.emberfs(&["cat", "ember:/f"]).stdout;
    assert!(cat() == BYTES, "{} bytes", cat().len());
    drop(file);
    mount.leave();
    assert!(cat() == BYTES, "{} bytes", cat().len());
    cluster.down();
}

#[test]
fn a_cut_for_which_nobody_waits_takes_nothing_that_is_synced_later() {
    let test = "a_cut_for_which_nobody_waits_takes_nothing_that_is_synced_later";
    let Some((cluster, mount)) = start(test) else { return };
    let file = OpenOptions::new().write(true).open(mount.at("f")).expect("there");
    cluster.signal("meta-1", "STOP");
    refused(file.set_len(10), Errno::TIMEDOUT.raw_os_error());
    goes_on(&cluster, mount, "meta-1", file);
}

/// Nobody here has it open for writing while it is cut.
#[test]
fn nor_does_one_that_came_with_an_opening() {
    let Some((cluster, mount)) = start("nor_does_one_that_came_with_an_opening") else { return };
    cluster.signal("storage-1", "STOP");
    refused(File::create(mount.at("f")), Errno::TIMEDOUT.raw_os_error());
    let file = OpenOptions::new().write(true).open(mount.at("f")).expect("there");
    goes_on(&cluster, mount, "storage-1", file);
}

/// Nobody listens at this port: without a limit of the user's, that takes 30 s.
#[test]
fn a_mount_waits_no_longer_for_a_cluster_than_its_user_wants() {
    let top = tempfile::tempdir().expect("a temporary directory");
    let path = top.path().display().to_string();
    let log = format!("log={}/log", top.path().display());
    let fails = |name: &str, words_of: &[&str], said: &[&str]| {
        let mut command = Command::new(program(name));
        command.env(scratch::VARIABLE, top.path()).env_remove("EMBERFS_CLUSTER");
        let begun = Instant::now();
        let output = command.args(words_of).args(["-o", &log]).output().expect("it starts");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(!output.status.success());
        for word in said {
            assert!(words(&output).contains(word), "{word}: {}", words(&output));
        }
    };
    let over = "127.0.0.1:1: the deadline passed while waiting for the metadata servers";
    fails("emberfs-fuse", &["127.0.0.1:1:/", &path, "-o", "deadline=1"], &[over]);
    let mount = ["--timeout", "3", "--cluster", "127.0.0.1:1", "mount", &path];
    fails("emberfs", &mount, &[over, "127.0.0.1:1: still waiting for the metadata servers"]);
}

/// The end of the mount waits for it as for bytes, and the log says so.
#[test]
fn a_mount_ends_when_it_is_known_whether_a_file_was_cut() {
    let test = "a_mount_ends_when_it_is_known_whether_a_file_was_cut";
    let Some(cluster) = cluster(test, &[]) else { return };
    let mut mount = Mounted::start(&cluster, "deadline=90");
    let path = mount.at("f");
    fs::write(&path, BYTES).expect("written");
    cluster.signal("storage-1", "STOP");
    std::thread::scope(|scope| {
        // Whether it hears of the end before the mount does is not for this test.
        scope.spawn(|| drop(File::create(&path)));
        let size = || cluster.must(&["stat", "--json", "ember:/f"]);
        until("the metadata server has heard of it", || size().contains("\"size\": 0"));
        mount.signal("TERM");
        let what = "still writing 1 file, no bytes: a change of its attributes";
        until("it says what it waits for", || mount.log().contains(what));
        assert_eq!(mount.ended(), None);
        cluster.signal("storage-1", "CONT");
    });
    assert!(mount.wait().success(), "{}", mount.log());
    assert!(mount.log().contains("all is written"), "{}", mount.log());
    assert_eq!(cluster.emberfs(&["cat", "ember:/f"]).stdout, b"");
    cluster.down();
}
