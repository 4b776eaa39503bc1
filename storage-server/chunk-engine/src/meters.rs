//! What an engine counts of its disk.

use std::time::Instant;

use emberfs_metrics::{Counter, Gauge, Histogram, table};

/// The handles of one disk.
#[derive(Clone)]
pub(crate) struct Meters {
    read_seconds: Histogram,
    read_bytes: Counter,
    write_seconds: Histogram,
    written_bytes: Counter,
    sync_seconds: Histogram,
    sync_group: Histogram,
    queue: Gauge,
}

impl Meters {
    /// Of the disk that goes by this name.
    pub(crate) fn of(disk: &str) -> Self {
        Self {
            read_seconds: table::DISK_READ_SECONDS.with([disk]),
            read_bytes: table::DISK_READ_BYTES.with([disk]),
            write_seconds: table::DISK_WRITE_SECONDS.with([disk]),
            written_bytes: table::DISK_WRITTEN_BYTES.with([disk]),
            sync_seconds: table::DISK_SYNC_SECONDS.with([disk]),
            sync_group: table::DISK_SYNC_GROUP.with([disk]),
            queue: table::DISK_QUEUE.with([disk]),
        }
    }

    /// So many bytes were read.
    pub(crate) fn read(&self, began: Instant, bytes: usize) {
        self.read_seconds.observe(began.elapsed().as_secs_f64());
        self.read_bytes.inc_by(bytes as u64);
    }

    /// So many bytes were written.
    pub(crate) fn written(&self, began: Instant, bytes: usize) {
        self.write_seconds.observe(began.elapsed().as_secs_f64());
        self.written_bytes.inc_by(bytes as u64);
    }

    /// A group is durable, for which so many waited.
    pub(crate) fn synced(&self, began: Instant, waiters: usize) {
        self.sync_seconds.observe(began.elapsed().as_secs_f64());
        self.sync_group.observe(waiters as f64);
    }

    /// So many changes wait for the next group.
    pub(crate) fn queued(&self, changes: usize) {
        self.queue.set(i64::try_from(changes).unwrap_or(i64::MAX));
    }
}
