//! Many proposers at once; readers beside them.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::ledger::{lines, start, start_plain};
use crate::group::{COMMAND_BYTES_MAX, GroupError, GroupOptions};
use crate::store::{SyncPoint, Syncs};

const PROPOSERS: u64 = 64;
const EACH: u64 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_orders_get_one_place_each_and_share_syncs() {
    let dir = TempDir::new().unwrap();
    let syncs = Syncs::all();
    let group = start(dir.path(), &syncs, GroupOptions::default()).await;
    let before = syncs.count(SyncPoint::Log);
    let proposer = |who: u64| {
        let group = group.clone();
        tokio::spawn(async move {
            let mut places = Vec::new();
            for turn in 0..EACH {
                let (place, line) = group.propose(format!("{who} {turn}")).await.unwrap();
                assert_eq!(line.text, format!("{who} {turn}"));
                places.push(place);
            }
            assert!(places.is_sorted(), "a proposer's orders stand in its order");
            places
        })
    };
    let proposers: Vec<_> = (0..PROPOSERS).map(proposer).collect();
    let mut places = BTreeSet::new();
    for proposer in proposers {
        places.extend(proposer.await.unwrap());
    }
    assert_eq!(places, (1..=PROPOSERS * EACH).collect());
    let shared = syncs.count(SyncPoint::Log) - before;
    assert!(shared * 4 < PROPOSERS * EACH, "{shared} syncs for {} orders", PROPOSERS * EACH);
    let seeds: BTreeSet<u64> =
        group.read(lines).await.unwrap().into_iter().map(|line| line.seed).collect();
    assert_eq!(seeds.len() as u64, PROPOSERS * EACH, "each order has randomness of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_sees_what_anybody_was_answered() {
    let dir = TempDir::new().unwrap();
    let group = start_plain(dir.path()).await;
    let asker = |who: u64| {
        let group = group.clone();
        tokio::spawn(async move {
            for turn in 0..50 {
                let (place, line) = group.propose(format!("{who} {turn}")).await.unwrap();
                let lines = group.read(lines).await.unwrap();
                assert_eq!(lines.get(usize::try_from(place).unwrap() - 1), Some(&line));
                let committed = group.confirm().await.unwrap();
                assert!(committed.get() >= turn);
            }
        })
    };
    let askers: Vec<_> = (0..8).map(asker).collect();
    for asker in askers {
        asker.await.unwrap();
    }
}

#[tokio::test]
async fn a_large_order_is_refused_and_harms_nobody() {
    let dir = TempDir::new().unwrap();
    let group = start_plain(dir.path()).await;
    let large = group.propose("x".repeat(COMMAND_BYTES_MAX + 1)).await;
    assert!(matches!(large, Err(GroupError::TooLarge { .. })), "{large:?}");
    assert_eq!(group.propose("x".repeat(1 << 20)).await.unwrap().0, 1);
}
