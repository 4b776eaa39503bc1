//! Very many entries in one directory, listed while others come and go: each that stays is seen, once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

use emberfs_client::{Client, Fs};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, must};

const DIRECTORY: &str = "many";
/// Names under way at once: they share the log's synced batches.
const AT_ONCE: usize = 256;
/// Tasks that make and remove others meanwhile (a count).
const PASSING_AT_ONCE: usize = 16;
/// What those are called.
const PASSING: &str = "passing-";

fn name(number: usize) -> String {
    format!("stays-{number}")
}

/// Makes names with many under way.
async fn make(client: &Client, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (fs, next) = (client.fs(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, SeqCst);
                if number >= count {
                    return;
                }
                let path = format!("{DIRECTORY}/{}", name(number));
                fs.symlink("nowhere", &path).await.expect("made");
            }
        });
    }
    while let Some(made) = tasks.join_next().await {
        made.expect("no panic");
    }
}

/// Names come and go until it is over; how many did is counted.
async fn pass(fs: Fs, (passed, is_over): (Arc<AtomicU64>, Arc<AtomicBool>), start: usize) {
    for number in (start..).step_by(PASSING_AT_ONCE) {
        if is_over.load(SeqCst) {
            return;
        }
        let path = |number| format!("{DIRECTORY}/{PASSING}{number}");
        fs.symlink("nowhere", path(number)).await.expect("made");
        // Some stay for a while.
        let before = number.checked_sub(8 * PASSING_AT_ONCE);
        if let Some(before) = before {
            fs.remove(path(before)).await.expect("removed");
        }
        passed.fetch_add(1, SeqCst);
    }
}

/// Whether all that stay were seen once, and all others at most once.
fn check(found: impl Iterator<Item = String>, count: usize) {
    let (mut stay, mut others) = (BTreeSet::new(), BTreeSet::new());
    for name in found {
        let seen = if name.starts_with(PASSING) { &mut others } else { &mut stay };
        assert!(seen.insert(name.clone()), "{name} twice");
    }
    let missing = (0..count).map(name).find(|name| !stay.contains(name));
    assert_eq!((missing, stay.len()), (None, count));
}

fn by_mount(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("one"));
    entries.map(|entry| entry.file_name().into_string().expect("text"))
}

async fn by_library(client: &Client) -> Vec<String> {
    let mut listing = client.fs().list_names(DIRECTORY).expect("a path");
    let mut names = Vec::new();
    while let Some(entry) = listing.next().await.expect("a listing") {
        names.push(entry.name.to_string());
    }
    names
}

/// Memory of a server, as the kernel says it.
fn memory(cluster: &LocalCluster, server: &str) -> String {
    let process = cluster.process(server).expect("it runs");
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.expect("each process has it").trim().to_owned()
}

fn took(what: &str, begun: Instant) {
    println!("{what}: {} ms", begun.elapsed().as_millis());
}

/// How many: as many as take a minute, or as `EMBERFS_ENTRIES` says, for who wants to know how long a million takes.
fn count() -> usize {
    let said = std::env::var("EMBERFS_ENTRIES");
    said.map_or(100_000, |said| said.parse().expect("a number"))
}

#[test]
fn a_large_directory_is_listed_whole_while_it_changes() {
    let test = "a_large_directory_is_listed_whole_while_it_changes";
    let Some(cluster) = cluster(test, &["ls"]) else { return };
    let (mount, runtime, count) =
        (Mounted::start(&cluster, ""), Runtime::new().expect("threads"), count());
    let directory = mount.at(DIRECTORY);
    fs::create_dir(&directory).expect("made");
    let client = runtime.block_on(cluster.client());
    let begun = Instant::now();
    runtime.block_on(make(&client, count));
    took(&format!("{count} names are made"), begun);
    at_rest(&client, &runtime, &directory, count);
    println!("memory of the metadata server: {}", memory(&cluster, "meta-1"));

    let (passed, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let passing = (0..PASSING_AT_ONCE)
        .map(|start| runtime.spawn(pass(client.fs(), (passed.clone(), is_over.clone()), start)));
    let passing: Vec<_> = passing.collect();
    for _ in 0..3 {
        check(by_mount(&directory), count);
        check(runtime.block_on(by_library(&client)).into_iter(), count);
    }
    let meanwhile = passed.load(SeqCst);
    assert!(meanwhile > 100, "{meanwhile} names came and went");
    println!("{meanwhile} names came and went while it was listed six times");
    is_over.store(true, SeqCst);
    runtime.block_on(async {
        for task in passing {
            task.await.expect("no panic");
        }
        let begun = Instant::now();
        client.fs().remove_all(DIRECTORY).await.expect("removed");
        took("removed", begun);
        client.close().await.expect("left");
    });
    mount.leave();
    cluster.down();
}

/// Lists what does not change, each way, and says how long that took.
fn at_rest(client: &Client, runtime: &Runtime, directory: &Path, count: usize) {
    let begun = Instant::now();
    check(runtime.block_on(by_library(client)).into_iter(), count);
    took("listed by the library", begun);
    let begun = Instant::now();
    check(by_mount(directory), count);
    took("listed by the mount", begun);
    let begun = Instant::now();
    let listed = must(Command::new("ls").arg("-f").arg(directory));
    assert_eq!(listed.lines().count(), count + 2, "with `.` and `..`");
    took("`ls -f`", begun);
}
