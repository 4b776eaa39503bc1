//! What a shard tells of sizes: of its disks and of its buffers.

use emberfs_buffer::{Pool, PoolUsage};
use emberfs_layout::{ByteLen, DiskId};
use emberfs_metrics::{Gauge, table};
use emberfs_storage_server_chunk_engine::{BadBlocks, Sizes, Usage};
use emberfs_wire::handshake::ShardIndex;

/// Of one disk.
pub(super) struct DiskMeters {
    chunks: Gauge,
    index: Gauge,
    pieces: Gauge,
    damaged: Gauge,
    capacity: Gauge,
    used: Gauge,
    room: Gauge,
}

impl DiskMeters {
    pub(super) fn of(disk: DiskId) -> Self {
        let disk = disk.to_string();
        Self {
            chunks: table::DISK_CHUNKS.with([&disk]),
            index: table::DISK_INDEX_BYTES.with([&disk]),
            pieces: table::DISK_PIECES.with([&disk]),
            damaged: table::DISK_DAMAGED.with([&disk]),
            capacity: table::DISK_CAPACITY_BYTES.with([&disk]),
            used: table::DISK_USED_BYTES.with([&disk]),
            room: table::DISK_ROOM_BYTES.with([&disk]),
        }
    }

    /// As it is now.
    pub(super) fn note(&self, usage: Usage, sizes: Sizes, bad: Option<&BadBlocks>) {
        let Usage { capacity, used, room, .. } = usage;
        let Sizes { chunks, index, pieces } = sizes;
        self.chunks.set(count(chunks));
        self.pieces.set(count(pieces));
        self.damaged.set(bad.map_or(0, |bad| count(bad.chunks)));
        let sizes = [
            (&self.index, index),
            (&self.capacity, capacity),
            (&self.used, used),
            (&self.room, room),
        ];
        sizes.into_iter().for_each(|(gauge, len)| gauge.set(bytes(len)));
    }
}

/// Of one pool.
pub(super) struct PoolMeters {
    pool: Pool,
    in_use: Gauge,
    kept: Gauge,
}

impl PoolMeters {
    pub(super) fn of(shard: ShardIndex, name: &str, pool: &Pool) -> Self {
        let shard = shard.0.to_string();
        let gauge = |state| table::POOL_BYTES.with([&shard, name, state]);
        Self { pool: pool.clone(), in_use: gauge("in_use"), kept: gauge("kept") }
    }

    /// As it is now.
    pub(super) fn note(&self) {
        let PoolUsage { in_use, kept } = self.pool.usage();
        self.in_use.set(bytes(in_use));
        self.kept.set(bytes(kept));
    }
}

fn bytes(len: ByteLen) -> i64 {
    i64::try_from(len.get()).unwrap_or(i64::MAX)
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
