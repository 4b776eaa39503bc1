//! Callers that go away, or do two things at once.

use emberfs_layout::{ByteLen, ChunkOffset, ChunkVersion};

use super::models::{KEY, ModelEngine, OTHER, model, models, read_all, write};
use super::reference::PlainChange;
use super::steps::{bytes, new_version, observe};
use super::{CHUNKS, open, open_directory, options, run};
use crate::{Engine, EngineError, Options, Syncs, Which};

/// Begins something, and leaves it at its first wait.
pub(super) async fn begin<F: Future>(work: &mut std::pin::Pin<Box<F>>) {
    std::future::poll_fn(|turn| {
        assert!(work.as_mut().poll(turn).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

/// The disk is so small that freed blocks are used again at once: were they used while a reader has not
/// let go, its sums would not match.
#[test]
fn blocks_wait_for_their_readers() {
    run(async {
        let (disk, records) = models(64 << 20);
        let options = Options { capacity: Some(ByteLen(256 << 10)), ..options(Syncs::all()) };
        let engine = Engine::open(disk, records, options).await.expect("opens");
        let content = |version| bytes(version * 1000, 36 << 10);
        engine.put(KEY, write(1, 0, content(1), true)).await.expect("room");
        for version in 2..30 {
            let all = ChunkOffset(u32::MAX);
            let mut read = Box::pin(engine.read(KEY, Which::Committed, ChunkOffset(0), all));
            begin(&mut read).await;
            for (key, version) in [(KEY, version), (OTHER, 2 * version), (OTHER, 2 * version + 1)] {
                engine.put(key, write(version, 0, content(version), false)).await.expect("room");
                engine.commit(key, ChunkVersion(version));
                engine.flush().await.expect("nothing fails");
            }
            let read = read.await.expect("its blocks are as they were");
            assert!(read.data.bytes() == &content(version - 1));
        }
    });
}

#[test]
fn a_read_does_not_mix_versions_while_it_looks_for_the_map() {
    run(async {
        let (disk, records) = models(64 << 20);
        let (key, log2) = CHUNKS[2];
        let size = super::size_of(log2);
        let put = |engine: &ModelEngine, version| {
            let bytes = bytes(version, 600_000);
            let change = PlainChange::Write { start: 0, bytes, aligned: true };
            let new = new_version(None, version, size, &[change], true);
            let engine = engine.clone();
            async move { engine.put(key, new).await.expect("room") }
        };
        let engine = open(disk.clone(), records.clone()).await;
        put(&engine, 1).await;
        engine.close().await.expect("nothing fails");
        let engine = open(disk, records).await;
        let all = ChunkOffset(u32::MAX);
        let mut read = Box::pin(engine.read(key, Which::Committed, ChunkOffset(0), all));
        begin(&mut read).await;
        put(&engine, 2).await;
        engine.flush().await.expect("nothing fails");
        let read = read.await.expect("readable");
        assert_eq!(read.version.version.0, 2);
        assert!(read.data.bytes() == &bytes(2, 600_000));
        assert_eq!(observe(&engine, key, log2).await.committed.expect("there").version, 2);
    });
}

#[test]
fn a_version_is_not_made_from_what_is_no_longer_committed() {
    run(async {
        let (engine, _) = model().await;
        engine.put(KEY, write(1, 0, bytes(1, 9000), true)).await.expect("room");
        engine.put(KEY, write(2, 100, vec![2; 50], false)).await.expect("room");
        let put = engine.clone();
        let put = tokio::task::spawn_local(async move {
            put.put(KEY, write(3, 8000, vec![3; 50], true)).await
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(!put.is_finished());
        let used = engine.usage().used;
        engine.commit(KEY, ChunkVersion(2));
        let superseded = put.await.expect("no panic");
        assert!(matches!(superseded, Err(EngineError::Superseded { .. })), "{superseded:?}");
        let mut expected = bytes(1, 9000);
        expected[100..150].fill(2);
        assert_eq!(read_all(&engine, KEY).await.expect("readable"), expected);
        engine.flush().await.expect("nothing fails");
        assert!(engine.usage().used < used, "neither its blocks nor the replaced ones are kept");
    });
}

#[test]
fn a_dropped_put_is_finished() {
    run(async {
        let (engine, _) = model().await;
        let mut put = Box::pin(engine.put(KEY, write(1, 0, bytes(1, 9000), true)));
        begin(&mut put).await;
        drop(put);
        engine.put(KEY, write(2, 9000, vec![7], true)).await.expect("after the first");
        let mut expected = bytes(1, 9000);
        expected.push(7);
        assert_eq!(read_all(&engine, KEY).await.expect("readable"), expected);
    });
}

#[test]
fn a_dropped_put_is_through_when_its_engine_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let engine = open_directory(directory.path()).await;
        let mut put = Box::pin(engine.put(KEY, write(1, 0, bytes(1, 9000), true)));
        begin(&mut put).await;
        drop(put);
        engine.close().await.expect("nothing fails");
        let engine = open_directory(directory.path()).await;
        let read = engine.read(KEY, Which::Committed, ChunkOffset(0), ChunkOffset(9000)).await;
        assert_eq!(read.expect("readable").data.bytes()[..], bytes(1, 9000));
        engine.close().await.expect("nothing fails");
    });
}

#[test]
fn commit_and_discard_may_come_before_the_record_is_durable() {
    run(async {
        let (engine, _) = model().await;
        let put = |key, version| {
            let engine = engine.clone();
            let new = write(version, 0, bytes(version, 5000), false);
            tokio::task::spawn_local(async move { engine.put(key, new).await })
        };
        let (committed, discarded) = (put(KEY, 1), put(OTHER, 2));
        while !committed.is_finished() || !discarded.is_finished() {
            assert!(committed.is_finished() || engine.state(KEY).is_none(), "not durable yet");
            engine.commit(KEY, ChunkVersion(1));
            engine.discard(OTHER);
            tokio::task::yield_now().await;
        }
        committed.await.expect("no panic").expect("stored");
        assert_eq!(read_all(&engine, KEY).await.expect("committed"), bytes(1, 5000));
        let given_up = discarded.await.expect("no panic");
        assert!(matches!(given_up, Err(EngineError::Superseded { .. })), "{given_up:?}");
        assert_eq!(engine.state(OTHER), None);
        engine.put(OTHER, write(3, 0, vec![1], true)).await.expect("goes on");
    });
}
