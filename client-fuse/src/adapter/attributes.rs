//! Attributes: reading and changing them, and who may do what.

use emberfs_client::{Access, AttributeChange, Attributes, ByteLen, InodeId, Mode, Place, SetTime};
use futures_util::FutureExt;

use super::{Adapter, ask};
use crate::caller::Caller;
use crate::errno::Errno;

/// What `setattr` changes; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Permission bits.
    pub mode: Option<Mode>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length.
    pub size: Option<ByteLen>,
    /// Last read.
    pub atime: Option<SetTime>,
    /// Last change of bytes.
    pub mtime: Option<SetTime>,
    /// Number of the open file through which it comes.
    pub through: Option<u64>,
}

impl Adapter {
    /// `getattr`.
    ///
    /// # Errors
    /// An [`Errno`], as of all functions here.
    pub async fn getattr(&self, caller: Caller, of: InodeId) -> Result<Attributes, Errno> {
        let meta = self.meta(caller);
        let inode = self.inodes.get(of).filter(|inode| inode.is_dirty());
        if let Some(inode) = &inode {
            // What cannot be written now is kept, counts, and is told to whoever syncs.
            let _kept = inode.settle().await;
        }
        let found = ask(meta.attributes(Place::inode(of), false)).await?;
        Ok(inode.map_or(found, |inode| inode.with_gathered(found)))
    }

    /// `setattr`: after what was written before, so that it stands, and before what is written later, also where
    /// the call waits no longer.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn setattr(
        &self,
        caller: Caller,
        of: InodeId,
        change: Change,
    ) -> Result<Attributes, Errno> {
        // Who closes all waits for none that comes later.
        self.files.check()?;
        let Change { mode, uid, gid, size, atime, mtime, through } = change;
        let through = through.and_then(|number| self.files.get(number).ok());
        let handle = through.and_then(|file| file.handle());
        let change = AttributeChange { mode, uid, gid, size, atime, mtime, handle };
        let meta = self.meta(caller).patient();
        let asked = async move { ask(meta.set_attributes(Place::inode(of), false, change)).await };
        let asked = asked.boxed();
        let inode = self.inodes.keep(of);
        let changed = inode.change(size, asked).await?;
        Ok(inode.with_gathered(changed))
    }

    /// `access`: bits as in `access(2)`, none to ask whether it is there.
    ///
    /// # Errors
    /// `EACCES` if the caller may not, or another [`Errno`].
    pub async fn access(&self, caller: Caller, of: InodeId, bits: u8) -> Result<(), Errno> {
        ask(self.meta(caller).access(Place::inode(of), Access(bits))).await.map(|_| ())
    }
}
