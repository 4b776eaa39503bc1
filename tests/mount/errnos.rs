//! Every call's errnos, by a table: what the mount answers, a local file system answers too.
//!
//! The table is `errnos/*.py`, as it takes what Rust has no safe words for: addresses of no memory, numbers of no open
//! file, processes that become others. Where the mount answers otherwise stands in `docs/calls.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::mounted::{Mounted, cluster, must};

/// In this order they are one program.
const PROGRAM: [&str; 11] = [
    include_str!("errnos/table.py"),
    include_str!("errnos/scene.py"),
    include_str!("errnos/libc.py"),
    include_str!("errnos/paths.py"),
    include_str!("errnos/opening.py"),
    include_str!("errnos/bytes.py"),
    include_str!("errnos/names.py"),
    include_str!("errnos/attributes.py"),
    include_str!("errnos/directories.py"),
    include_str!("errnos/specials.py"),
    include_str!("errnos/end.py"),
];

/// Where the mount is known to answer otherwise.
const DIFFERENCES: &str = include_str!("../../docs/calls.md");

/// Rows (a count), so that none is lost unseen.
const ROWS_MIN: usize = 700;

/// What came of a row.
struct Answer {
    /// Call, caller and how it comes about.
    row: [String; 3],
    /// By the table.
    expected: String,
    came: String,
    /// Of the scene, by refused calls.
    changed: String,
}

/// Runs the table in one directory; the other is on another file system.
fn answers(directory: &Path, other: &Path, words: &[&str]) -> Vec<Answer> {
    let mut python = Command::new("python3");
    python.arg("-c").arg(PROGRAM.concat()).args([directory, other]).args(words);
    let said = must(&mut python);
    let answer = |line: &str| {
        let mut parts = line.split('\t').map(str::to_owned);
        let mut part = || parts.next().expect("six parts in each line");
        let row = [part(), part(), part()];
        Answer { row, expected: part(), came: part(), changed: part() }
    };
    said.lines().map(answer).collect()
}

/// Call and how, what Linux answers and what the mount does.
fn differences() -> BTreeMap<[String; 2], [String; 2]> {
    let cells = |line: &str| -> Option<[String; 4]> {
        let mut cells = line.strip_prefix("| ")?.split(" | ").map(str::to_owned);
        Some([cells.next()?, cells.next()?, cells.next()?, cells.next()?])
    };
    let rows = DIFFERENCES.lines().filter_map(cells).filter(|[call, ..]| call != "call");
    let rows = rows.filter(|[call, ..]| !call.starts_with("---"));
    rows.map(|[call, how, linux, here]| ([call, how], [linux, here])).collect()
}

/// What is wrong with the answers of the mount, and of a local file system.
fn faults(here: &[Answer], local: &[Answer]) -> Vec<String> {
    let (mut faults, mut differences) = (Vec::new(), differences());
    assert_eq!(here.len(), local.len());
    for (here, local) in here.iter().zip(local) {
        let [call, who, how] = &here.row;
        let mut fault = |what: String| faults.push(format!("{call}, {who}, {how}: {what}"));
        assert_eq!(here.row, local.row);
        if local.came != local.expected || !local.changed.is_empty() {
            let Answer { expected, came, changed, .. } = local;
            fault(format!("Linux says {came}, not {expected}; changed: [{changed}]"));
        }
        let key = [call.clone(), how.clone()];
        let known = differences.get(&key).filter(|[linux, _]| *linux == here.expected);
        let expected = known.map_or(&here.expected, |[_, here]| here).clone();
        if here.came != expected || !here.changed.is_empty() {
            let Answer { came, changed, .. } = here;
            fault(format!("the mount says {came}, not {expected}; changed: [{changed}]"));
        }
        if known.is_some() {
            differences.remove(&key);
        }
    }
    let unused = differences.keys().map(|[call, how]| format!("{call}, {how}: no such row"));
    faults.extend(unused);
    faults
}

/// Call and how it comes about, where Linux looks at mode bits and the kernel of a mount does not unless it is told to.
fn by_kernel() -> Vec<String> {
    let rows = differences().into_iter().filter(|(_, [linux, _])| linux == "EACCES");
    rows.map(|(row, _)| row.join("\t")).collect()
}

#[test]
fn every_call_answers_as_linux_does() {
    let test = "every_call_answers_as_linux_does";
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: {test}: only root can be others");
    }
    let Some(cluster) = cluster(test, &["python3", "mount"]) else { return };
    let mount = Mounted::start(&cluster, "allow_dev,allow_suid");
    let local = cluster.folder();
    let theirs = mount.at("errnos");
    fs::create_dir(&theirs).expect("made");
    for directory in [local.path(), &theirs] {
        fs::write(directory.join("file"), "").expect("written");
    }
    let (mut here, mut there) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| there = answers(local.path(), &theirs, &[]));
        here = answers(&theirs, local.path(), &[]);
    });
    mount.leave();

    let mount = Mounted::start(&cluster, "ro,allow_dev,allow_suid");
    here.extend(answers(&mount.at("errnos"), local.path(), &["read-only"]));
    mount.leave();
    let mount = Mounted::start(&cluster, "default_permissions,allow_dev,allow_suid");
    let rows = by_kernel();
    assert!(!rows.is_empty(), "without any, all would run");
    let words: Vec<_> = rows.iter().map(String::as_str).collect();
    for answer in answers(&mount.at("errnos"), local.path(), &words) {
        let Answer { row, expected, came, changed } = answer;
        assert_eq!((came, changed), (expected, String::new()), "{row:?}");
    }
    mount.leave();
    let bound = cluster.folder();
    let bind = |words: &[&str]| must(Command::new("mount").args(words).arg(bound.path()));
    bind(&["--bind", &local.path().to_string_lossy()]);
    bind(&["-o", "remount,ro,bind"]);
    there.extend(answers(bound.path(), local.path(), &["read-only"]));
    must(Command::new("umount").arg(bound.path()));

    let faults = faults(&here, &there);
    assert!(faults.is_empty(), "{} of {} rows:\n{}", faults.len(), here.len(), faults.join("\n"));
    assert!(here.len() >= ROWS_MIN, "{} rows", here.len());
    cluster.down();
}
