//! What was answered is there after a clean stop, and after a crash.

use std::sync::atomic::{AtomicI64, Ordering};

use emberfs_meta_server_consensus::{Index, MemberId};
use emberfs_wire::meta::Time;
use tempfile::TempDir;

use super::ledger::{lines, start, start_plain};
use crate::crash_image;
use crate::group::{GroupError, GroupOptions};
use crate::store::{StoreOptions, SyncPoint, Syncs, open};

fn options(dir: &std::path::Path) -> StoreOptions {
    StoreOptions { dir: dir.to_owned(), member: MemberId(1), members: 1, syncs: Syncs::all() }
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_apply_again() {
    let dir = TempDir::new().unwrap();
    let group = start_plain(dir.path()).await;
    for number in 1..=20 {
        assert_eq!(group.propose(format!("line {number}")).await.unwrap().0, number);
    }
    let before = group.read(lines).await.unwrap();
    group.stop().await.unwrap();
    assert_eq!(group.stop().await, Ok(()), "stopping twice is no error");
    assert_eq!(group.propose("late".to_owned()).await, Err(GroupError::Stopped));
    assert_eq!(group.read(lines).await, Err(GroupError::Stopped));
    assert_eq!(group.confirm().await, Err(GroupError::Stopped));
    drop(group);
    let stores = open(&options(dir.path())).unwrap();
    let last = stores.restored.entries.last().map(|entry| entry.position.index);
    assert_eq!(Some(stores.restored.applied), last);
    drop(stores);
    let group = start_plain(dir.path()).await;
    assert_eq!(group.read(lines).await.unwrap(), before);
    assert_eq!(group.propose("next".to_owned()).await.unwrap().0, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_answered() {
    let mut dir = TempDir::new().unwrap();
    let mut known = 0;
    for _ in 0..4 {
        let group = start_plain(dir.path()).await;
        let orders: Vec<_> = (0..32)
            .map(|number| {
                let group = group.clone();
                tokio::spawn(async move { group.propose(format!("line {number}")).await })
            })
            .collect();
        for order in orders {
            order.await.unwrap().unwrap();
        }
        known += 32;
        let left = TempDir::new().unwrap();
        crash_image::take(dir.path(), left.path());
        let restored = open(&options(left.path())).unwrap().restored;
        assert_eq!(restored.applied, Index::NONE, "nothing was flushed: all is applied again");
        group.stop().await.unwrap();
        drop(group);
        dir = left;
        let group = start_plain(dir.path()).await;
        assert_eq!(group.read(lines).await.unwrap().len(), known);
        let again = TempDir::new().unwrap();
        crash_image::take(dir.path(), again.path());
        group.stop().await.unwrap();
        dir = again;
    }
}

#[tokio::test]
async fn the_log_is_cut_and_what_was_cut_is_in_the_state() {
    let dir = TempDir::new().unwrap();
    let syncs = Syncs::all();
    let group = start(dir.path(), &syncs, GroupOptions::default()).await;
    let mut number = 0;
    // Orders of a MiB, until the log was cut and has grown again.
    while syncs.count(SyncPoint::State) < 2 {
        number += 1;
        assert!(number < 200, "the log is never cut");
        let text = format!("{number} {}", "x".repeat(1 << 20));
        assert_eq!(group.propose(text).await.unwrap().0, number);
    }
    let left = TempDir::new().unwrap();
    group.stop().await.unwrap();
    drop(group);
    crash_image::take(dir.path(), left.path());
    let restored = open(&options(left.path())).unwrap().restored;
    assert!(restored.cut.index > Index::NONE);
    assert!((restored.entries.len() as u64) < number);
    let group = start_plain(left.path()).await;
    let lines = group.read(lines).await.unwrap();
    assert_eq!(lines.len() as u64, number);
    assert!((1..).zip(lines).all(|(number, line)| line.text.starts_with(&format!("{number} "))));
}

/// A clock that goes back by a second with each look.
fn backward() -> Time {
    static NOW: AtomicI64 = AtomicI64::new(1_000_000);
    Time { seconds: NOW.fetch_sub(1, Ordering::Relaxed), nanos: 0 }
}

#[tokio::test]
async fn time_never_goes_back() {
    let dir = TempDir::new().unwrap();
    let options = GroupOptions { clock: backward, ..GroupOptions::default() };
    let mut times = Vec::new();
    for _ in 0..3 {
        let group = start(dir.path(), &Syncs::all(), options).await;
        for _ in 0..5 {
            times.push(group.propose("tick".to_owned()).await.unwrap().1.time);
        }
        group.stop().await.unwrap();
    }
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0].seconds > 0);
}
