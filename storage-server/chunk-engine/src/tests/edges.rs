//! Full, corrupt and failing disks; callers that go away, or do two things at once.

use std::os::unix::fs::FileExt;

use emberfs_layout::{ByteLen, ChunkOffset, ChunkSize, ChunkVersion};

use super::reference::{PlainChange, PlainVersion, narrow};
use super::steps::{bytes, new_version, observe};
use super::{CHUNKS, open, options, run};
use crate::disk::{DiskAction, DiskOffset};
use crate::model::{ModelDisk, ModelRecords, Power};
use crate::records::{RecordChange, Records};
use crate::{
    BadBlocks, ChunkKey, Damage, Engine, EngineError, Installed, NewVersion, Options, Syncs, Which,
};

pub(super) type ModelEngine = Engine<ModelDisk, ModelRecords>;

pub(super) const KEY: ChunkKey = CHUNKS[0].0;
const OTHER: ChunkKey = CHUNKS[1].0;
const SIZE: ChunkSize = ChunkSize::MIN;

pub(super) fn models(size: u64) -> (ModelDisk, ModelRecords) {
    let power = Power::steady();
    (ModelDisk::new(power.clone(), ByteLen(size)), ModelRecords::new(power))
}

async fn model() -> (ModelEngine, ModelDisk) {
    let (disk, records) = models(64 << 20);
    (open(disk.clone(), records).await, disk)
}

pub(super) fn write(version: u64, start: usize, bytes: Vec<u8>, commit: bool) -> NewVersion {
    let change = PlainChange::Write { start, bytes, aligned: true };
    new_version(None, version, SIZE, &[change], commit)
}

pub(super) fn remove(version: u64) -> NewVersion {
    new_version(None, version, SIZE, &[PlainChange::Remove], true)
}

async fn read_all(engine: &ModelEngine, key: ChunkKey) -> Result<Vec<u8>, EngineError> {
    let read = engine.read(key, Which::Committed, ChunkOffset(0), ChunkOffset(u32::MAX)).await?;
    Ok(read.data.bytes().to_vec())
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
fn a_corrupt_block_is_an_error_and_never_a_byte() {
    run(async {
        let (engine, disk) = model().await;
        engine.put(KEY, write(1, 0, bytes(5, 20_000), true)).await.expect("room");
        disk.flip(DiskOffset(4096 + 17));
        let error = read_all(&engine, KEY).await.expect_err("corrupt");
        let EngineError::Corrupt { corrupt, .. } = error else { panic!("{error}") };
        assert_eq!((corrupt.start, corrupt.len), (ChunkOffset(4096), 4096));
        let part = |start, len| engine.read(KEY, Which::Committed, narrow(start), narrow(len));
        assert_eq!(engine.bad_blocks(), Some(BadBlocks { chunks: 1, key: KEY, corrupt }));
        assert!(part(4095, 1).await.is_ok(), "the block before it");
        assert!(part(4096, 1).await.is_err());
        let merged = engine.put(KEY, write(2, 5000, vec![1; 10], true)).await;
        assert!(matches!(merged, Err(EngineError::Corrupt { .. })), "not merged into a new block");
        assert_eq!(
            engine.state(KEY).and_then(|state| state.committed).expect("there").version.0,
            1
        );
        engine.put(KEY, write(2, 4096, vec![1; 4096], true)).await.expect("replaced as a whole");
        let found = read_all(&engine, KEY).await.expect("whole again");
        assert_eq!(found[4096..8192], [1; 4096]);
        assert_eq!(found[8192..], bytes(5, 20_000)[8192..]);
    });
}

#[test]
fn a_corrupt_block_that_is_written_in_part_stays_corrupt() {
    run(async {
        let (engine, disk) = model().await;
        engine.put(KEY, write(1, 0, bytes(5, 20_000), true)).await.expect("room");
        disk.flip(DiskOffset(4096 + 17));
        let kept = |version, start, bytes| NewVersion {
            keep_damage: true,
            ..write(version, start, bytes, true)
        };
        engine.put(KEY, kept(2, 4000, vec![1; 200])).await.expect("merged with damage");
        assert!(engine.bad_blocks().is_some_and(|bad| bad.key == KEY), "a write has met it");
        let part = |start, len| engine.read(KEY, Which::Committed, narrow(start), narrow(len));
        assert_eq!(part(4000, 96).await.expect("sound").data.bytes()[..], [1; 96]);
        for start in [4096, 5000] {
            let read = part(start, 1).await;
            assert!(matches!(read, Err(EngineError::Corrupt { .. })), "{read:?}");
        }
        let cut = new_version(None, 3, SIZE, &[PlainChange::Cut(6000)], true);
        let refused = engine.put(KEY, cut.clone()).await;
        assert!(matches!(refused, Err(EngineError::Corrupt { .. })), "{refused:?}");
        engine.put(KEY, NewVersion { keep_damage: true, ..cut }).await.expect("cut");
        assert!(part(5000, 1).await.is_err() && part(0, 4096).await.is_ok());
        engine.put(KEY, write(4, 4096, vec![3; 4096], true)).await.expect("whole");
        let mut expected = bytes(5, 4096);
        expected[4000..].fill(1);
        expected.extend([3; 4096]);
        assert_eq!(read_all(&engine, KEY).await.expect("whole again"), expected);
        disk.flip(DiskOffset(0));
        engine.put(KEY, remove(5)).await.expect("removal reads nothing");
    });
}

#[test]
fn a_corrupt_block_on_a_real_disk_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let open = async || {
            let opened = crate::open_directory(directory.path(), options(Syncs::all())).await;
            opened.expect("opens")
        };
        let engine = open().await;
        engine.put(KEY, write(1, 0, bytes(5, 20_000), true)).await.expect("room");
        engine.close().await.expect("nothing fails");
        let path = directory.path().join("blocks");
        let file = std::fs::File::options().read(true).write(true).open(path).expect("there");
        let mut byte = [0];
        file.read_exact_at(&mut byte, 9000).expect("readable");
        file.write_all_at(&[!byte[0]], 9000).expect("writable");
        file.sync_all().expect("synced");
        let engine = open().await;
        let all = engine.read(KEY, Which::Committed, ChunkOffset(0), ChunkOffset(20_000)).await;
        assert!(matches!(all, Err(EngineError::Corrupt { .. })), "{all:?}");
        let rest = engine.read(KEY, Which::Committed, ChunkOffset(12_288), ChunkOffset(9)).await;
        assert_eq!(rest.expect("readable").data.bytes()[..], bytes(5, 20_000)[12_288..12_297]);
        engine.close().await.expect("nothing fails");
    });
}

/// Begins something, and leaves it at its first wait.
async fn begin<F: Future>(work: &mut std::pin::Pin<Box<F>>) {
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

#[test]
fn a_failed_write_changes_nothing_and_a_failed_sync_ends_writing() {
    run(async {
        let (engine, disk) = model().await;
        engine.put(KEY, write(1, 0, bytes(1, 9000), true)).await.expect("room");
        let used = engine.usage().used;
        disk.fail(Some(DiskAction::Write));
        let failed = engine.put(KEY, write(2, 0, vec![2; 9000], true)).await;
        assert!(matches!(failed, Err(EngineError::Disk(_))), "{failed:?}");
        assert_eq!(engine.usage().used, used);
        disk.fail(Some(DiskAction::Sync));
        for version in [3, 4] {
            let failed = engine.put(KEY, write(version, 0, vec![2; 9000], true)).await;
            assert!(matches!(failed, Err(EngineError::Failed)), "{failed:?}");
        }
        disk.fail(None);
        assert!(matches!(engine.put(OTHER, remove(1)).await, Err(EngineError::Failed)));
        assert!(matches!(engine.flush().await, Err(EngineError::Failed)));
        assert_eq!(read_all(&engine, KEY).await.expect("reads go on"), bytes(1, 9000));
        assert!(engine.close().await.is_err());
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    run(async {
        let (engine, _) = model().await;
        engine.put(KEY, write(5, 0, vec![1; 10], true)).await.expect("room");
        let refused = |new| engine.put(KEY, new);
        let stale = refused(write(5, 0, vec![2; 10], true)).await;
        assert!(matches!(stale, Err(EngineError::Stale { .. })), "{stale:?}");
        let long = refused(write(6, 60_000, vec![2; 10_000], true)).await;
        assert!(matches!(long, Err(EngineError::TooLong { .. })), "{long:?}");
        let mut other = write(6, 0, vec![2; 10], true);
        other.chunk_size = ChunkSize::DEFAULT;
        let other = refused(other).await;
        assert!(matches!(other, Err(EngineError::OtherSize { .. })), "{other:?}");
        let wanted =
            PlainVersion { version: 9, bytes: vec![3; 10], removed: false, tags: Vec::new() };
        let data = super::steps::payload(0, &[4; 10], true, SIZE);
        let state = wanted.state(SIZE);
        let (tags, data) = (Vec::new(), Some(data));
        let installed = Installed { state, chunk_size: SIZE, tags, data };
        let used = engine.usage().used;
        let other = engine.install(KEY, installed).await;
        assert!(matches!(other, Err(EngineError::OtherDigest { .. })), "{other:?}");
        assert_eq!(engine.usage().used, used, "the new blocks are free again");
        assert_eq!(read_all(&engine, KEY).await.expect("as before"), [1; 10]);
    });
}

#[test]
fn an_older_version_can_be_installed_over_a_newer() {
    run(async {
        let (engine, _) = model().await;
        engine.put(KEY, write(8, 0, bytes(1, 30_000), true)).await.expect("room");
        engine.put(KEY, write(9, 100, vec![2; 10], false)).await.expect("room");
        let wanted =
            PlainVersion { version: 4, bytes: Vec::new(), removed: false, tags: Vec::new() };
        let state = wanted.state(SIZE);
        let installed = Installed { state, chunk_size: SIZE, tags: Vec::new(), data: None };
        engine.install(KEY, installed).await.expect("an empty chunk");
        let found = observe(&engine, KEY, SIZE.log2()).await;
        assert_eq!((found.committed, found.pending), (Some(wanted), None));
        engine.flush().await.expect("nothing fails");
        assert_eq!(engine.usage().used, ByteLen(0));
    });
}

#[test]
fn damaged_records_are_named() {
    let chunk_key = |part: u8| [&[1][..], &[0; 17], &[part]].concat();
    let valid = run(async {
        let (disk, records) = models(64 << 20);
        let engine = open(disk, records.clone()).await;
        engine.put(KEY, write(1, 0, bytes(1, 9000), true)).await.expect("room");
        engine.close().await.expect("nothing fails");
        records.scan(Vec::new(), 99).await.expect("readable")
    });
    let piece = valid.last().expect("a piece").1.clone();
    let moved = |part: u8| {
        let mut key = valid.last().expect("a piece").0.clone();
        *key.last_mut().expect("not empty") = part;
        key
    };
    let cases = [
        (vec![7, 7], vec![1], Damage::Key),
        (chunk_key(0), vec![1], Damage::Value),
        (chunk_key(2), piece.clone(), Damage::Orphan),
        (vec![0], vec![0x82, 2, 0x1a, 0, 4, 0, 0], Damage::Version),
        (vec![0], vec![0x82, 1, 5], Damage::Value),
        (moved(3), piece.clone(), Damage::Value),
    ];
    for (key, value, what) in cases {
        let error = run(opened_with(&valid, key, value, 64 << 20)).expect_err("damaged");
        assert!(
            matches!(error, EngineError::Damaged { what: found, .. } if found == what),
            "{error}"
        );
    }
    // The same blocks under another chunk, and a file that does not have them.
    let mut other = valid.clone();
    for (key, value) in valid.iter().skip(1) {
        let mut key = key.clone();
        key[4] ^= 1;
        other.push((key, value.clone()));
    }
    let error = run(opened_with(&other, vec![0], valid[0].1.clone(), 64 << 20)).expect_err("owned");
    assert!(matches!(error, EngineError::Damaged { what: Damage::Owned, .. }), "{error}");
    let error = run(opened_with(&valid, vec![0], valid[0].1.clone(), 0)).expect_err("outside");
    assert!(matches!(error, EngineError::Damaged { what: Damage::Outside, .. }), "{error}");
    let no_format =
        run(opened_with(&valid[1..], moved(2), piece, 64 << 20)).expect_err("no format");
    assert!(matches!(no_format, EngineError::Damaged { what: Damage::Orphan, .. }), "{no_format}");
}

async fn opened_with(
    records: &[(Vec<u8>, Vec<u8>)],
    key: Vec<u8>,
    value: Vec<u8>,
    file: u64,
) -> Result<ModelEngine, EngineError> {
    let (disk, model) = models(64 << 20);
    if file > 0 {
        crate::disk::Disk::grow(&disk, ByteLen(file)).await.expect("room");
    }
    let all = records.iter().cloned().chain([(key, value)]);
    let puts = all.map(|(key, value)| RecordChange::Put(key, value)).collect();
    model.apply(puts, true).await.expect("applied");
    Engine::open(disk, model, options(Syncs::all())).await
}
