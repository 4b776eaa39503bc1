//! What a disk and records promise, held against models and real ones alike.

use std::path::Path;
use std::time::Duration;

use emberfs_buffer::{AlignedBuf, Pool};
use emberfs_layout::ByteLen;
use tempfile::TempDir;

use super::run;
use crate::disk::{Disk, DiskOffset, DiskWrite, Segment, ThreadDisk, UringDisk};
use crate::model::{ModelDisk, ModelRecords, Power};
use crate::records::{RecordChange, Records, RocksRecords};

const PAGE: u64 = 4096;
/// How long abandoned calls may hold their memory: far longer than any machine needs for them.
const MEMORY_WAIT: Duration = Duration::from_secs(60);

fn page(pool: &Pool, fill: u8, pages: usize) -> AlignedBuf {
    let mut buf = pool.take(pages * 4096).expect("room");
    buf.fill(fill);
    buf
}

async fn read(disk: &impl Disk, pool: &Pool, at: u64, pages: usize) -> Vec<u8> {
    let range = 0..pages * 4096;
    let segment = Segment { at: DiskOffset(at), range };
    disk.read(page(pool, 99, pages), vec![segment]).await.expect("readable").to_vec()
}

/// Opens the same file again and again; the last one is dropped before the next is opened.
async fn disk_contract<D: Disk>(open: impl Fn() -> D) {
    let pool = Pool::new(ByteLen(8 << 20));
    let disk = open();
    assert!(disk.is_empty() && disk.room().expect("known") > ByteLen(1 << 20));
    disk.grow(ByteLen(64 * PAGE)).await.expect("room");
    assert_eq!(disk.len(), ByteLen(64 * PAGE));
    assert!(read(&disk, &pool, 0, 64).await.iter().all(|byte| *byte == 0), "new room is zeros");

    let write = |at: u64, fill, pages| DiskWrite {
        at: DiskOffset(at * PAGE),
        bytes: page(&pool, fill, pages).freeze(),
    };
    disk.write(vec![write(3, 1, 2), write(63, 2, 1), write(0, 3, 1)]).await.expect("written");
    disk.write(Vec::new()).await.expect("nothing to do");
    disk.sync().await.expect("synced");

    let segment = |at: u64, pages: std::ops::Range<usize>| Segment {
        at: DiskOffset(at * PAGE),
        range: pages.start * 4096..pages.end * 4096,
    };
    let parts = vec![segment(63, 3..4), segment(4, 0..2), segment(0, 5..6)];
    let buf = disk.read(page(&pool, 99, 6), parts).await.expect("readable");
    let pages: Vec<u8> = buf.chunks(4096).map(|page| page[17]).collect();
    assert_eq!(pages, [1, 0, 99, 2, 99, 3], "named parts are filled, the others stay");
    drop(buf);

    // More than a queue holds, at once; and some whose callers go away.
    disk.write((0..600).map(|i| write(5 + i % 50, 7, 1)).collect()).await.expect("written");
    for i in 0..300_u64 {
        let mut task = Box::pin(disk.write(vec![write(5 + i % 50, 7, 1)]));
        let gone = std::future::poll_fn(|turn| {
            let _ = task.as_mut().poll(turn);
            std::task::Poll::Ready(())
        });
        gone.await;
    }
    disk.sync().await.expect("synced");
    disk.grow(ByteLen(65 * PAGE)).await.expect("room");
    drop(disk);
    let disk = open();
    assert_eq!(disk.len(), ByteLen(65 * PAGE));
    assert_eq!(read(&disk, &pool, 3 * PAGE, 1).await, [1; 4096]);
    assert_eq!(read(&disk, &pool, 64 * PAGE, 1).await, [0; 4096]);
    drop(disk);
    all_memory_comes_back(&pool).await;
}

/// Waits until nothing of the pool is in use: calls whose callers went away end when they like, after later ones and
/// after the disk is dropped, and hold their memory until then.
async fn all_memory_comes_back(pool: &Pool) {
    let back = async {
        while pool.usage().in_use > ByteLen::ZERO {
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(MEMORY_WAIT, back).await;
    assert!(came.is_ok(), "memory is kept: {:?}", pool.usage());
}

async fn records_contract<R: Records>(open: impl Fn() -> R) {
    let put = |key: &str, value: &str| RecordChange::Put(key.into(), value.into());
    let delete = |key: &str| RecordChange::Delete(key.into());
    let records = open();
    assert_eq!(records.get(b"a".to_vec()).await, Ok(None));
    let batch = vec![put("a", "1"), put("b", "2"), delete("a"), put("ab", "3"), delete("zz")];
    records.apply(batch, true).await.expect("applied");
    records.apply(vec![put("b", "4"), put("c", "5")], false).await.expect("applied");
    records.apply(Vec::new(), true).await.expect("nothing to do");
    drop(records);

    let records = open();
    assert_eq!(records.get(b"a".to_vec()).await, Ok(None), "changes of a batch are in order");
    assert_eq!(records.get(b"b".to_vec()).await, Ok(Some(b"4".to_vec())));
    let all: Vec<_> = [("ab", "3"), ("b", "4"), ("c", "5")]
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .to_vec();
    assert_eq!(records.scan(Vec::new(), 9).await, Ok(all.clone()));
    assert_eq!(records.scan(b"a".to_vec(), 2).await, Ok(all[..2].to_vec()));
    assert_eq!(records.scan(b"b".to_vec(), 9).await, Ok(all[2..].to_vec()));
    assert_eq!(records.scan(b"c".to_vec(), 9).await, Ok(Vec::new()));
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn blocks(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("blocks")
}

#[test]
fn the_model_of_a_disk_keeps_the_contract() {
    let disk = ModelDisk::new(Power::steady(), ByteLen(4 << 20));
    run(disk_contract(|| disk.clone()));
}

#[test]
fn the_disk_on_threads_keeps_the_contract() {
    let directory = directory();
    run(disk_contract(|| ThreadDisk::open(&blocks(&directory)).expect("opens")));
}

/// Where io_uring and O_DIRECT are refused, nothing is left to test.
fn uring_contract(directory: &Path, name: &str) {
    let path = directory.join("blocks");
    match run(async { UringDisk::open(&path).map(drop) }) {
        Ok(()) => run(disk_contract(|| UringDisk::open(&path).expect("as just now"))),
        Err(error) => println!("skipped: {name}: {error}"),
    }
}

#[test]
fn the_disk_on_io_uring_keeps_the_contract() {
    uring_contract(directory().path(), "the_disk_on_io_uring_keeps_the_contract");
}

#[test]
fn the_disk_on_io_uring_keeps_the_contract_in_memory() {
    let name = "the_disk_on_io_uring_keeps_the_contract_in_memory";
    match tempfile::tempdir_in("/dev/shm") {
        Ok(directory) => uring_contract(directory.path(), name),
        Err(error) => println!("skipped: {name}: {error}"),
    }
}

#[test]
fn the_model_of_records_keeps_the_contract() {
    let records = ModelRecords::new(Power::steady());
    run(records_contract(|| records.clone()));
}

#[test]
fn the_records_in_rocksdb_keep_the_contract() {
    let directory = directory();
    run(records_contract(|| {
        RocksRecords::open(&directory.path().join("r"), ByteLen(1 << 30)).expect("opens")
    }));
}
