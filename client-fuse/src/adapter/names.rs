//! Names: finding, making, moving and removing them.

use emberfs_client::{
    Attributes, Device, InodeId, InodeKind, Mode, NewNode, OpenOptions, Place, RemoveKind,
    RenameFlags, SymlinkTarget,
};

use super::{Adapter, ask, name_of, position};
use crate::caller::Caller;
use crate::errno::{Errno, of_fs};

impl Adapter {
    /// `lookup`.
    ///
    /// # Errors
    /// An [`Errno`], as of all functions here.
    pub async fn lookup(
        &self,
        caller: Caller,
        parent: InodeId,
        name: &[u8],
    ) -> Result<Attributes, Errno> {
        let (meta, place) = (self.meta(caller), Place::entry(parent, &name_of(name)?));
        let found = ask(meta.attributes(place, false)).await?;
        self.paths.saw(parent, name, found.inode);
        self.settled(&meta, found).await
    }

    /// `mkdir`, with the mode as it shall be.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn mkdir(
        &self,
        caller: Caller,
        (parent, name): (InodeId, &[u8]),
        mode: Mode,
    ) -> Result<Attributes, Errno> {
        let at = position(parent, name)?;
        ask(self.meta(caller).make_node(at, mode, NewNode::Directory)).await
    }

    /// `mknod`, also of a regular file.
    ///
    /// # Errors
    /// An [`Errno`]; `EINVAL` for kinds that are not made so.
    pub async fn mknod(
        &self,
        caller: Caller,
        (parent, name): (InodeId, &[u8]),
        mode: Mode,
        (kind, device): (InodeKind, Device),
    ) -> Result<Attributes, Errno> {
        let (meta, at) = (self.meta(caller), position(parent, name)?);
        match kind {
            InodeKind::File => {
                let new = OpenOptions::new().write(true).create_new(true).mode(mode);
                let file = ask(meta.create(at, &new)).await?;
                let attributes = file.attributes();
                ask(file.close()).await?;
                Ok(attributes)
            }
            InodeKind::Directory | InodeKind::Symlink => Err(Errno::INVAL),
            kind => ask(meta.make_node(at, mode, NewNode::Special(kind, device))).await,
        }
    }

    /// `symlink`.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn symlink(
        &self,
        caller: Caller,
        (parent, name): (InodeId, &[u8]),
        target: &[u8],
    ) -> Result<Attributes, Errno> {
        let target = SymlinkTarget::new(target).map_err(|error| of_fs(error.into()))?;
        let (at, node) = (position(parent, name)?, NewNode::Symlink(target));
        ask(self.meta(caller).make_node(at, Mode(0o777), node)).await
    }

    /// `readlink`.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn readlink(&self, caller: Caller, link: InodeId) -> Result<Vec<u8>, Errno> {
        let target = ask(self.meta(caller).read_link(Place::inode(link))).await?;
        Ok(target.as_bytes().to_vec())
    }

    /// `link`.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn link(
        &self,
        caller: Caller,
        file: InodeId,
        (parent, name): (InodeId, &[u8]),
    ) -> Result<Attributes, Errno> {
        let meta = self.meta(caller);
        let linked = ask(meta.link(Place::inode(file), position(parent, name)?)).await?;
        self.settled(&meta, linked).await
    }

    /// `unlink` and `rmdir`.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn remove(
        &self,
        caller: Caller,
        (parent, name): (InodeId, &[u8]),
        kind: RemoveKind,
    ) -> Result<(), Errno> {
        ask(self.meta(caller).remove(position(parent, name)?, kind)).await
    }

    /// `rename`.
    ///
    /// # Errors
    /// An [`Errno`]; `EINVAL` for flags that are not there.
    pub async fn rename(
        &self,
        caller: Caller,
        (parent, name): (InodeId, &[u8]),
        (new_parent, new_name): (InodeId, &[u8]),
        flags: u32,
    ) -> Result<(), Errno> {
        let (from, to, flags) =
            (position(parent, name)?, position(new_parent, new_name)?, RenameFlags(flags));
        ask(self.meta(caller).rename(from, to, flags)).await?;
        self.paths.moved((parent, name), (new_parent, new_name), flags == RenameFlags::EXCHANGE);
        Ok(())
    }
}
