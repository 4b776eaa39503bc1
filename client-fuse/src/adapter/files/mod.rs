//! Open files: their bytes.
//!
//! | opened or written with | what a returned write stands for |
//! | --- | --- |
//! | nothing | the mount has the bytes; fsync and close say when the servers have |
//! | `O_SYNC`, `O_DSYNC`, `O_DIRECT` | the servers have the bytes and the length |
//! | `O_APPEND` | the same; the place was reserved first, so that appenders never meet |

mod changing;
mod inodes;
mod opening;
mod read_rooms;
mod readers;
mod reading;
mod under_way;
mod writer;
mod writing;
mod written;

use std::sync::Arc;

use emberfs_client::{File, HandleId, InodeId};
use rustix::fs::OFlags;

use crate::errno::Errno;
pub(super) use inodes::{Inodes, Unsettled};
pub(super) use read_rooms::ReadRooms;
use readers::Reading;
pub(super) use reading::memory;
use writer::Writer;
use written::Inode;

/// The kernel's own mark of an `open` on behalf of `execve` (`FMODE_EXEC`).
const OPENED_TO_EXECUTE: u32 = 0x20;

/// Flags of `open(2)`, as a file has them now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub OFlags);

/// An open file.
#[derive(Debug)]
pub struct OpenFile {
    inode: InodeId,
    access: Opened,
    append: bool,
}

#[derive(Debug)]
enum Opened {
    ToRead { file: Arc<File>, _reading: Reading },
    ToWrite(Arc<Inode>, Arc<Writer>),
}

impl Flags {
    /// Of the kernel's number.
    #[must_use]
    pub fn new(bits: i32) -> Self {
        Self(OFlags::from_bits_retain(bits.cast_unsigned()))
    }

    fn has(self, flag: OFlags) -> bool {
        self.0.contains(flag)
    }

    fn reads(self) -> bool {
        self.0 & OFlags::RWMODE != OFlags::WRONLY
    }

    /// Whether it can be written to.
    #[must_use]
    pub fn writes(self) -> bool {
        self.0 & OFlags::RWMODE != OFlags::RDONLY
    }

    /// Whether a write is durable, with its length, before it returns.
    fn writes_through(self) -> bool {
        self.0.intersects(OFlags::DSYNC | OFlags::DIRECT)
    }

    /// Whether the kernel's page cache is bypassed.
    #[must_use]
    pub fn is_direct(self) -> bool {
        self.has(OFlags::DIRECT)
    }

    /// Whether each write goes to the end of the file.
    #[must_use]
    pub fn appends(self) -> bool {
        self.has(OFlags::APPEND)
    }

    fn executes(self) -> bool {
        self.0.bits() & OPENED_TO_EXECUTE != 0
    }
}

impl OpenFile {
    /// The handle by which the metadata group knows it, if it is open for writing.
    pub(super) fn handle(&self) -> Option<HandleId> {
        self.writer().and_then(|(_, writer)| writer.file().handle())
    }

    /// It is closed, once all of its bytes are written.
    pub(super) fn let_go(&self) {
        if let Some((inode, writer)) = self.writer() {
            inode.let_go(writer);
        }
    }

    fn writer(&self) -> Option<(&Arc<Inode>, &Arc<Writer>)> {
        match &self.access {
            Opened::ToRead { .. } => None,
            Opened::ToWrite(inode, writer) => Some((inode, writer)),
        }
    }

    fn to_write(&self) -> Result<(&Arc<Inode>, &Arc<Writer>), Errno> {
        self.writer().ok_or(Errno::BADF)
    }

    /// What it is read by.
    fn reader(&self) -> Arc<File> {
        match &self.access {
            Opened::ToRead { file, .. } => file.clone(),
            Opened::ToWrite(_, writer) => writer.file(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_the_kernel_means_them() {
        let of = |flags: OFlags| Flags::new(flags.bits().cast_signed());
        assert!(of(OFlags::RDONLY).reads() && !of(OFlags::RDONLY).writes());
        assert!(!of(OFlags::WRONLY).reads() && of(OFlags::WRONLY).writes());
        assert!(of(OFlags::RDWR).reads() && of(OFlags::RDWR).writes());
        assert!(of(OFlags::SYNC).writes_through() && of(OFlags::DSYNC).writes_through());
        assert!(of(OFlags::DIRECT).writes_through() && !of(OFlags::APPEND).writes_through());
        assert!(Flags::new(0x20).executes() && !of(OFlags::RDONLY).executes());
    }
}
