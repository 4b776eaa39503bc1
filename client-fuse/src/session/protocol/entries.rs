//! Directories: `fuse_dirent` and `fuse_direntplus`, as many as fit into the kernel's buffer.
//!
//! ```text
//!   [attributes, 128 bytes │] inode u64 │ offset behind it u64 │ name's length u32 │ kind u32 │ name │ to eight
//! ```

use super::answers::{Attr, ENTRY_LEN, put_entry};
use super::fields::Add;

/// An entry without its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct DirectoryEntry<'a> {
    pub(in crate::session) inode: u64,
    /// Where the kernel goes on behind it.
    pub(in crate::session) offset: u64,
    /// The bits of `st_mode` for its kind.
    pub(in crate::session) kind: u32,
    pub(in crate::session) name: &'a [u8],
}

/// A part of a directory.
#[derive(Debug)]
pub(in crate::session) struct Entries {
    bytes: Vec<u8>,
    /// What the kernel has room for.
    max: usize,
}

/// Bytes of `fuse_dirent` before the name.
const FIXED: usize = 24;
/// What entries are padded to.
const ALIGNED: usize = 8;
/// `d_type` is `st_mode` without its lower bits.
const KIND_SHIFT: u32 = 12;

impl Entries {
    pub(in crate::session) fn new(max: u32) -> Self {
        Self { bytes: Vec::new(), max: max as usize }
    }

    /// Adds one, with attributes if they were asked for; `false` if there is no room for it.
    pub(in crate::session) fn add(
        &mut self,
        entry: DirectoryEntry<'_>,
        attr: Option<&Attr>,
    ) -> bool {
        let before = if attr.is_some() { ENTRY_LEN } else { 0 };
        let len = (before + FIXED + entry.name.len()).next_multiple_of(ALIGNED);
        let end = self.bytes.len() + len;
        if end > self.max {
            return false;
        }
        if let Some(attr) = attr {
            put_entry(&mut self.bytes, attr);
        }
        let name_len = u32::try_from(entry.name.len()).expect("a name is short");
        self.bytes.u64(entry.inode).u64(entry.offset).u32(name_len).u32(entry.kind >> KIND_SHIFT);
        self.bytes.extend(entry.name);
        self.bytes.resize(end, 0);
        true
    }

    pub(in crate::session) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8]) -> DirectoryEntry<'_> {
        DirectoryEntry { inode: 7, offset: 3, kind: 0o100_000, name }
    }

    #[test]
    fn entries_are_padded_and_end_where_the_room_does() {
        let mut entries = Entries::new(64);
        assert!(entries.add(file(b"12345678"), None));
        assert!(!entries.add(file(b"123456789"), None), "one byte too many");
        assert!(entries.add(file(b"x"), None));
        assert!(!entries.add(file(b"x"), None));
        let bytes = entries.into_bytes();
        assert_eq!(bytes.len(), 64);
        assert_eq!(bytes[16..20], 8_u32.to_ne_bytes());
        assert_eq!(bytes[20..24], 8_u32.to_ne_bytes(), "DT_REG");
        assert_eq!(bytes[24..32], *b"12345678");
        assert_eq!(bytes[56..], *b"x\0\0\0\0\0\0\0");
    }

    #[test]
    fn attributes_come_before_their_entry() {
        let mut entries = Entries::new(160);
        let attr = Attr { inode: 7, size: 5, ..Attr::default() };
        assert!(entries.add(file(b"12345678"), Some(&attr)));
        let bytes = entries.into_bytes();
        assert_eq!(bytes.len(), 160);
        assert_eq!(
            (&bytes[..8], &bytes[48..56]),
            (&7_u64.to_ne_bytes()[..], &5_u64.to_ne_bytes()[..])
        );
        assert_eq!(bytes[152..], *b"12345678");
    }
}
