//! Opening, creating and closing files.

use std::sync::Arc;

use emberfs_client::{
    Access, Attributes, ByteLen, Credentials, File, FsError, InodeId, InodeKind, Meta, Mode,
    OpenOptions, Place, Position,
};
use futures_util::FutureExt;
use rustix::fs::OFlags;

use super::{Flags, OpenFile, Opened};
use crate::adapter::{Adapter, ask, position};
use crate::caller::Caller;
use crate::errno::Errno;

fn writing(read: bool) -> OpenOptions {
    OpenOptions::new().read(read).write(true)
}

impl Adapter {
    /// `open`; the number of the open file.
    ///
    /// # Errors
    /// An [`Errno`], as of all functions here.
    pub async fn open(&self, caller: Caller, inode: InodeId, flags: Flags) -> Result<u64, Errno> {
        self.files.check()?;
        let meta = self.meta(caller);
        if flags.has(OFlags::TRUNC) {
            return self.open_cut(meta, inode, flags).await;
        }
        if !flags.writes() {
            let file = match flags.executes() {
                true => self.open_to_execute(&meta, inode).await?,
                false => ask(meta.open(Place::inode(inode), &reading())).await?,
            };
            return self.enter_reader(file);
        }
        let file = ask(meta.open(Place::inode(inode), &writing(flags.reads()))).await?;
        self.enter_writer(meta, file, flags)
    }

    /// `create`: the attributes, and the number of the open file.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn create(
        &self,
        caller: Caller,
        (parent, name): (InodeId, &[u8]),
        mode: Mode,
        flags: Flags,
    ) -> Result<(Attributes, u64), Errno> {
        self.files.check()?;
        let (meta, at) = (self.meta(caller), position(parent, name)?);
        let how = writing(true).mode(mode);
        match meta.create(at.clone(), &how.create_new(true)).await {
            Err(error) if error.as_fs() == FsError::Exists && !flags.has(OFlags::EXCL) => {
                self.open_existing(caller, &meta, at, flags).await
            }
            created => {
                let file = ask(async { created }).await?;
                let attributes = file.attributes();
                self.paths.saw(parent, name, attributes.inode);
                Ok((attributes, self.enter_writer(meta, file, flags)?))
            }
        }
    }

    /// `release`: the last descriptor is gone. What is gathered is written all the same.
    pub async fn release(&self, number: u64) {
        let Some(file) = self.files.remove(number) else { return };
        file.let_go();
        let inode = file.writer().map(|(inode, _)| inode.clone());
        drop(file);
        if let Some(inode) = inode {
            // Nobody is left to be told; the inode tries again, and logs.
            let _kept = inode.settle().await;
            self.inodes.forget_settled(&inode);
        }
    }

    /// Somebody else made something there since the kernel looked.
    async fn open_existing(
        &self,
        caller: Caller,
        meta: &Meta,
        at: Position,
        flags: Flags,
    ) -> Result<(Attributes, u64), Errno> {
        let found = ask(meta.attributes(Place::entry(at.parent.start, &at.name), false)).await;
        let inode = made_meanwhile(found)?;
        let number = self.open(caller, inode, flags).await?;
        match self.getattr(caller, inode).await {
            Ok(attributes) => Ok((attributes, number)),
            Err(error) => {
                self.release(number).await;
                Err(error)
            }
        }
    }

    /// Cuts the file to nothing and opens it: what was gathered lay before the cut.
    async fn open_cut(&self, meta: Meta, id: InodeId, flags: Flags) -> Result<u64, Errno> {
        let (patient, how) = (meta.patient(), writing(flags.reads()).truncate(true));
        let open = async move { ask(patient.open(Place::inode(id), &how)).await }.boxed();
        let inode = self.inodes.keep(id);
        let file = inode.change(Some(ByteLen::ZERO), open).await?;
        self.enter_writer(meta, file, flags)
    }

    /// A program may be executed by who may not read it.
    async fn open_to_execute(&self, meta: &Meta, inode: InodeId) -> Result<File, Errno> {
        const EXECUTE: Access = Access(1);
        ask(meta.access(Place::inode(inode), EXECUTE)).await?;
        ask(self.client.meta(Credentials::root()).open(Place::inode(inode), &reading())).await
    }

    fn enter_reader(&self, file: File) -> Result<u64, Errno> {
        let (inode, append) = (file.inode(), false);
        let _reading = self.inodes.enter_reader(inode);
        let access = Opened::ToRead { file: Arc::new(file), _reading };
        self.files.insert(OpenFile { inode, access, append })
    }

    /// Refuses it if all was closed since it was asked for: who closes waits for none that comes later.
    fn enter_writer(&self, meta: Meta, file: File, flags: Flags) -> Result<u64, Errno> {
        let (id, metas) = (file.inode(), [meta, self.client.meta(Credentials::root())]);
        let (inode, writer) = self.inodes.enter(metas, file, flags.reads());
        let access = Opened::ToWrite(inode.clone(), writer.clone());
        let entered = self.files.insert(OpenFile { inode: id, access, append: flags.appends() });
        if entered.is_err() {
            inode.let_go(&writer);
        }
        entered
    }
}

fn reading() -> OpenOptions {
    OpenOptions::new().read(true)
}

/// The file that is there. With `ESTALE` the kernel looks anew, and so follows a link by itself, which may lead out of
/// this file system, opens a pipe, refuses a directory, or has what is gone again made.
fn made_meanwhile(found: Result<Attributes, Errno>) -> Result<InodeId, Errno> {
    match found {
        Ok(Attributes { kind: InodeKind::File, inode, .. }) => Ok(inode),
        Ok(_) | Err(Errno::NOENT) => Err(Errno::STALE),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::directories::tests::directory;

    #[test]
    fn only_a_file_is_opened_and_what_else_was_made_the_kernel_looks_at() {
        let found = |kind| Ok(Attributes { kind, ..directory() });
        assert_eq!(made_meanwhile(found(InodeKind::File)), Ok(directory().inode));
        for kind in [InodeKind::Symlink, InodeKind::Directory, InodeKind::Fifo] {
            assert_eq!(made_meanwhile(found(kind)), Err(Errno::STALE));
        }
        assert_eq!(made_meanwhile(Err(Errno::NOENT)), Err(Errno::STALE), "it is gone again");
        assert_eq!(made_meanwhile(Err(Errno::ACCESS)), Err(Errno::ACCESS));
    }
}
