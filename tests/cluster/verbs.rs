//! The command line, against a store of one server.

use std::path::Path;
use std::process::Command;

use crate::local::LocalCluster;

const SINGLE: [&str; 6] = ["--storage", "1", "--disks", "1", "--replicas", "1"];

/// A small tree on this machine: nested, with an empty directory, a link, a large file and odd modes.
fn make_tree(top: &Path) {
    std::fs::create_dir_all(top.join("a/b/empty")).expect("directories");
    std::fs::write(top.join("a/one"), b"1").expect("a file");
    std::fs::write(top.join("a/b/large"), vec![7_u8; 9 << 20]).expect("a file");
    std::fs::write(top.join("nothing"), b"").expect("a file");
    std::os::unix::fs::symlink("a/one", top.join("link")).expect("a link");
}

fn same(one: &Path, other: &Path) {
    let compared = Command::new("diff").arg("-r").args([one, other]).output().expect("diff");
    let said = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success(), "{said}");
}

#[test]
fn files_go_in_and_out_and_stay() {
    let cluster = LocalCluster::start(&SINGLE);
    let local = tempfile::tempdir().expect("a temporary directory");
    let (source, back) = (local.path().join("source"), local.path().join("back"));
    make_tree(&source);
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    cluster.must(&["cp", "-r", &shown(&source), "ember:/in"]);
    cluster.must(&["cp", "-r", "ember:/in", &shown(&back)]);
    same(&source, &back);
    assert_eq!(cluster.must(&["cat", "ember:/in/a/one"]), "1");
    assert_eq!(cluster.must(&["ls", "ember:/in"]), "a\nlink\nnothing\n");

    cluster.must(&["mkdir", "-p", "ember:/x/y"]);
    cluster.must(&["mv", "ember:/in/a", "ember:/x/y"]);
    cluster.must(&["cp", "-r", "ember:/x/y/a", "ember:/copy"]);
    let stat = cluster.must(&["stat", "ember:/copy/b/large", "--json"]);
    assert!(stat.contains("\"size\": 9437184"), "{stat}");
    assert_eq!(stat.matches("\"chain\":").count(), 9, "{stat}");
    cluster.must(&["rm", "-r", "ember:/in", "ember:/x", "ember:/copy"]);
    assert_eq!(cluster.must(&["ls"]), "");
    cluster.down();
}

#[test]
fn what_is_wrong_is_said_with_an_exit_status() {
    let cluster = LocalCluster::start(&SINGLE);
    let status = |words: &[&str]| {
        let output = cluster.emberfs(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(status(&["status"]).0, Some(0));
    assert_eq!(status(&["no-such-verb"]).0, Some(64));
    let (code, said) = status(&["cat", "ember:/no/such/file"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("ember:/no/such/file: no such file or directory"), "{said}");
    let listed = cluster.must(&["target", "list", "--json"]);
    assert_eq!(listed.matches("\"state\": \"serving\"").count(), 4, "{listed}");
    cluster.down();
    assert_eq!(status(&["status", "--timeout", "0.2"]).0, Some(3));
}
