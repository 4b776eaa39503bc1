//! What is answered: one function for each `fuse_*_out`.
//!
//! For how long attributes and names may be used without asking is said with each of them: for no time at all,
//! which is zeros. Inode numbers are never used again, so their generation is 0.

use super::fields::Add;

/// `fuse_attr`: attributes as the kernel has them. Times are seconds since 1970 and nanoseconds on top of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct Attr {
    pub(in crate::session) inode: u64,
    pub(in crate::session) size: u64,
    pub(in crate::session) blocks: u64,
    pub(in crate::session) atime: (i64, u32),
    pub(in crate::session) mtime: (i64, u32),
    pub(in crate::session) ctime: (i64, u32),
    /// With the bits of its kind.
    pub(in crate::session) mode: u32,
    pub(in crate::session) links: u32,
    pub(in crate::session) uid: u32,
    pub(in crate::session) gid: u32,
    pub(in crate::session) device: u32,
    pub(in crate::session) block_size: u32,
}

/// How the kernel shall treat an open file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct OpenFlags(pub(in crate::session) u32);

impl OpenFlags {
    /// Without the page cache.
    pub(in crate::session) const DIRECT_IO: Self = Self(1 << 0);
    /// That, and several writes at once.
    pub(in crate::session) const DIRECT_IO_PARALLEL: Self = Self(1 << 0 | 1 << 6);
}

/// What `statfs` says, in blocks of `unit` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Space {
    pub(in crate::session) total: u64,
    pub(in crate::session) free: u64,
    pub(in crate::session) inodes: u64,
    pub(in crate::session) inodes_free: u64,
    pub(in crate::session) unit: u32,
    pub(in crate::session) name_max: u32,
}

/// Bytes of `fuse_entry_out`.
pub(super) const ENTRY_LEN: usize = 128;

pub(super) fn put_attr(to: &mut Vec<u8>, attr: &Attr) {
    let [atime, mtime, ctime] = [attr.atime, attr.mtime, attr.ctime];
    to.u64(attr.inode).u64(attr.size).u64(attr.blocks);
    to.u64(atime.0.cast_unsigned()).u64(mtime.0.cast_unsigned()).u64(ctime.0.cast_unsigned());
    to.u32(atime.1).u32(mtime.1).u32(ctime.1);
    to.u32(attr.mode).u32(attr.links).u32(attr.uid).u32(attr.gid).u32(attr.device);
    // Of its flags none is ours.
    to.u32(attr.block_size).u32(0);
}

pub(super) fn put_entry(to: &mut Vec<u8>, attr: &Attr) {
    // The generation, and two times for which it is valid.
    to.u64(attr.inode).zeros(32);
    put_attr(to, attr);
}

fn put_open(to: &mut Vec<u8>, number: u64, flags: OpenFlags) {
    to.u64(number).u32(flags.0).u32(0);
}

/// `fuse_entry_out`.
pub(in crate::session) fn entry(found: &Attr) -> Vec<u8> {
    let mut body = Vec::with_capacity(ENTRY_LEN);
    put_entry(&mut body, found);
    body
}

/// `fuse_attr_out`.
pub(in crate::session) fn attr(found: &Attr) -> Vec<u8> {
    let mut body = Vec::with_capacity(104);
    body.zeros(16);
    put_attr(&mut body, found);
    body
}

/// `fuse_open_out`, also of directories.
pub(in crate::session) fn opened(number: u64, flags: OpenFlags) -> Vec<u8> {
    let mut body = Vec::with_capacity(16);
    put_open(&mut body, number, flags);
    body
}

/// `fuse_entry_out` and `fuse_open_out`.
pub(in crate::session) fn created(made: &Attr, number: u64, flags: OpenFlags) -> Vec<u8> {
    let mut body = Vec::with_capacity(ENTRY_LEN + 16);
    put_entry(&mut body, made);
    put_open(&mut body, number, flags);
    body
}

/// `fuse_write_out`.
pub(in crate::session) fn written(len: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(8);
    body.u32(len).u32(0);
    body
}

/// `fuse_statfs_out`.
pub(in crate::session) fn space(space: &Space) -> Vec<u8> {
    let Space { total, free, inodes, inodes_free, unit, name_max } = *space;
    let mut body = Vec::with_capacity(80);
    body.u64(total).u64(free).u64(free).u64(inodes).u64(inodes_free);
    body.u32(unit).u32(name_max).u32(unit).zeros(28);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_long_as_in_the_kernels_header_file() {
        let (none, flags) = (Attr::default(), OpenFlags::default());
        assert_eq!(entry(&none).len(), ENTRY_LEN);
        assert_eq!(attr(&none).len(), 104);
        assert_eq!(opened(1, flags).len(), 16);
        assert_eq!(created(&none, 1, flags).len(), ENTRY_LEN + 16);
        assert_eq!(written(1).len(), 8);
        let (total, free, inodes, inodes_free) = (1, 2, 3, 4);
        let room = Space { total, free, inodes, inodes_free, unit: 4096, name_max: 255 };
        assert_eq!(space(&room).len(), 80);
    }

    #[test]
    fn attributes_lie_where_the_kernel_looks_for_them() {
        let some = Attr {
            inode: 7,
            size: 3,
            blocks: 1,
            atime: (-2, 250_000_000),
            mode: 0o100_644,
            links: 2,
            block_size: 4096,
            ..Attr::default()
        };
        let body = attr(&some);
        let u64_at = |at: usize| u64::from_ne_bytes(body[at..at + 8].try_into().expect("eight"));
        let u32_at = |at: usize| u32::from_ne_bytes(body[at..at + 4].try_into().expect("four"));
        assert_eq!((u64_at(0), u64_at(16), u64_at(24), u64_at(32)), (0, 7, 3, 1));
        assert_eq!((u64_at(40).cast_signed(), u32_at(64)), (-2, 250_000_000));
        assert_eq!((u32_at(76), u32_at(80), u32_at(96)), (0o100_644, 2, 4096));
    }
}
