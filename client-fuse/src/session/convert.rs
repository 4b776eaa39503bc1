//! Our words and the kernel's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emberfs_client::{Attributes, Device, InodeId, InodeKind, Mode, SetTime, Time};
use fuser::{FileAttr, FileType, INodeNo, Request, TimeOrNow};

use crate::caller::Caller;
use crate::errno::Errno;

/// What programs should move at once, in bytes: also what C's `stdio` takes as its buffer, so not more.
const BLOCK: u32 = 128 << 10;
/// Unit of `st_blocks`.
const SECTOR: u64 = 512;
/// The file type bits of `st_mode`.
const TYPE_BITS: u32 = 0o170_000;

pub(super) fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

pub(super) fn inode(number: INodeNo) -> InodeId {
    InodeId(number.0)
}

pub(super) fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

/// The permission bits of a mode.
pub(super) fn mode(mode: u32) -> Mode {
    Mode((mode & 0o7777) as u16)
}

/// The kind in a mode, as `mknod` has it; none means a regular file.
pub(super) fn kind_of_mode(mode: u32) -> Option<InodeKind> {
    Some(match mode & TYPE_BITS {
        0o100_000 | 0 => InodeKind::File,
        0o040_000 => InodeKind::Directory,
        0o120_000 => InodeKind::Symlink,
        0o010_000 => InodeKind::Fifo,
        0o140_000 => InodeKind::Socket,
        0o020_000 => InodeKind::CharDevice,
        0o060_000 => InodeKind::BlockDevice,
        _ => return None,
    })
}

pub(super) fn file_type(kind: InodeKind) -> FileType {
    match kind {
        InodeKind::File => FileType::RegularFile,
        InodeKind::Directory => FileType::Directory,
        InodeKind::Symlink => FileType::Symlink,
        InodeKind::Fifo => FileType::NamedPipe,
        InodeKind::Socket => FileType::Socket,
        InodeKind::CharDevice => FileType::CharDevice,
        InodeKind::BlockDevice => FileType::BlockDevice,
    }
}

pub(super) fn attributes(of: &Attributes) -> FileAttr {
    FileAttr {
        size: of.size.get(),
        blocks: of.size.get().div_ceil(SECTOR),
        atime: system_time(of.atime),
        mtime: system_time(of.mtime),
        ctime: system_time(of.ctime),
        perm: of.mode.0,
        nlink: of.nlink,
        uid: of.uid,
        gid: of.gid,
        rdev: rdev(of.device),
        ..bare(of.inode, of.kind)
    }
}

/// Attributes of which nothing is known but what it is: the kernel does not look at those of `.` and `..`.
pub(super) fn bare(inode: InodeId, kind: InodeKind) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode.0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: file_type(kind),
        perm: 0,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

/// The kernel's device numbers have 32 bits; larger ones are none of its own.
fn rdev(Device(number): Device) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn system_time(Time { seconds, nanos }: Time) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second.unwrap_or(UNIX_EPOCH) + Duration::from_nanos(nanos.into())
}

/// A moment of the kernel's. `fuser` makes one before 1970 by taking seconds *and* nanoseconds off, so
/// both are found by how far it lies back.
fn time(moment: SystemTime) -> Time {
    let (seconds, nanos) = match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            (0_i64.saturating_sub_unsigned(before.as_secs()), before.subsec_nanos())
        }
    };
    Time { seconds, nanos }
}

pub(super) fn set_time(to: TimeOrNow) -> SetTime {
    match to {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(moment) => SetTime::At(time(moment)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        let later = Time { seconds: 1_700_000_000, nanos: 123_456_789 };
        assert_eq!(time(system_time(later)), later);
        // As the kernel says 1969-12-31 23:59:58.25, and as `fuser` hands it on.
        let handed = UNIX_EPOCH - Duration::new(2, 250_000_000);
        assert_eq!(time(handed), Time { seconds: -2, nanos: 250_000_000 });
        let shown = system_time(Time { seconds: -2, nanos: 250_000_000 });
        assert_eq!(shown, UNIX_EPOCH - Duration::new(1, 750_000_000));
    }

    #[test]
    fn each_kind_has_its_bits() {
        for (bits, kind) in [(0o100_644, InodeKind::File), (0o010_600, InodeKind::Fifo)] {
            assert_eq!(kind_of_mode(bits), Some(kind));
        }
        assert_eq!(kind_of_mode(0o644), Some(InodeKind::File));
        assert_eq!(kind_of_mode(0o170_000), None);
        assert_eq!(mode(0o104_755), Mode(0o4755));
    }
}
