//! What requests carry behind their header: one struct for each `fuse_*_in`, without what we do not use.
//!
//! Names follow behind these, see [`Fields::name`].

use super::fields::{Fields, Malformed};

/// One struct and its bytes, and where in it lies what we use: the rest is padding, or nothing to us.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident, $len:literal { $($at:literal $kind:ident $field:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::session) struct $name {
            $(pub(in crate::session) $field: $kind,)*
        }

        impl $name {
            /// Its bytes.
            pub(in crate::session) const LEN: usize = $len;

            pub(in crate::session) fn parse(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
                let bytes: [u8; Self::LEN] = fields.take()?;
                Ok(Self { $($field: $kind::from_ne_bytes(part(&bytes, $at)),)* })
            }
        }
    )*};
}

arguments! {
    /// `fuse_mkdir_in`.
    MakeDirectory, 8 { 0 u32 mode }

    /// `fuse_mknod_in`.
    MakeNode, 16 { 0 u32 mode, 4 u32 device }

    /// `fuse_rename_in`: no flags.
    Rename, 8 { 0 u64 new_parent }

    /// `fuse_rename2_in`.
    Rename2, 16 { 0 u64 new_parent, 8 u32 flags }

    /// `fuse_link_in`.
    Link, 8 { 0 u64 file }

    /// `fuse_access_in`.
    Access, 8 { 0 u32 mask }

    /// `fuse_open_in`, also of directories.
    Open, 8 { 0 u32 flags }

    /// `fuse_create_in`.
    Create, 16 { 0 u32 flags, 4 u32 mode }

    /// The beginning of `fuse_flush_in`, `fuse_fsync_in` and `fuse_release_in`: of which open file.
    OpenFile, 8 { 0 u64 file }

    /// `fuse_read_in`, also of directories.
    Read, 40 { 0 u64 file, 8 u64 offset, 16 u32 size, 20 u32 about }

    /// `fuse_write_in`, behind which the bytes are. `flags` are those of the descriptor now.
    Write, 40 { 0 u64 file, 8 u64 offset, 16 u32 size, 20 u32 about, 32 u32 flags }

    /// `fuse_interrupt_in`: of which request.
    Interrupt, 8 { 0 u64 unique }

    /// `fuse_setattr_in`; which of its fields count is told by bits.
    SetAttrFields, 88 {
        0 u32 counts, 8 u64 file, 16 u64 size, 32 u64 atime, 40 u64 mtime, 56 u32 atime_nanos,
        60 u32 mtime_nanos, 68 u32 mode, 76 u32 uid, 80 u32 gid,
    }
}

/// `FUSE_READ_LOCKOWNER`: on behalf of an owner of locks, a program that calls.
const READ_LOCKOWNER: u32 = 1 << 1;
/// `FUSE_WRITE_CACHE`: of pages that the kernel writes back, in the background.
const WRITE_CACHE: u32 = 1 << 0;

impl Read {
    /// Whether pages of the kernel's are filled. A program that bypasses them is named by the kernel as an owner of locks;
    /// pages of a file that is opened without a cache are filled too, for maps of it.
    pub(in crate::session) fn fills_pages(&self) -> bool {
        self.about & READ_LOCKOWNER == 0
    }
}

impl Write {
    /// Whether the kernel writes pages back: no program waits for this one.
    pub(in crate::session) fn writes_back(&self) -> bool {
        self.about & WRITE_CACHE != 0
    }
}

/// A field that lies within `bytes`.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("of this length")
}

/// Which fields of `fuse_setattr_in` count.
mod valid {
    pub(super) const MODE: u32 = 1 << 0;
    pub(super) const UID: u32 = 1 << 1;
    pub(super) const GID: u32 = 1 << 2;
    pub(super) const SIZE: u32 = 1 << 3;
    pub(super) const ATIME: u32 = 1 << 4;
    pub(super) const MTIME: u32 = 1 << 5;
    pub(super) const FILE: u32 = 1 << 6;
    pub(super) const ATIME_NOW: u32 = 1 << 7;
    pub(super) const MTIME_NOW: u32 = 1 << 8;
}

/// What a time is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum SetTo {
    Now,
    /// Seconds since 1970, and nanoseconds on top of them.
    At(i64, u32),
}

/// `fuse_setattr_in`: what shall change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct SetAttr {
    pub(in crate::session) file: Option<u64>,
    pub(in crate::session) size: Option<u64>,
    pub(in crate::session) atime: Option<SetTo>,
    pub(in crate::session) mtime: Option<SetTo>,
    pub(in crate::session) mode: Option<u32>,
    pub(in crate::session) uid: Option<u32>,
    pub(in crate::session) gid: Option<u32>,
}

impl SetAttr {
    pub(in crate::session) fn parse(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let read = SetAttrFields::parse(fields)?;
        let has = |bit| read.counts & bit != 0;
        let time = |bit, now, seconds: u64, nanos| match (has(bit), has(now)) {
            (false, _) => None,
            (true, true) => Some(SetTo::Now),
            (true, false) => Some(SetTo::At(seconds.cast_signed(), nanos)),
        };
        Ok(Self {
            file: has(valid::FILE).then_some(read.file),
            size: has(valid::SIZE).then_some(read.size),
            atime: time(valid::ATIME, valid::ATIME_NOW, read.atime, read.atime_nanos),
            mtime: time(valid::MTIME, valid::MTIME_NOW, read.mtime, read.mtime_nanos),
            mode: has(valid::MODE).then_some(read.mode),
            uid: has(valid::UID).then_some(read.uid),
            gid: has(valid::GID).then_some(read.gid),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fields::Add;
    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let fields = || Fields::new(&bytes);
            let enough = |len: usize| bytes.len() >= len;
            prop_assert_eq!(SetAttr::parse(&mut fields()).is_ok(), enough(88));
            prop_assert_eq!(Read::parse(&mut fields()).is_ok(), enough(40));
            prop_assert_eq!(Write::parse(&mut fields()).is_ok(), enough(Write::LEN));
            prop_assert_eq!(Create::parse(&mut fields()).is_ok(), enough(16));
            prop_assert_eq!(MakeNode::parse(&mut fields()).is_ok(), enough(16));
            prop_assert_eq!(Rename2::parse(&mut fields()).is_ok(), enough(16));
            prop_assert_eq!(MakeDirectory::parse(&mut fields()).is_ok(), enough(8));
            prop_assert_eq!(Open::parse(&mut fields()).is_ok(), enough(8));
            prop_assert_eq!(OpenFile::parse(&mut fields()).is_ok(), enough(8));
            prop_assert_eq!(Interrupt::parse(&mut fields()).is_ok(), enough(8));
        }
    }

    /// As the kernel sends `utimensat` with a time before 1970 and one of now, through a descriptor.
    #[test]
    fn what_counts_is_told_by_its_bits() {
        let mut bytes = Vec::new();
        let counts = valid::ATIME | valid::MTIME | valid::MTIME_NOW | valid::FILE | valid::UID;
        bytes.u32(counts).u32(0).u64(9).u64(4096).u64(0);
        bytes.u64((-2_i64).cast_unsigned()).u64(5).u64(6);
        bytes.u32(250_000_000).u32(1).u32(2).u32(0o644).u32(0).u32(1000).u32(100).u32(0);
        assert_eq!(bytes.len(), 88);
        let read = SetAttr::parse(&mut Fields::new(&bytes)).expect("long enough");
        let expected = SetAttr {
            file: Some(9),
            size: None,
            atime: Some(SetTo::At(-2, 250_000_000)),
            mtime: Some(SetTo::Now),
            mode: None,
            uid: Some(1000),
            gid: None,
        };
        assert_eq!(read, expected);
    }
}
