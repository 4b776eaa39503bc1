//! Reading bytes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use emberfs_buffer::Pool;
use emberfs_client::{ByteLen, File, FileOffset};

use super::OpenFile;
use super::written::Inode;
use crate::adapter::{Adapter, ask};
use crate::errno::Errno;

/// Memory that reads of a mount leave to later ones, in bytes. Reads beyond have memory of their own, which the system
/// clears for each: that costs as much as a copy.
const SHARED: ByteLen = ByteLen(64 << 20);

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
    /// reads hold all the memory that there is for them, it waits until some are done with. All that it waits for takes
    /// no longer together than a call may.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn read(&self, number: u64, offset: FileOffset, len: u32) -> Result<Bytes, Errno> {
        let file = self.files.get(number)?;
        let read = self.inodes.in_time(Box::pin(self.read_settled(&file, offset, len))).await;
        read.unwrap_or_else(|late| {
            tracing::warn!(inode = %file.inode, %offset, len, "a read waited in vain");
            Err(late)
        })
    }

    /// The same, however long it takes.
    async fn read_settled(
        &self,
        file: &OpenFile,
        offset: FileOffset,
        len: u32,
    ) -> Result<Bytes, Errno> {
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
        let reader = file.reader();
        let read = Box::pin(bytes(&self.memory, &reader, offset, len as usize));
        let (bytes, place) = self.reads.hold(len, read).await;
        let bytes = place.hold(bytes?);
        if let Some(unwritten) = &unwritten {
            unwritten.check_end(offset, bytes.len(), len)?;
        }
        Ok(bytes)
    }
}

/// What the reads of a mount leave to later ones.
pub(in crate::adapter) fn memory() -> Pool {
    Pool::new(SHARED)
}

/// Up to `len` bytes of a file.
async fn bytes(memory: &Pool, file: &File, offset: FileOffset, len: usize) -> Result<Bytes, Errno> {
    if let Ok(shared) = memory.take(len) {
        let (read, mut buffer) = file.read_at(offset, shared).await;
        // What lies behind is of another read.
        buffer.set_len(ask(async { read }).await?);
        return Ok(buffer.freeze());
    }
    let (read, mut buffer) = file.read_at(offset, BytesMut::zeroed(len)).await;
    buffer.truncate(ask(async { read }).await?);
    Ok(buffer.freeze())
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
