//! `emberfs up` and `down`: what they take for new, for lost and for well; which cluster they are about.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use emberfs_client::{ClusterAddress, Directory};

use crate::local::LocalCluster;
use crate::verbs::{SINGLE, ends, hold};

const TWO: [&str; 6] = ["--storage", "2", "--disks", "2", "--replicas", "2"];

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Takes a directory away, to where it is found again.
fn take(directory: &Path) -> PathBuf {
    let away = directory.with_extension("away");
    fs::rename(directory, &away).expect("it was there");
    away
}

/// A file of some chunks, so that all disks have some.
fn write(cluster: &LocalCluster) {
    let local = cluster.directory().join("file.local");
    fs::write(&local, vec![7_u8; 9 << 20]).expect("written");
    cluster.must(&["cp", &text(&local), "ember:/f"]);
}

fn compare(cluster: &LocalCluster) {
    let cat = cluster.emberfs(&["cat", "ember:/f"]);
    assert!(cat.status.success() && cat.stdout == vec![7_u8; 9 << 20], "{}", cat.stdout.len());
}

#[test]
fn what_is_gone_is_not_made_anew() {
    let cluster = LocalCluster::start(&TWO);
    write(&cluster);
    cluster.down();
    let (dir, disk) = (text(&cluster.directory()), cluster.directory().join("storage-1/disk-2"));
    let up = ["up", "--dir", &dir];
    let away = take(&disk);
    let format = format!("disk format {}", disk.display());
    let words = ["a disk is gone", &*text(&disk), "on other servers", &*format];
    hold(&cluster, &[(&up, 1, &words)]);
    assert!(!disk.exists(), "nothing was made");
    fs::create_dir(&disk).expect("as where nothing is mounted");
    hold(&cluster, &[(&up, 1, &words)]);
    assert_eq!(fs::read_dir(&disk).expect("there").count(), 0, "nothing was made");
    fs::remove_dir(&disk).expect("empty");
    fs::rename(&away, &disk).expect("it comes back");
    cluster.up();
    compare(&cluster);
    cluster.down();

    // Without one member the others go on; without two of three nobody knows the names.
    let names = ["meta-2/data", "meta-3/data"].map(|names| cluster.directory().join(names));
    let first = take(&names[0]);
    let gone = ["meta-2 (127.0.0.1:", "is gone, and not made anew", &*text(&names[0])];
    hold(&cluster, &[(&up, 1, &gone), (&up, 1, &["is up, and degraded"])]);
    hold(&cluster, &[(&["status"], 1, &["degraded: meta-2 (127.0.0.1:", "does not answer"])]);
    compare(&cluster);
    cluster.down();
    let second = take(&names[1]);
    let gone = ["the metadata of ", "is gone", &*text(&names[0]), &text(&names[1]), "--dir"];
    hold(&cluster, &[(&up, 1, &gone)]);
    assert!(names.iter().all(|names| !names.exists()), "nothing was made");
    for (away, names) in [first, second].iter().zip(&names) {
        fs::rename(away, names).expect("it comes back");
    }
    cluster.up();
    compare(&cluster);
    cluster.down();
}

/// In the words of `up`; and then the others may go.
#[test]
fn a_member_that_is_lost_for_good_is_made_anew_by_hand() {
    let cluster = LocalCluster::start(&TWO);
    write(&cluster);
    cluster.down();
    let directory = cluster.directory();
    let data = |member| directory.join(member).join("data");
    fs::remove_dir_all(data("meta-2")).expect("it was there");
    let up = ["up", "--dir", &*text(&directory)];
    let (_, said) = ends(&cluster.emberfs(&up));
    let (_, id) = said.split_once("emberfs-meta format --cluster ").expect(&said);
    let (id, _) = id.split_once(' ').expect(&said);
    cluster.down();
    let config = text(&directory.join("meta-2/meta.toml"));
    let mut format = cluster.command("emberfs-meta");
    let formatted = format.args(["format", "--cluster", id, "--config", &config]).status();
    assert!(formatted.expect("it runs").success());
    cluster.up();
    compare(&cluster);
    cluster.down();
    take(&data("meta-1"));
    hold(&cluster, &[(&up, 1, &["is up, and degraded"])]);
    compare(&cluster);
    cluster.down();
}

/// It came no further than to start the metadata members, which have agreed on something by now.
#[test]
fn a_first_run_that_was_cut_off_makes_no_member_anew() {
    let cluster = LocalCluster::start(&TWO);
    write(&cluster);
    cluster.down();
    let directory = cluster.directory();
    for server in ["storage-1", "storage-2"] {
        fs::remove_file(directory.join(server).join("storage.toml")).expect("written by `up`");
    }
    let (dir, names) = (text(&directory), directory.join("meta-1/data"));
    let away = take(&names);
    let gone = ["meta-1 (127.0.0.1:", "is gone, and not made anew", &*text(&names)];
    hold(&cluster, &[(&["up", "--dir", &dir], 1, &gone)]);
    assert!(!names.exists(), "nothing was made");
    compare(&cluster);
    cluster.down();
    fs::rename(&away, &names).expect("it comes back");
    cluster.up();
    compare(&cluster);
    cluster.down();
}

#[test]
fn the_names_of_a_single_member_are_not_made_anew() {
    let cluster = LocalCluster::start(&SINGLE);
    cluster.down();
    let (dir, names) = (text(&cluster.directory()), cluster.directory().join("meta-1/data"));
    let away = take(&names);
    let gone = ["metadata", "is gone", &*text(&names), "--dir"];
    hold(&cluster, &[(&["up", "--dir", &dir], 1, &gone)]);
    assert!(!names.exists(), "nothing was made");
    fs::rename(&away, &names).expect("it comes back");
    cluster.up();
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_is_named_for_as_long_as_it_is_lost() {
    let cluster = LocalCluster::start(&TWO);
    write(&cluster);
    cluster.kill("storage-1").await;
    cluster.until_left_out("storage-1").await;
    let (dir, disk) = (text(&cluster.directory()), cluster.directory().join("storage-1/disk-2"));
    let (up, away) = (["up", "--dir", &dir], take(&disk));
    hold(&cluster, &[(&up, 1, &["a disk is gone", &text(&disk)])]);
    let new = cluster.must(&["disk", "format", &text(&disk)]);
    let missing = ["is missing: storage-1 (node-", "runs without it"];
    let add = format!("disk add {}", new.trim());
    hold(
        &cluster,
        &[
            (&up, 1, &[missing[0], missing[1], &*add, "1 of 2 replicas serves, storage-1 is away"]),
            (&up, 1, &["degraded: disk ", "cluster local is up, and degraded: "]),
            (&["status"], 1, &[missing[0], missing[1], &*add]),
        ],
    );
    compare(&cluster);
    cluster.down();
    fs::remove_dir_all(&disk).expect("it was not admitted");
    fs::rename(&away, &disk).expect("the lost one is found");
    cluster.up();
    compare(&cluster);
    hold(&cluster, &[(&["status"], 0, &["healthy"])]);
    cluster.down();
}

/// Nothing that time alone brings back: it says what `status` says.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_no_success() {
    let cluster = LocalCluster::start(&["--storage", "1", "--disks", "2", "--replicas", "1"]);
    write(&cluster);
    cluster.kill("storage-1").await;
    let (dir, disk) = (text(&cluster.directory()), cluster.directory().join("storage-1/disk-2"));
    let away = take(&disk);
    cluster.must(&["disk", "format", &text(&disk)]);
    let missing = "is missing: storage-1 (node-";
    let up = ["up", "--dir", &dir];
    let words = [missing, "runs, and is unavailable: ", "its only replica does not serve"];
    hold(&cluster, &[(&up, 2, &words), (&["status"], 2, &[missing, "is unavailable: "])]);
    cluster.down();
    fs::remove_dir_all(&disk).expect("it was not admitted");
    fs::rename(&away, &disk).expect("the lost one is found");
    hold(&cluster, &[(&up, 0, &["cluster local is up: "]), (&["status"], 0, &["healthy"])]);
    compare(&cluster);
    cluster.down();
}

/// Neither knows of the other: there was nothing when they were started.
#[test]
fn two_at_once_make_one_cluster() {
    let cluster = LocalCluster::prepare(&SINGLE, &[]);
    let dir = text(&cluster.directory());
    let up = [&["up", "--dir", &*dir][..], &SINGLE[..]].concat();
    let start = || {
        let mut up_too = cluster.command("emberfs");
        up_too.args(&up).stdout(Stdio::piped()).stderr(Stdio::piped());
        up_too.spawn().expect("it starts")
    };
    let ends = [start(), start()].map(|child| child.wait_with_output().expect("it is a child"));
    let said = ends.map(|output| {
        let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
        said(&output.stdout)
    });
    assert!(said[0].contains("cluster local is up: ") && said[0] == said[1], "{said:?}");
    assert_eq!(cluster.processes().len(), 2, "one metadata server, one storage server");
    hold(&cluster, &[(&["status"], 0, &["1 storage server, 1 disk, 4 of 4 chains whole"])]);
    cluster.down();
}

#[test]
fn a_cluster_that_was_not_made_to_its_end_is() {
    let cluster = LocalCluster::prepare(&TWO, &[]);
    let (dir, server) = (text(&cluster.directory()), cluster.directory().join("storage-2"));
    fs::create_dir_all(&server).expect("made");
    fs::write(server.join("disk-1"), "in the way").expect("written");
    let up = [&["up", "--dir", &*dir][..], &TWO[..]].concat();
    hold(&cluster, &[(&up, 1, &["storage-2/disk-1"])]);
    let first = cluster.directory().join("storage-1/disk-1");
    assert!(first.join("emberfs-identity.toml").exists(), "it had got so far");
    fs::remove_file(server.join("disk-1")).expect("out of the way");
    fs::remove_dir_all(first).expect("nothing was in it");
    cluster.up();
    write(&cluster);
    compare(&cluster);
    hold(&cluster, &[(&["status"], 0, &["2 storage servers, 4 disks, 8 of 8 chains whole"])]);
    cluster.down();
}

/// The leader takes the dead server for a living one, for the time of its lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_start_is_told_with_its_reason() {
    let cluster = LocalCluster::start(&TWO);
    let dir = text(&cluster.directory());
    let config = cluster.directory().join("storage-2/storage.toml");
    let config = fs::read_to_string(config).expect("written by `up`");
    let listen = config.lines().find(|line| line.starts_with("listen")).expect("it listens");
    let at = listen.split('"').nth(1).expect("an address");
    cluster.kill("storage-2").await;
    let taken = TcpListener::bind(at).expect("free again");
    let (log, holder) =
        (text(&cluster.directory().join("storage-2/storage.log")), std::process::id());
    let words = ["storage-2 ended with", &*log, "error: ", at, &*holder.to_string()];
    hold(&cluster, &[(&["up", "--dir", &dir], 1, &words)]);
    drop(taken);
    hold(&cluster, &[(&["up", "--dir", &dir], 0, &["is up"]), (&["status"], 0, &["healthy"])]);
    cluster.down();
}

#[test]
fn a_cluster_is_found_by_its_name_and_has_one() {
    let cluster = LocalCluster::start(&SINGLE);
    let dir = text(&cluster.directory());
    let new = text(&cluster.directory().with_file_name("new"));
    let known = Directory::at(&cluster.config());
    hold(
        &cluster,
        &[
            (&["up", "--dir", &dir, "--name", "other"], 64, &["has --name local", "--dir"]),
            (&["up", "--dir", &dir, "--storage", "2"], 64, &["has --storage 1", "--dir"]),
            (&["up", "--dir", &dir, "--meta", "3"], 64, &["has --meta 1", "--dir"]),
            (&["up", "--dir", &new, "--name", "a:1"], 64, &["letters, digits"]),
            (&["up", "--dir", &new], 64, &["`local`", "--name", &dir]),
            (&["up", "--cluster", "nobody"], 1, &["`nobody`", "known: local"]),
            (&["down", "--cluster", "nobody"], 1, &["`nobody`", "known: local"]),
            (&["down", "--dir", &dir, "--cluster", "nobody"], 64, &["`nobody`", "`local`"]),
            (&["down", "--dir", &new], 1, &["no local cluster in", "--dir"]),
            (&["up", "--dir", &dir, "--name", "local"], 0, &["is up", "try: emberfs status; "]),
        ],
    );
    assert!(!Path::new(&new).exists(), "nothing was made");
    assert!(!cluster.processes().is_empty(), "nothing was stopped");
    cluster.must(&["down", "--cluster", "local"]);
    assert_eq!(cluster.processes(), []);
    cluster.must(&["up", "--cluster", "local"]);
    let said = cluster.must(&["down"]);
    assert!(said.contains(&format!("`emberfs up --dir {dir}` brings it back")), "{said}");
    assert_eq!(cluster.processes(), [], "it is the only one");

    let far = ClusterAddress { cluster: None, meta: vec!["far:7000".parse().expect("an address")] };
    known.insert("far", &far, None).expect("written");
    hold(
        &cluster,
        &[
            (&["up", "--dir", &dir], 0, &["try: emberfs --cluster local status; "]),
            (&["down"], 1, &["which cluster?", "far, local", "--cluster"]),
            (&["down", "--cluster", "far"], 1, &["`far`", "--dir"]),
        ],
    );
    let mut down = cluster.command("emberfs");
    let down = down.arg("down").env("EMBERFS_CLUSTER", "local").output().expect("it starts");
    assert!(down.status.success() && cluster.processes().is_empty(), "{down:?}");
}
