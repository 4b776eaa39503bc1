//! How mounts end, and how they fail to begin.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use emberfs_client_fuse_mounts::MountTable;
use emberfs_tests::killed::leaves_nothing;
use rustix::io::Errno;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, SHAPE, cluster, fuse, must, refused, unmount, words};

#[test]
fn a_stopped_daemon_has_written_all() {
    let Some(cluster) = cluster("a_stopped_daemon_has_written_all", &[]) else { return };
    let mut mount = Mounted::start(&cluster, "");
    let file = File::create_new(mount.at("f")).expect("made");
    file.write_all_at(&[5; 100_000], 0).expect("gathered");
    mount.signal("TERM");
    assert!(mount.wait().success(), "{}", mount.log());
    refused(file.write_at(b"x", 0), Errno::NOTCONN.raw_os_error());
    let other = Mounted::start(&cluster, "");
    assert_eq!(fs::read(other.at("f")).expect("there"), vec![5; 100_000]);
    other.leave();
    cluster.down();
}

#[test]
fn gathered_bytes_are_written_in_time_without_being_asked_for() {
    let Some(cluster) = cluster("gathered_bytes_are_written_in_time_without_being_asked_for", &[])
    else {
        return;
    };
    let (one, other) = (Mounted::start(&cluster, ""), Mounted::start(&cluster, ""));
    let mut file = File::create_new(one.at("f")).expect("made");
    file.write_all(&[5; 1000]).expect("gathered");
    let begun = std::time::Instant::now();
    while fs::metadata(other.at("f")).expect("there").len() < 1000 {
        assert!(begun.elapsed().as_secs() < 60, "five seconds have passed long ago");
        std::thread::yield_now();
    }
    drop(file);
    one.leave();
    other.leave();
    cluster.down();
}

#[test]
fn pages_of_a_map_that_the_kernel_wrote_are_safe() {
    let test = "pages_of_a_map_that_the_kernel_wrote_are_safe";
    let Some(cluster) = cluster(test, &["python3", "sync"]) else { return };
    let mut mount = Mounted::start(&cluster, "");
    // No descriptor is left that could be closed or synced: it is the times that the kernel sets behind
    // the pages which bring the bytes to the servers.
    let script = "
import mmap, os, subprocess
f = open('m', 'w+b')
f.truncate(3 << 20)
m = mmap.mmap(f.fileno(), 3 << 20)
f.close()
for at in range(0, 3 << 20, 65536):
    m[at] = 1
subprocess.run(['sync', '-f', '.'], check=True)
os.kill(DAEMON, 9)
";
    mount.python(&script.replace("DAEMON", &mount.id().to_string()));
    assert!(!mount.wait().success());
    unmount(&mount.path());
    let other = Mounted::start(&cluster, "");
    let bytes = fs::read(other.at("m")).expect("there");
    assert_eq!(bytes.iter().filter(|byte| **byte == 1).count(), 48, "one each 64 KiB");
    other.leave();
    cluster.down();
}

#[test]
fn a_killed_daemon_leaves_no_hung_mount() {
    let Some(cluster) = cluster("a_killed_daemon_leaves_no_hung_mount", &[]) else { return };
    let again = |mount: &Mounted| {
        let log = format!("log={}", mount.path().with_file_name("again").display());
        words(
            &fuse(&cluster)
                .arg("local")
                .arg(mount.path())
                .args(["-o", &log])
                .output()
                .expect("runs"),
        )
    };
    let mut mount = Mounted::start(&cluster, "");
    fs::write(mount.at("f"), "safe when closed").expect("written");
    mount.signal("KILL");
    assert!(!mount.wait().success());
    refused(fs::read(mount.at("f")), Errno::NOTCONN.raw_os_error());
    let said = again(&mount);
    assert!(
        said.contains("without a daemon, or another user's: `emberfs umount --force"),
        "{said}"
    );
    unmount(&mount.path());
    let other = Mounted::start(&cluster, "");
    assert_eq!(fs::read(other.at("f")).expect("there"), b"safe when closed");
    let said = again(&other);
    assert!(said.contains("is mounted already"), "{said}");
    other.leave();
    cluster.down();
}

/// By root, in two ways: all bytes reach the servers, the path is free again, and it is said why.
#[test]
fn a_connection_that_is_ended_by_force_leaves_no_dead_mount() {
    let test = "a_connection_that_is_ended_by_force_leaves_no_dead_mount";
    if !rustix::process::geteuid().is_root() {
        println!("skipped: {test}: only root ends connections");
        return;
    }
    let Some(cluster) = cluster(test, &[]) else { return };
    let control = tempfile::tempdir().expect("a temporary directory");
    must(Command::new("mount").args(["-t", "fusectl", "none"]).arg(control.path()));
    let mut mount = Mounted::start(&cluster, "");
    let connection = connection(&mount.path());
    let file = File::create_new(mount.at("aborted")).expect("made");
    file.write_all_at(&[5; 1000], 0).expect("gathered");
    fs::write(control.path().join(connection).join("abort"), "1").expect("root may");
    unmount(control.path());
    assert_eq!(mount.wait().code(), Some(32), "{}", mount.log());
    assert!(mount.log().contains("somebody aborted the connection"), "{}", mount.log());
    assert_eq!(fs::read_dir(mount.path()).expect("nothing is mounted there").count(), 0);
    drop(file);
    let mut mount = Mounted::start(&cluster, "");
    assert_eq!(fs::read(mount.at("aborted")).expect("there"), [5; 1000]);
    let file = File::create_new(mount.at("forced")).expect("made");
    file.write_all_at(&[6; 1000], 0).expect("gathered");
    let forced = Command::new("umount").arg("-f").arg(mount.path()).output().expect("it starts");
    assert!(words(&forced).contains("busy"), "{}", words(&forced));
    assert!(mount.wait().success(), "{}", mount.log());
    assert!(mount.log().contains("ended by force"), "{}", mount.log());
    assert_eq!(fs::read_dir(mount.path()).expect("nothing is mounted there").count(), 0);
    drop(file);
    let mount = Mounted::start(&cluster, "");
    assert_eq!(fs::read(mount.at("forced")).expect("there"), [6; 1000]);
    mount.leave();
    cluster.down();
}

/// The number of a mount's connection.
fn connection(path: &Path) -> String {
    let table = MountTable::read().expect("Linux");
    let mount = table.topmost(path).expect("it is mounted");
    mount.device.split_once(':').expect("two numbers").1.to_owned()
}

#[test]
fn read_only_is_read_only_until_it_is_remounted() {
    let Some(cluster) = cluster("read_only_is_read_only_until_it_is_remounted", &[]) else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: read_only_is_read_only_until_it_is_remounted: only root remounts");
        return;
    }
    let mount = Mounted::start(&cluster, "ro");
    refused(File::create_new(mount.at("f")), Errno::ROFS.raw_os_error());
    // As mount(8) calls mount.emberfs for `mount -o remount,rw`.
    let remount = |options| {
        let mut command = fuse(&cluster);
        must(command.arg("local:/").arg(mount.path()).args(["-o", options, "-t", "emberfs"]));
    };
    remount("remount,rw");
    fs::write(mount.at("f"), "x").expect("written");
    remount("remount,ro");
    refused(fs::remove_file(mount.at("f")), Errno::ROFS.raw_os_error());
    // The same by the operator's command.
    let path = mount.path().display().to_string();
    cluster.must(&["mount", &path, "-o", "remount,rw"]);
    fs::remove_file(mount.at("f")).expect("removed");
    cluster.must(&["mount", &path, "-o", "noatime", "-o", "remount,ro"]);
    refused(File::create_new(mount.at("f")), Errno::ROFS.raw_os_error());
    mount.leave();
    cluster.down();
}

#[test]
fn who_mounts_in_the_background_returns_when_it_is_mounted() {
    let Some(cluster) = cluster("who_mounts_in_the_background_returns_when_it_is_mounted", &[])
    else {
        return;
    };
    let directory = cluster.folder();
    let path = directory.path().join("mount");
    fs::create_dir(&path).expect("an empty directory");
    let log = format!("rw,log={}", directory.path().join("log").display());
    must(fuse(&cluster).arg("local:/").arg(&path).args(["-o", &log]));
    fs::write(path.join("f"), "x").expect("written");
    unmount(&path);
    assert!(!path.join("f").exists());
    cluster.down();
}

#[test]
fn who_cannot_mount_says_why() {
    let Some(cluster) = cluster("who_cannot_mount_says_why", &[]) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_string_lossy().into_owned();
    let log = format!("log={path}/log");
    let nowhere = format!("{path}/none");
    for (source, at, options, status, why) in [
        ("local", &nowhere, log.as_str(), 32, "none: No such file or directory"),
        ("other", &path, &log, 32, "no cluster is called `other`"),
        ("local", &path, "cache=all", 64, "-o cache=all: no such option"),
        ("local:/sub", &path, &log, 64, "only the root can be mounted"),
    ] {
        let output = fuse(&cluster).args([source, at, "-o", options]).output().expect("it starts");
        assert_eq!(output.status.code(), Some(status), "{}", words(&output));
        assert!(words(&output).contains(why), "{}", words(&output));
    }
    cluster.down();
}

#[tokio::test]
async fn the_mount_of_a_killed_test_goes_although_its_daemon_hangs() {
    let test = "the_mount_of_a_killed_test_goes_although_its_daemon_hangs";
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: {test}: no /dev/fuse");
        return;
    }
    let begin = || {
        let cluster = LocalCluster::start(&SHAPE);
        let mount = Mounted::start(&cluster, "");
        let open = File::create_new(mount.at("f")).expect("made");
        mount.signal("STOP");
        (cluster, (mount, open))
    };
    leaves_nothing(&format!("ending::{test}"), begin).await;
}
