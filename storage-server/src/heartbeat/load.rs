//! What this server and its disks did over the last seconds, for `emberfs status`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use emberfs_layout::{ByteLen, DiskId};
use emberfs_metrics::window::{Window, rate};
use emberfs_metrics::{Distribution, table};
use emberfs_transport::LoadWindow;
use emberfs_wire::cluster::{DiskLoad, DiskReport, NodeLoad};

/// A share of this many is no slower than what is told.
const SHARE: f64 = 0.99;

/// What is looked back at, by each heartbeat.
#[derive(Debug, Default)]
pub(super) struct Load {
    node: LoadWindow,
    disks: BTreeMap<DiskId, Window<Seen>>,
}

/// What a disk has counted up to a moment.
#[derive(Clone, Debug)]
struct Seen {
    read: u64,
    written: u64,
    reads: Distribution,
    syncs: Distribution,
}

impl Seen {
    fn now(disk: DiskId) -> Self {
        let disk = disk.to_string();
        Self {
            read: table::DISK_READ_BYTES.with([&disk]).get(),
            written: table::DISK_WRITTEN_BYTES.with([&disk]).get(),
            reads: Distribution::of(&table::DISK_READ_SECONDS.with([&disk])),
            syncs: Distribution::of(&table::DISK_SYNC_SECONDS.with([&disk])),
        }
    }

    fn since(&self, before: &Self, time: Duration) -> DiskLoad {
        let a_second = |now: u64, then: u64| ByteLen(rate(now.saturating_sub(then), time));
        let p99 = |now: &Distribution, then| micros(now.since(then).quantile(SHARE)?);
        DiskLoad {
            window_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
            read: a_second(self.read, before.read),
            written: a_second(self.written, before.written),
            read_p99_us: p99(&self.reads, &before.reads),
            sync_p99_us: p99(&self.syncs, &before.syncs),
        }
    }
}

fn micros(seconds: f64) -> Option<u32> {
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    Some(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
}

impl Load {
    /// Adds to the reports of disks what each did; what the server did.
    pub(super) fn note(&mut self, disks: &mut [DiskReport]) -> Option<NodeLoad> {
        let now = Instant::now();
        for report in disks {
            let seen = Seen::now(report.disk);
            let window = self.disks.entry(report.disk).or_default();
            let before = window.note(now, seen.clone());
            report.load = before.map(|(time, before)| seen.since(before, time));
        }
        self.node.note(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_s_load_is_what_came_since() {
        let disk = DiskId(0x10ad);
        let name = disk.to_string();
        let before = Seen::now(disk);
        table::DISK_READ_BYTES.with([&name]).inc_by(4 << 20);
        (0..10).for_each(|_| table::DISK_SYNC_SECONDS.with([&name]).observe(0.0015));
        let load = Seen::now(disk).since(&before, Duration::from_secs(2));
        assert_eq!((load.window_ms, load.read, load.written), (2000, ByteLen(2 << 20), ByteLen(0)));
        assert_eq!(load.read_p99_us, None);
        assert!(load.sync_p99_us.is_some_and(|us| (1000..=2000).contains(&us)), "{load:?}");
    }
}
