//! Random operations, compared with the reference after each step: on models and on real disks.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use emberfs_layout::{ByteLen, ChunkOffset, TargetId};
use proptest::prelude::*;

use super::reference::{Reference, narrow};
use super::steps::{Step, observe, perform, step, visible};
use super::{CHUNKS, open, run};
use crate::disk::{Disk, FileDisk, ThreadDisk, UringDisk};
use crate::model::{ModelDisk, ModelRecords, Power};
use crate::records::{Records, RocksRecords};
use crate::{Engine, Which};

/// How far into chunks is written: so far that each block size has maps of several pieces.
const FAR: usize = 5 << 20;

/// The engine shows what the reference has, by each way of asking.
async fn compare<D: Disk, R: Records>(engine: &Engine<D, R>, reference: &Reference, at: usize) {
    for (key, log2) in CHUNKS {
        let expected = reference.get(key);
        let found = observe(engine, key, log2).await;
        assert!(found == visible(&expected), "{key:?} differs");
        let Some(version) = expected.committed else { continue };
        let start = at % (version.bytes.len() + 1);
        let len = at / 7 % 100_000;
        let read = engine.read(key, Which::Committed, narrow(start), narrow(len)).await;
        let end = (start + len).min(version.bytes.len());
        assert!(read.expect("readable").data.bytes() == &version.bytes[start..end]);
    }
    for target in [TargetId(1), TargetId(2)] {
        let all = engine.chunks(target, None, usize::MAX);
        let paged = engine.chunks(target, all.first().map(|(chunk, _)| *chunk), 1);
        assert_eq!(paged, all.iter().skip(1).take(1).copied().collect::<Vec<_>>());
        let of_target = |key: &&crate::ChunkKey| key.target == target;
        let there = |key: &&crate::ChunkKey| reference.get(**key) != Default::default();
        let expected = reference.chunks.keys().filter(of_target).filter(there);
        assert!(all.iter().map(|(chunk, _)| *chunk).eq(expected.map(|key| key.chunk)));
    }
    let last = [CHUNKS[1], CHUNKS[0]].into_iter().find_map(|(key, _)| {
        let there = reference.get(key).committed.filter(|version| !version.removed)?;
        Some((key.chunk.index, ChunkOffset(narrow(there.bytes.len()).0)))
    });
    assert_eq!(engine.last_chunk(TargetId(1), CHUNKS[0].0.chunk.data), last);
}

async fn check<D: Disk, R: Records>(
    mut engine: Engine<D, R>,
    steps: Vec<Step>,
    reopen: impl AsyncFn() -> Engine<D, R>,
) {
    let reference = Rc::new(RefCell::new(Reference::default()));
    let half = steps.len() / 2;
    for (i, step) in steps.into_iter().enumerate() {
        perform(&engine, &reference, step).await;
        let now = reference.borrow().clone();
        compare(&engine, &now, i * 7919 + 13).await;
        if i == half {
            engine.close().await.expect("nothing fails");
            engine = reopen().await;
            compare(&engine, &now, i).await;
        }
    }
    engine.flush().await.expect("nothing fails");
    let marks = engine.marks();
    engine.close().await.expect("nothing fails");
    assert_eq!(reopen().await.marks(), marks, "a block is lost or owned twice");
}

fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(FAR), 1..count)
}

fn on_disk<D: Disk>(steps: Vec<Step>, disk: impl Fn(&Path) -> D) {
    let directory = tempfile::tempdir().expect("a directory");
    let reopen = async || {
        let records =
            RocksRecords::open(&directory.path().join("records"), ByteLen(1 << 30)).expect("opens");
        open(disk(&directory.path().join("blocks")), records).await
    };
    run(async { check(reopen().await, steps, &reopen).await });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_the_reference_on_models(steps in steps(24)) {
        let power = Power::steady();
        let disk = ModelDisk::new(power.clone(), ByteLen(256 << 20));
        let records = ModelRecords::new(power);
        let reopen = async || open(disk.clone(), records.clone()).await;
        run(async { check(reopen().await, steps, &reopen).await });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_the_reference_on_io_uring(steps in steps(16)) {
        let directory = tempfile::tempdir().expect("a directory");
        let has_uring = run(async { UringDisk::open(&directory.path().join("probe")).is_ok() });
        if has_uring {
            on_disk(steps, |path| UringDisk::open(path).expect("as just now"));
        } else {
            println!("skipped: the_engine_is_the_reference_on_io_uring: the kernel refuses it");
        }
    }

    #[test]
    fn the_engine_is_the_reference_on_threads(steps in steps(16)) {
        on_disk(steps, |path| ThreadDisk::open(path).expect("opens"));
    }
}

#[test]
fn a_directory_is_opened_as_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let (key, log2) = CHUNKS[0];
    let open = async || {
        let options = super::options(crate::Syncs::all());
        crate::open_directory(directory.path(), options).await.expect("opens")
    };
    run(async {
        let engine = open().await;
        let reference = Rc::new(RefCell::new(Reference::default()));
        let changes = vec![super::reference::PlainChange::Write {
            start: 5,
            bytes: super::steps::bytes(1, 9000),
            aligned: true,
        }];
        let put = super::steps::Action::Put { changes, commit: true };
        perform(&engine, &reference, vec![(0, put)]).await;
        engine.close().await.expect("nothing fails");
        let engine = open().await;
        assert_eq!(observe(&engine, key, log2).await, reference.borrow().get(key));
        assert!(FileDisk::open(&directory.path().join("blocks")).is_ok());
    });
}
