//! The engine against a plain reference, on models and on real disks, through crashes.
//!
//! * `reference.rs`: what chunks should be, in memory. `steps.rs`: random operations, done to both.
//! * `contract.rs`: one test of what a disk and records promise, for models and real ones.
//! * `random.rs`: random operations compared with the reference.
//! * `crash.rs`: a crash at every step, with every subset of what was not synced.
//! * `models.rs`: engines on models. `room.rs`: full disks, room that comes and goes. `promises.rs`: room that is
//!   promised. `damage.rs`: corrupt blocks and records. `refusals.rs`: failing disks, and what does not fit.
//!   `callers.rs`: dropped futures, and two at once.

mod callers;
mod contract;
mod crash;
mod damage;
mod models;
mod promises;
mod random;
mod reference;
mod refusals;
mod room;
mod steps;

use std::future::Future;
use std::path::Path;

use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ChunkId, ChunkIndex, ChunkSize, DataId, TargetId};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::disk::Disk;
use crate::records::Records;
use crate::{ChunkKey, Engine, FileEngine, Options, Syncs};

/// Small regions, so that there are many.
const REGION: ByteLen = ByteLen(256 << 10);

/// Runs a future as a shard would.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, work)
}

fn pool() -> Pool {
    Pool::new(ByteLen(256 << 20))
}

fn options(syncs: Syncs) -> Options {
    Options { syncs, region: REGION, ..Options::new(pool()) }
}

async fn open<D: Disk, R: Records>(disk: D, records: R) -> Engine<D, R> {
    let opened = Engine::open(disk, records, options(Syncs::all())).await;
    opened.expect("what an engine left can be opened")
}

/// One on a real disk.
async fn open_directory(directory: &Path) -> FileEngine {
    let opened = crate::open_directory(directory, options(Syncs::all())).await;
    opened.expect("what an engine left can be opened")
}

/// The chunks that tests use: each block size, maps of several pieces, two targets, two of one file.
const CHUNKS: [(ChunkKey, u8); 5] = [
    (chunk(1, 7, 0), 16),
    (chunk(1, 7, 3), 16),
    (chunk(2, 7, 0), 20),
    (chunk(2, 8, 1), 21),
    (chunk(2, 9, 0), 24),
];

const fn chunk(target: u32, data: u64, index: u32) -> ChunkKey {
    let chunk = ChunkId::new(DataId(data), ChunkIndex(index));
    ChunkKey { target: TargetId(target), chunk }
}

fn size_of(log2: u8) -> ChunkSize {
    ChunkSize::from_log2(log2).expect("a chunk size")
}
