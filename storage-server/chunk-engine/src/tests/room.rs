//! Room: full disks, what may be counted on, what is kept for records, and that it comes back.

use std::collections::VecDeque;
use std::future::Future;

use emberfs_buffer::Pool;
use emberfs_layout::{BlockSize, ByteLen, ChunkIndex, ChunkSize};
use tokio::task::yield_now;

use super::callers::begin;
use super::models::{KEY, ModelEngine, SIZE, models, read_all, remove, write};
use super::reference::PlainChange;
use super::steps::{bytes, new_version};
use super::{open, options, run, size_of};
use crate::model::{ModelDisk, ModelRecords};
use crate::{ChunkKey, Engine, EngineError, NewVersion, Options, Syncs};

/// So large that the blocks that are kept for cuts fit in a region.
pub(super) const REGION: ByteLen = ByteLen(2 << 20);

async fn opened(disk: ModelDisk, records: ModelRecords, region: ByteLen) -> ModelEngine {
    let options = Options { region, ..options(Syncs::all()) };
    Engine::open(disk, records, options).await.expect("opens")
}

pub(super) fn key(index: u32) -> ChunkKey {
    let mut key = KEY;
    key.chunk.index = ChunkIndex(index);
    key
}

/// Lets tasks run until something is so.
pub(super) async fn until(so: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if so() {
            return;
        }
        yield_now().await;
    }
    panic!("it does not come to that");
}

fn has(engine: &ModelEngine, kib: u64) -> bool {
    engine.has_room(ByteLen(kib << 10), BlockSize::MIN)
}

#[test]
fn a_full_disk_refuses_blocks_and_goes_on() {
    run(async {
        let (disk, records) = models(64 << 20);
        let capacity = Some(ByteLen(512 << 10));
        let options = Options { capacity, ..options(Syncs::all()) };
        let engine = Engine::open(disk, records, options).await.expect("opens");
        let whole = |seed| bytes(seed, 64 << 10);
        let mut full = 0;
        let error = loop {
            let (mut key, version) = (KEY, 1);
            key.chunk.index.0 = full;
            match engine.put(key, write(version, 0, whole(u64::from(full)), true)).await {
                Ok(_) => full += 1,
                Err(error) => break error,
            }
        };
        let expected = ByteLen(512 << 10);
        assert!(matches!(error, EngineError::NoSpace { capacity, .. } if capacity == expected));
        assert_eq!(full, 7, "a few blocks are left for cuts");
        let used = ByteLen(448 << 10);
        let usage = engine.usage();
        assert_eq!((usage.capacity, usage.used), (expected, used));
        assert_eq!(usage.growth, ByteLen::ZERO, "its file is as long as it may be");
        assert_eq!(read_all(&engine, KEY).await.expect("readable"), whole(0));
        let mut last = KEY;
        last.chunk.index.0 = full - 1;
        engine.put(last, remove(2)).await.expect("removals go on");
        // Its blocks are free once the record that drops them is durable, for which nobody has asked.
        let mut other = KEY;
        other.chunk.index.0 = full;
        engine.put(other, write(9, 0, whole(99), true)).await.expect("room again");
        assert_eq!(read_all(&engine, other).await.expect("readable"), whole(99));
        assert!(engine.put(last, write(3, 0, vec![1], true)).await.is_err());
        let cut = new_version(None, 2, SIZE, &[PlainChange::Cut(5000)], true);
        engine.put(KEY, cut).await.expect("cuts go on");
        assert_eq!(read_all(&engine, KEY).await.expect("readable"), whole(0)[..5000]);
        engine.flush().await.expect("nothing fails");
        engine.put(last, write(3, 0, vec![1], true)).await.expect("and make room");
    });
}

#[test]
fn the_file_system_keeps_room_for_records() {
    run(async {
        let (disk, records) = models(2 << 20);
        let engine = open(disk, records).await;
        let capacity = engine.usage().capacity;
        assert_eq!(capacity, ByteLen((2 << 20) / 8 * 7), "an eighth of a small disk");
        let put = |index: u32| {
            let mut key = KEY;
            key.chunk.index.0 = index;
            engine.put(key, write(1, 0, bytes(1, 64 << 10), true))
        };
        let mut stored = 0;
        while put(stored).await.is_ok() {
            stored += 1;
        }
        assert_eq!(stored, 27);
    });
}

#[test]
fn what_a_put_may_take_is_not_promised_twice() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = opened(disk, records, REGION).await;
        // Four regions are grown ahead; puts may open three besides what they take, and leave some blocks.
        until(|| has(&engine, 704)).await;
        assert!(!has(&engine, 705));
        let mut put = Box::pin(engine.put(key(0), write(1, 0, bytes(1, 60 << 10), true)));
        let waker = std::task::Waker::noop();
        assert!(put.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        assert!(has(&engine, 644) && !has(&engine, 645));
        assert!(has(&engine, 0), "what takes none finds it");
        put.await.expect("room");
        until(|| has(&engine, 704)).await;
    });
}

#[test]
fn what_was_promised_to_a_put_stays_promised_while_it_waits_for_memory() {
    run(async {
        let (disk, records) = models(64 << 20);
        let pool = Pool::new(ByteLen(1 << 20));
        let options = Options { pool: pool.clone(), region: REGION, ..options(Syncs::all()) };
        let engine = Engine::open(disk, records, options).await.expect("opens");
        engine.put(key(0), write(1, 0, bytes(1, 64 << 10), true)).await.expect("room");
        let all: Vec<_> = std::iter::from_fn(|| pool.take(4096).ok()).collect();
        until(|| has(&engine, 2688) && !has(&engine, 2689)).await;
        let part = engine.clone();
        let put = tokio::task::spawn_local(async move {
            part.put(key(0), write(2, 100, bytes(2, 10), true)).await
        });
        until(|| !has(&engine, 2688)).await;
        for _ in 0..1_000 {
            assert!(has(&engine, 2684) && !has(&engine, 2685));
            yield_now().await;
        }
        assert!(!put.is_finished());
        drop(all);
        put.await.expect("it ends").expect("there is memory");
    });
}

#[test]
fn what_has_room_is_stored_until_the_disk_is_full() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = opened(disk, records, REGION).await;
        until(|| has(&engine, 64)).await;
        let mut index = 0;
        while has(&engine, 64) {
            let new = write(1, 0, bytes(1, 64 << 10), true);
            let put = engine.put(key(index), NewVersion { sure_of_room: true, ..new }).await;
            put.expect("as was promised");
            index += 1;
        }
        let left = engine.usage();
        assert!(left.capacity.get() - left.used.get() <= 4 * REGION.get(), "{left:?}");
        for index in 0..index {
            engine.put(key(index), remove(2)).await.expect("removals need no room");
        }
        engine.settle_idle();
        until(|| engine.usage().used == ByteLen::ZERO).await;
        assert!(has(&engine, 64));
    });
}

#[test]
fn blocks_of_one_size_leave_room_for_cuts_of_another() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = opened(disk, records, REGION).await;
        let sizes = [ChunkSize::MIN, ChunkSize::new(4 << 20).expect("a power of two")];
        let data = || PlainChange::Write { start: 0, bytes: bytes(1, 64 << 10), aligned: true };
        let put = |index, version, size, change, sure_of_room| {
            let new = new_version(None, version, size, &[change], true);
            engine.put(key(index), NewVersion { sure_of_room, ..new })
        };
        until(|| has(&engine, 64)).await;
        // Mixed, then as many as there is room for of one size, of the other, and of the first again.
        let mixed = bytes(3, 500).into_iter().map(|byte| usize::from(byte > 200));
        let rest = [0, 1, 0].into_iter().flat_map(|which| std::iter::repeat_n(which, 1_000));
        let mut stored = [Vec::new(), Vec::new()];
        for (index, which) in (0..).zip(mixed.chain(rest)) {
            let size = sizes[which];
            let is_promised = engine.has_room(ByteLen(64 << 10), size.block_size());
            match put(index, 1, size, data(), is_promised).await {
                Ok(_) => stored[which].push(index),
                Err(EngineError::NoSpace { .. }) if !is_promised => {}
                Err(error) => panic!("{error}, promised: {is_promised}"),
            }
        }
        for (indices, size) in stored.iter().zip(sizes) {
            for index in &indices[..10] {
                let cut = put(*index, 2, size, PlainChange::Cut(5_000), false).await;
                cut.expect("a cut makes room");
            }
        }
    });
}

/// Chunks of three block sizes are stored, several at once, and some removed when the disk is full.
async fn three_sizes(region: ByteLen) {
    let (disk, records) = models(64 << 20);
    let engine = opened(disk, records, region).await;
    let put = |index, version, size, change, sure_of_room| {
        let new = new_version(None, version, size, &[change], true);
        let new = NewVersion { sure_of_room, ..new };
        let engine = engine.clone();
        async move { engine.put(key(index), new).await }
    };
    let (mut promises, mut under_way) = (0, VecDeque::new());
    let mut stored = [const { VecDeque::new() }; 3];
    for (index, byte) in (0..).zip(bytes(7, 3_000).into_iter().map(usize::from)) {
        let (which, blocks) = (byte % 3, 1 + byte / 3 % 16);
        let size = size_of([16, 21, 24][which]);
        let len = (blocks << 12).next_multiple_of(size.block_size().bytes() as usize);
        let is_promised = engine.has_room(ByteLen(len as u64), size.block_size());
        promises += u32::from(is_promised);
        let change = PlainChange::Write { start: 0, bytes: vec![1; len], aligned: true };
        let mut begun = Box::pin(put(index, 1, size, change, is_promised));
        begin(&mut begun).await;
        under_way.push_back((which, index, is_promised, tokio::task::spawn_local(begun)));
        if under_way.len() < 8 {
            continue;
        }
        let (which, index, is_promised, begun) = under_way.pop_front().expect("just filled");
        match begun.await.expect("no panic") {
            Ok(_) => stored[which].push_back(index),
            Err(EngineError::NoSpace { .. }) if !is_promised => {
                for (indices, log2) in stored.iter_mut().zip([16, 21, 24]) {
                    for index in indices.drain(..indices.len() / 4) {
                        let removed = put(index, 2, size_of(log2), PlainChange::Remove, false);
                        removed.await.expect("removals need no room");
                    }
                }
            }
            Err(error) => panic!("{error}, promised: {is_promised}"),
        }
    }
    assert!(promises > 100, "{promises} promises with regions of {region}");
    for (_, _, is_promised, begun) in under_way {
        let begun = begun.await.expect("no panic");
        assert!(begun.is_ok() || !is_promised, "{begun:?}");
    }
    for (indices, log2) in stored.iter().zip([16, 21, 24]) {
        for index in indices.iter().take(10) {
            let cut = put(*index, 2, size_of(log2), PlainChange::Cut(2_000), false);
            cut.await.expect("a cut makes room");
        }
    }
}

#[test]
fn with_blocks_of_three_sizes_at_once_nothing_that_was_promised_is_refused() {
    for region in [256 << 10, 512 << 10, 1 << 20, 2 << 20] {
        run(three_sizes(ByteLen(region)));
    }
}

#[test]
fn what_was_removed_is_free_though_nobody_writes() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = opened(disk, records, REGION).await;
        engine.put(key(0), write(1, 0, bytes(1, 64 << 10), true)).await.expect("room");
        engine.put(key(0), remove(2)).await.expect("removed");
        assert!(engine.usage().used > ByteLen::ZERO, "the record that drops its blocks waits");
        engine.settle_idle();
        until(|| engine.usage().used == ByteLen::ZERO).await;
    });
}

#[test]
fn when_others_fill_the_file_system_the_rest_is_for_removals() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = opened(disk.clone(), records, REGION).await;
        engine.put(key(0), write(1, 0, bytes(1, 64 << 10), true)).await.expect("room");
        disk.others_take(ByteLen(64 << 20));
        assert!(!has(&engine, 4) && has(&engine, 0));
        let refused = engine.put(key(1), write(1, 0, vec![1], true)).await;
        assert!(matches!(refused, Err(EngineError::NoSpace { .. })), "{refused:?}");
        let cut = new_version(None, 2, ChunkSize::MIN, &[PlainChange::Cut(5_000)], true);
        engine.put(key(0), cut).await.expect("a cut writes a block anew, and makes room");
        engine.put(key(0), remove(3)).await.expect("removed");
        disk.others_take(ByteLen::ZERO);
        engine.put(key(1), write(1, 0, vec![1], true)).await.expect("room again");
    });
}
