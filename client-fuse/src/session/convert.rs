//! Our words and the kernel's.

use emberfs_client::{Attributes, Device, InodeId, InodeKind, Mode, SetTime, Time};

use super::protocol::{self, Attr, SetTo};

/// What programs should move at once, in bytes: also what C's `stdio` takes as its buffer, so not more.
const BLOCK: u32 = 128 << 10;
/// Unit of `st_blocks`.
const SECTOR: u64 = 512;
/// The file type bits of `st_mode`.
const TYPE_BITS: u32 = 0o170_000;

/// Each kind and its bits.
const KINDS: [(InodeKind, u32); 7] = [
    (InodeKind::File, 0o100_000),
    (InodeKind::Directory, 0o040_000),
    (InodeKind::Symlink, 0o120_000),
    (InodeKind::Fifo, 0o010_000),
    (InodeKind::Socket, 0o140_000),
    (InodeKind::CharDevice, 0o020_000),
    (InodeKind::BlockDevice, 0o060_000),
];

/// The permission bits of a mode.
pub(super) fn mode(mode: u32) -> Mode {
    Mode((mode & 0o7777) as u16)
}

/// The kind in a mode, as `mknod` has it; none means a regular file.
pub(super) fn kind_of_mode(mode: u32) -> Option<InodeKind> {
    match mode & TYPE_BITS {
        0 => Some(InodeKind::File),
        bits => KINDS.iter().find(|(_, of)| *of == bits).map(|(kind, _)| *kind),
    }
}

/// The bits of a kind.
pub(super) fn type_bits(kind: InodeKind) -> u32 {
    let found = KINDS.iter().find(|(of, _)| *of == kind);
    found.map(|(_, bits)| *bits).expect("each kind has its bits")
}

/// Attributes as the kernel has them.
pub(super) fn attributes(of: &Attributes) -> Attr {
    let bare = bare(of.inode, of.kind);
    Attr {
        size: of.size.get(),
        blocks: of.size.get().div_ceil(SECTOR),
        atime: time(of.atime),
        mtime: time(of.mtime),
        ctime: time(of.ctime),
        mode: bare.mode | u32::from(of.mode.0),
        links: of.nlink,
        uid: of.uid,
        gid: of.gid,
        device: device(of.device),
        ..bare
    }
}

/// Attributes of which nothing is known but what it is: the kernel does not look at those of `.` and `..`.
pub(super) fn bare(inode: InodeId, kind: InodeKind) -> Attr {
    let (inode, mode) = (inode.0, type_bits(kind));
    Attr { inode, mode, links: 1, block_size: BLOCK, ..Attr::default() }
}

/// The answer with what has a name.
pub(super) fn entry(found: &Attributes) -> Vec<u8> {
    protocol::entry(&attributes(found))
}

/// The answer with attributes.
pub(super) fn attr(found: &Attributes) -> Vec<u8> {
    protocol::attr(&attributes(found))
}

/// The kernel's device numbers have 32 bits; larger ones are none of its own.
fn device(Device(number): Device) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn time(Time { seconds, nanos }: Time) -> (i64, u32) {
    (seconds, nanos)
}

pub(super) fn set_time(to: SetTo) -> SetTime {
    match to {
        SetTo::Now => SetTime::Now,
        SetTo::At(seconds, nanos) => SetTime::At(Time { seconds, nanos }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_bits() {
        for (bits, kind) in [(0o100_644, InodeKind::File), (0o010_600, InodeKind::Fifo)] {
            assert_eq!(kind_of_mode(bits), Some(kind));
        }
        for (kind, _) in KINDS {
            assert_eq!(kind_of_mode(type_bits(kind) | 0o644), Some(kind));
        }
        assert_eq!(kind_of_mode(0o644), Some(InodeKind::File));
        assert_eq!(kind_of_mode(0o170_000), None);
        assert_eq!(mode(0o104_755), Mode(0o4755));
    }
}
