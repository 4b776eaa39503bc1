//! Reading bytes.

use bytes::BytesMut;
use emberfs_client::FileOffset;

use crate::adapter::{Adapter, ask};
use crate::errno::Errno;

impl Adapter {
    /// `read`: fewer bytes than `len` at the end of the file only.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn read(&self, number: u64, offset: FileOffset, len: u32) -> Result<BytesMut, Errno> {
        let file = self.files.get(number)?;
        if let Some(inode) = self.inodes.get(file.inode).filter(|inode| inode.is_dirty()) {
            inode.settle().await?;
        }
        let buffer = BytesMut::zeroed(len as usize);
        let (read, mut buffer) = file.reader().read_at(offset, buffer).await;
        buffer.truncate(ask(async { read }).await?);
        Ok(buffer)
    }
}
