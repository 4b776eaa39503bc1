//! Writing bytes, and waiting until they are safe.

use bytes::Bytes;
use emberfs_client::FileOffset;

use super::Flags;
use crate::adapter::Adapter;
use crate::errno::Errno;

impl Adapter {
    /// `write` where nothing is to be waited for: the bytes are gathered, which is all. `false` if it is
    /// not so; then [`Self::write`] is called.
    pub fn write_now(&self, number: u64, offset: FileOffset, data: &[u8], flags: Flags) -> bool {
        let Ok(file) = self.files.get(number) else { return false };
        let Ok((inode, writer)) = file.to_write() else { return false };
        if flags.writes_through() || file.append || !self.inodes.have_room(data.len()) {
            return false;
        }
        let gathered = inode.gather(writer, offset, data);
        if gathered {
            inode.write_due(&self.runtime);
        }
        gathered
    }

    /// `write`, of all of the bytes or none.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn write(
        &self,
        number: u64,
        offset: FileOffset,
        data: Bytes,
        flags: Flags,
    ) -> Result<(), Errno> {
        let file = self.files.get(number)?;
        let (inode, writer) = file.to_write()?;
        if file.append && flags.appends() {
            return inode.append(writer, data).await;
        }
        if flags.writes_through() {
            return inode.write_through(writer, offset, data).await;
        }
        loop {
            // A cut that was asked for before stands before what is written now.
            inode.after_cut().await?;
            if self.inodes.have_room(data.len()) && inode.gather(writer, offset, &data) {
                break;
            }
            // No room: whoever writes waits for the servers, and hears of it if they refuse.
            if inode.is_dirty() {
                inode.settle().await?;
            } else {
                return inode.write_through(writer, offset, data).await;
            }
        }
        inode.write_due(&self.runtime);
        Ok(())
    }

    /// `fsync`, and `flush` at each close of a descriptor: all bytes of the file that were written on this
    /// mount are safe, and so is the length.
    ///
    /// # Errors
    /// An [`Errno`]: a failure since this descriptor last asked, told once.
    pub async fn sync(&self, number: u64) -> Result<(), Errno> {
        let file = self.files.get(number)?;
        if let Some((inode, writer)) = file.writer() {
            let settled = inode.settle().await;
            return inode.tell(writer).and(settled);
        }
        match self.inodes.get(file.inode) {
            Some(inode) => inode.settle().await,
            None => Ok(()),
        }
    }
}
