//! Room: what may be counted on, what is kept for records, and that it comes back.

use std::future::Future;

use emberfs_buffer::Pool;
use emberfs_layout::{BlockSize, ByteLen, ChunkIndex, ChunkSize};
use tokio::task::yield_now;

use super::edges::{KEY, ModelEngine, models, remove, write};
use super::reference::PlainChange;
use super::steps::{bytes, new_version};
use super::{REGION, open, options, run};
use crate::{ChunkKey, Engine, EngineError, Options, Syncs};

fn key(index: u32) -> ChunkKey {
    let mut key = KEY;
    key.chunk.index = ChunkIndex(index);
    key
}

/// Lets tasks run until something is so.
async fn until(so: impl Fn() -> bool) {
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
fn what_a_put_may_take_is_not_promised_twice() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = open(disk, records).await;
        // Four regions are grown ahead; a put may open three besides what it takes, and leaves some blocks.
        until(|| has(&engine, 192)).await;
        assert!(!has(&engine, 193));
        let mut put = Box::pin(engine.put(key(0), write(1, 0, bytes(1, 60 << 10), true)));
        let waker = std::task::Waker::noop();
        assert!(put.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        assert!(has(&engine, 132) && !has(&engine, 133));
        assert!(has(&engine, 0), "what takes none finds it");
        put.await.expect("room");
        until(|| has(&engine, 192)).await;
    });
}

#[test]
fn what_was_promised_to_a_put_stays_promised_while_it_waits_for_memory() {
    run(async {
        let (disk, records) = models(64 << 20);
        let pool = Pool::new(ByteLen(1 << 20));
        let options = Options { pool: pool.clone(), ..options(Syncs::all()) };
        let engine = Engine::open(disk, records, options).await.expect("opens");
        engine.put(key(0), write(1, 0, bytes(1, 64 << 10), true)).await.expect("room");
        let all: Vec<_> = std::iter::from_fn(|| pool.take(4096).ok()).collect();
        until(|| has(&engine, 384) && !has(&engine, 385)).await;
        let part = engine.clone();
        let put = tokio::task::spawn_local(async move {
            part.put(key(0), write(2, 100, bytes(2, 10), true)).await
        });
        until(|| !has(&engine, 384)).await;
        for _ in 0..1_000 {
            assert!(has(&engine, 380) && !has(&engine, 381));
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
        let engine = open(disk, records).await;
        until(|| has(&engine, 64)).await;
        let mut index = 0;
        while has(&engine, 64) {
            let put = engine.put(key(index), write(1, 0, bytes(1, 64 << 10), true)).await;
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
        let engine = open(disk, records).await;
        let sizes = [ChunkSize::MIN, ChunkSize::new(4 << 20).expect("a power of two")];
        let data = || PlainChange::Write { start: 0, bytes: bytes(1, 64 << 10), aligned: true };
        let put = |index, version, size, change| {
            engine.put(key(index), new_version(None, version, size, &[change], true))
        };
        until(|| has(&engine, 64)).await;
        // Mixed, then as many as there is room for of one size, of the other, and of the first again.
        let mixed = bytes(3, 500).into_iter().map(|byte| usize::from(byte > 200));
        let rest = [0, 1, 0].into_iter().flat_map(|which| std::iter::repeat_n(which, 1_000));
        let mut stored = [Vec::new(), Vec::new()];
        for (index, which) in (0..).zip(mixed.chain(rest)) {
            let size = sizes[which];
            let is_promised = engine.has_room(ByteLen(64 << 10), size.block_size());
            match put(index, 1, size, data()).await {
                Ok(_) => stored[which].push(index),
                Err(EngineError::NoSpace { .. }) if !is_promised => {}
                Err(error) => panic!("{error}, promised: {is_promised}"),
            }
        }
        for (indices, size) in stored.iter().zip(sizes) {
            for index in &indices[..10] {
                put(*index, 2, size, PlainChange::Cut(5_000)).await.expect("a cut makes room");
            }
        }
    });
}

#[test]
fn what_was_removed_is_free_though_nobody_writes() {
    run(async {
        let (disk, records) = models(64 << 20);
        let engine = open(disk, records).await;
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
        let engine = open(disk.clone(), records).await;
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
