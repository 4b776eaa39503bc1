//! Puts that may not find room, beside those that must.

use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use tokio::task::yield_now;

use super::models::models;
use super::reference::PlainChange;
use super::room::{REGION, key, until};
use super::steps::new_version;
use super::{options, run, size_of};
use crate::{Engine, EngineError, NewVersion, Options, Syncs};

/// A block of chunks of 64 MiB.
const BLOCK: usize = 64 << 10;

#[test]
fn a_put_that_is_sure_of_room_does_not_ask_the_system_again() {
    run(async {
        let (disk, records) = models(64 << 20);
        let capacity = Some(ByteLen(4 * REGION.get()));
        let options = Options { capacity, region: REGION, ..options(Syncs::all()) };
        let engine = Engine::open(disk.clone(), records, options).await.expect("opens");
        let has = || engine.has_room(ByteLen(BLOCK as u64), size_of(26).block_size());
        until(has).await;
        for (index, sure) in (0..).zip([true, false]) {
            let asked = disk.asked();
            let sure_of_room = sure && has();
            let change = PlainChange::Write { start: 0, bytes: vec![1; BLOCK], aligned: true };
            let new = new_version(None, 1, size_of(26), &[change], true);
            let new = NewVersion { sure_of_room, ..new };
            engine.put(key(index), new).await.expect("room");
            assert_eq!(disk.asked() - asked, 1, "by the caller or by the put, sure: {sure}");
        }
    });
}

#[test]
fn what_may_not_find_room_takes_none_that_was_promised() {
    run(async {
        let (disk, records) = models(64 << 20);
        let pool = Pool::new(ByteLen(1 << 20));
        let capacity = Some(ByteLen(4 * REGION.get()));
        let options =
            Options { pool: pool.clone(), capacity, region: REGION, ..options(Syncs::all()) };
        let engine = Engine::open(disk, records, options).await.expect("opens");
        let has = |len: usize| engine.has_room(ByteLen(len as u64), size_of(26).block_size());
        let begin = |index, version, start, len, aligned| {
            let change = PlainChange::Write { start, bytes: vec![1; len], aligned };
            let new = new_version(None, version, size_of(26), &[change], true);
            let sure_of_room = has(len.next_multiple_of(BLOCK));
            let new = NewVersion { sure_of_room, ..new };
            let engine = engine.clone();
            tokio::task::spawn_local(async move { engine.put(key(index), new).await })
        };
        begin(0, 1, 0, BLOCK, true).await.expect("no panic").expect("room");
        until(|| has(BLOCK)).await;
        let all: Vec<_> = std::iter::from_fn(|| pool.take(BLOCK).ok()).collect();
        // It needs memory for the rest of its block.
        let promised = begin(0, 2, 100, 10, false);
        yield_now().await;
        // With it on the disk there is no room but for cuts: four regions, less two blocks, less those for cuts.
        let large = (4 * 32 - 1 - 16) * BLOCK;
        assert!(!has(large));
        let large = begin(1, 1, 0, large, true);
        for _ in 0..1_000 {
            yield_now().await;
        }
        let small = begin(2, 1, 0, BLOCK, true);
        drop(all);
        promised.await.expect("no panic").expect("it was promised");
        let large = large.await.expect("no panic");
        assert!(matches!(large, Ok(_) | Err(EngineError::NoSpace { .. })), "{large:?}");
        let small = small.await.expect("no panic");
        assert!(large.is_ok() || small.is_ok(), "{small:?}");
    });
}
