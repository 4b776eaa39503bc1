//! `emberfs cp` where it fails half-way, where files have holes, and where names are no text.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::local::LocalCluster;

const SINGLE: [&str; 6] = ["--storage", "1", "--disks", "1", "--replicas", "1"];

/// Copies, which must fail soon, as its servers hang; what it said.
fn fails(cluster: &LocalCluster, from: &str, to: &str) -> String {
    let output = cluster.emberfs(&["cp", "-r", "--timeout", "1", from, to]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[test]
fn a_copy_that_fails_leaves_nothing_new() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(local("large"), vec![7; 9 << 20]).expect("written");
    fs::write(local("old"), "old").expect("written");
    fs::write(local("void"), "").expect("written");
    fs::create_dir(local("many")).expect("made");
    for number in 0..40 {
        fs::write(local(&format!("many/{number}")), vec![number; 1 << 17]).expect("written");
    }
    cluster.must(&["cp", &local("large"), &local("old"), &local("void"), "ember:/"]);
    cluster.signal("storage-1", "STOP");

    let said = fails(&cluster, &local("large"), "ember:/new");
    assert!(said.contains("large to ember:/new: the deadline passed"), "{said}");
    fails(&cluster, &local("many"), "ember:/many");
    let said = fails(&cluster, "ember:/large", &local("new"));
    assert!(said.contains("ember:/large to ") && said.contains("new: the deadline"), "{said}");
    assert!(!Path::new(&local("new")).exists());
    // What cannot be read costs nothing that is there.
    fails(&cluster, "ember:/large", &local("old"));
    assert_eq!(fs::read_to_string(local("old")).expect("there"), "old");
    fails(&cluster, "ember:/large", "ember:/old");
    // What can be read and then not be written does, which is said.
    let said = fails(&cluster, &local("large"), "ember:/void");
    assert!(said.contains("there before, and is incomplete now"), "{said}");

    cluster.signal("storage-1", "CONT");
    cluster.up();
    assert_eq!(cluster.must(&["ls"]), "large\nmany\nold\nvoid\n");
    assert_eq!(cluster.must(&["cat", "ember:/old"]), "old");
    assert_eq!(cluster.must(&["ls", "ember:/many"]), "");
    cluster.must(&["cp", "-r", &local("many"), "ember:/again"]);
    cluster.down();
}

#[test]
fn holes_stay_holes() {
    const DATA_AT: u64 = 20 << 20;
    const LEN: u64 = (33 << 20) + 5;
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let [sparse, empty] = ["sparse", "empty"].map(|name| {
        let file = File::create_new(local(name)).expect("made");
        file.set_len(LEN).expect("longer");
        file
    });
    sparse.write_all_at(b"data", DATA_AT).expect("written");
    cluster.must(&["cp", &local("sparse"), &local("empty"), "ember:/"]);
    for name in ["sparse", "empty"] {
        let stat = cluster.must(&["stat", "--json", &format!("ember:/{name}")]);
        assert!(stat.contains(&format!("\"size\": {LEN}")), "{stat}");
        // Had the zeros before them been written, it would be dense up to the data.
        assert!(stat.contains("\"dense_to\": 0"), "{stat}");
        cluster.must(&["cp", &format!("ember:/{name}"), &local("back")]);
        let [back, file] = ["back", name].map(|name| fs::read(local(name)).expect("there"));
        assert!(back == file, "{name}: {} bytes", back.len());
    }
    drop(empty);
    cluster.down();
}

#[test]
fn names_need_not_be_text() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let name = OsStr::from_bytes(b"\xff\n");
    for name in [name, OsStr::new("ü'")] {
        fs::write(folder.path().join(name), "x").expect("written");
    }
    cluster.must(&["cp", "-r", &folder.path().to_string_lossy(), "ember:/d"]);
    let listed = cluster.must(&["ls", "--json", "ember:/d"]);
    for part in ["\"name_bytes\": \"ff0a\"", "\"name\": \"ü'\"", "\"name_bytes\": null"] {
        assert!(listed.contains(part), "{listed}");
    }
    let table = cluster.must(&["ls", "-l", "ember:/d"]);
    assert!(table.contains("  ü'\n") && table.contains("  \u{fffd}?\n"), "{table}");
    assert!(!table.contains("BYTES"), "{table}");

    let path = [OsStr::new("ember:/d/"), name].iter().copied().collect::<OsString>();
    let run = |words: &[&OsStr]| {
        let output = cluster.command("emberfs").args(words).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let stat = run(&[OsStr::new("stat"), OsStr::new("--json"), &path]);
    assert!(stat.contains("\"path_bytes\": \"2f642fff0a\""), "{stat}");
    assert_eq!(run(&[OsStr::new("cat"), &path]), "x");
    run(&[OsStr::new("rm"), &path]);
    assert_eq!(cluster.must(&["ls", "ember:/d"]), "ü'\n");
    cluster.down();
}
