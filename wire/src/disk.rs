//! How a disk of a storage server stands, and how much room several of them have together.
//!
//! A disk is a directory, and several may lie in one file system: what that has room for is counted by each of
//! them, and once by [`space`].

use std::collections::BTreeMap;

use emberfs_layout::{ByteLen, ChunkId, ChunkOffset, DiskId, FileSystemId, TargetId};
use minicbor::{Decode, Encode};

use crate::load::DiskLoad;

/// How one disk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DiskReport {
    /// Which disk.
    #[n(0)]
    pub disk: DiskId,
    /// Bytes that chunks may take.
    #[n(1)]
    pub capacity: ByteLen,
    /// Bytes that they take.
    #[n(2)]
    pub used: ByteLen,
    /// The part of the capacity that is not the disk's own yet, if its server can say.
    #[n(3)]
    pub growth: Option<Growth>,
    /// Damage that was met on it since its server started.
    #[n(4)]
    pub damage: Option<DiskDamage>,
    /// What it did in the last seconds, if its server counts.
    #[n(5)]
    pub load: Option<DiskLoad>,
}

/// What a disk may yet take of its file system, if nothing else takes it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Growth {
    /// Which file system.
    #[n(0)]
    pub file_system: FileSystemId,
    /// How much of [`DiskReport::capacity`] that is.
    #[n(1)]
    pub counted: ByteLen,
    /// How much the file system has room for, whosever it will be.
    #[n(2)]
    pub room: ByteLen,
}

/// Blocks that did not have their checksums when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DiskDamage {
    /// In how many chunks (a count).
    #[n(0)]
    pub chunks: u32,
    /// The target of the chunk that was found last.
    #[n(1)]
    pub target: TargetId,
    /// That chunk.
    #[n(2)]
    pub chunk: ChunkId,
    /// Where in it the damaged block begins.
    #[n(3)]
    pub at: ChunkOffset,
}

/// Room on disks, before it is divided by replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSpace {
    /// Bytes that chunks may take.
    pub capacity: ByteLen,
    /// Bytes that they take.
    pub used: ByteLen,
}

/// What these disks have together; the room of a file system that several may yet take is counted once.
pub fn space<'a>(disks: impl IntoIterator<Item = &'a DiskReport>) -> RawSpace {
    let (mut own, mut used) = (0_u64, 0_u64);
    // What disks count of each file system, and what it has, by the report that promises least.
    let mut shared: BTreeMap<FileSystemId, (u64, u64)> = BTreeMap::new();
    for report in disks {
        used = used.saturating_add(report.used.get());
        own = own.saturating_add(report.capacity.get());
        if let Some(Growth { file_system, counted, room }) = report.growth {
            let counted = counted.get().min(report.capacity.get());
            own -= counted;
            let (all, least) = shared.entry(file_system).or_insert((0, u64::MAX));
            *all = all.saturating_add(counted);
            *least = room.get().min(*least);
        }
    }
    let shared = shared.values().map(|(all, least)| all.min(least));
    let capacity = shared.fold(own, |sum, one| sum.saturating_add(*one));
    RawSpace { capacity: ByteLen(capacity), used: ByteLen(used) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::KernelId;

    /// A disk with 10 bytes of its own, 4 of them taken, that counts `counted` of 100 on a file system.
    fn report(device: u64, counted: u64) -> DiskReport {
        let file_system = FileSystemId { kernel: KernelId(1), device };
        let room = ByteLen(100);
        DiskReport {
            disk: DiskId(9),
            capacity: ByteLen(10 + counted),
            used: ByteLen(4),
            growth: Some(Growth { file_system, counted: ByteLen(counted), room }),
            damage: None,
            load: None,
        }
    }

    fn capacity(disks: &[DiskReport]) -> u64 {
        space(disks).capacity.get()
    }

    #[test]
    fn the_room_of_a_file_system_is_counted_once() {
        let six = [report(1, 100); 6];
        assert_eq!(space(&six), RawSpace { capacity: ByteLen(160), used: ByteLen(24) });
        assert_eq!(capacity(&[report(1, 100), report(2, 100)]), 220, "two file systems");
        assert_eq!(capacity(&[report(1, 7), report(1, 8)]), 35, "limits below its room");
        assert_eq!(capacity(&[report(1, 100), report(1, 8)]), 120);
        let unsaid = DiskReport { growth: None, ..report(1, 100) };
        assert_eq!(capacity(&[unsaid; 2]), 220, "nobody says that they share");
    }

    #[test]
    fn no_report_overflows() {
        let large =
            DiskReport { capacity: ByteLen(u64::MAX), used: ByteLen(u64::MAX), ..report(1, 100) };
        assert_eq!(capacity(&[large; 3]), u64::MAX);
        let odd = DiskReport { capacity: ByteLen(1), ..report(1, 100) };
        assert_eq!(capacity(&[odd]), 1);
    }
}
