//! Blocks that are corrupt, and records that no engine writes.

use std::os::unix::fs::FileExt;

use emberfs_layout::{ByteLen, ChunkOffset};

use super::models::{KEY, ModelEngine, SIZE, model, models, read_all, remove, write};
use super::reference::{PlainChange, narrow};
use super::steps::{bytes, new_version};
use super::{open, open_directory, options, run};
use crate::disk::DiskOffset;
use crate::records::{RecordChange, Records};
use crate::{BadBlocks, Damage, Engine, EngineError, NewVersion, Syncs, Which};

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
        let engine = open_directory(directory.path()).await;
        engine.put(KEY, write(1, 0, bytes(5, 20_000), true)).await.expect("room");
        engine.close().await.expect("nothing fails");
        let path = directory.path().join("blocks");
        let file = std::fs::File::options().read(true).write(true).open(path).expect("there");
        let mut byte = [0];
        file.read_exact_at(&mut byte, 9000).expect("readable");
        file.write_all_at(&[!byte[0]], 9000).expect("writable");
        file.sync_all().expect("synced");
        let engine = open_directory(directory.path()).await;
        let all = engine.read(KEY, Which::Committed, ChunkOffset(0), ChunkOffset(20_000)).await;
        assert!(matches!(all, Err(EngineError::Corrupt { .. })), "{all:?}");
        let rest = engine.read(KEY, Which::Committed, ChunkOffset(12_288), ChunkOffset(9)).await;
        assert_eq!(rest.expect("readable").data.bytes()[..], bytes(5, 20_000)[12_288..12_297]);
        engine.close().await.expect("nothing fails");
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
