//! Reading bytes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use emberfs_client::{ByteLen, FileOffset};

use super::written::Inode;
use crate::adapter::{Adapter, ask};
use crate::errno::Errno;

/// A file with bytes that could not be written.
struct Unwritten {
    inode: Arc<Inode>,
    /// Why not.
    error: Errno,
}

impl Adapter {
    /// `read`: fewer bytes than `len` at the end of the file only.
    ///
    /// What could not be written, as the disks are full say, is no reason not to read the rest of the file. Where other
    /// reads hold all the memory that there is for them, it waits until some are done with: their bytes handed over.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn read(&self, number: u64, offset: FileOffset, len: u32) -> Result<Bytes, Errno> {
        let file = self.files.get(number)?;
        let dirty = self.inodes.get(file.inode).filter(|inode| inode.is_dirty());
        let unwritten = match dirty {
            None => None,
            Some(inode) => match inode.settle().await {
                Ok(()) => None,
                // Whoever has waited so long is not to wait once more. Where nothing is left here, something else
                // failed: the length may not be known to the servers.
                Err(error) if error == Errno::TIMEDOUT || inode.gathered_end() == ByteLen::ZERO => {
                    return Err(error);
                }
                Err(error) => Some(Unwritten { inode, error }),
            },
        };
        if let Some(unwritten) = &unwritten {
            unwritten.check_range(offset, len)?;
        }
        let place = self.inodes.in_time(self.reads.place(len)).await?;
        let buffer = BytesMut::zeroed(len as usize);
        let (read, mut buffer) = file.reader().read_at(offset, buffer).await;
        buffer.truncate(ask(async { read }).await?);
        if let Some(unwritten) = &unwritten {
            unwritten.check_end(offset, buffer.len(), len)?;
        }
        Ok(place.hold(buffer))
    }
}

impl Unwritten {
    /// Whether the servers have all of a range.
    fn check_range(&self, offset: FileOffset, len: u32) -> Result<(), Errno> {
        let is_here = self.inode.has_gathered(offset, u64::from(len));
        if is_here { Err(self.error) } else { Ok(()) }
    }

    /// Whether what was read ends where the file does: the servers may know of a nearer end.
    fn check_end(&self, offset: FileOffset, read: usize, len: u32) -> Result<(), Errno> {
        let end = offset.get() + read as u64;
        let is_short = read < len as usize && end < self.inode.gathered_end().get();
        if is_short { Err(self.error) } else { Ok(()) }
    }
}
