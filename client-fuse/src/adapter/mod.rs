//! The file system as the kernel sees it, without the kernel: each of its calls as one function.
//!
//! | calls | file |
//! | --- | --- |
//! | lookup, mkdir, mknod, symlink, readlink, link, unlink, rmdir, rename | `names` |
//! | getattr, setattr, access | `attributes` |
//! | opendir, readdir, readdirplus, releasedir | `directories` |
//! | open, create, release | `files/opening` |
//! | read | `files/reading`, in the memory of `files/read_rooms` |
//! | write, flush, fsync | `files/writing` |
//! | statfs | `space` |
//!
//! What is not with the servers yet is told by `left`, with the names that `paths` remembers.
//!
//! Inodes are named by the cluster's own numbers, so there is nothing to remember and nothing to forget.
//! What must be remembered is which files are open here for writing (`files/inodes`): bytes that are
//! gathered count at once for everybody on this mount, so all that answers with attributes of such a file
//! first brings them to the servers.

mod attributes;
mod directories;
mod files;
mod left;
mod names;
mod paths;
mod space;

use std::sync::Arc;
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_client::{Attributes, Client, ClientError, InodeId, Meta, Name, Place, Position};
use tokio::runtime::Handle;

use crate::caller::Caller;
use crate::errno::{Errno, of_client, of_fs};
use crate::metered::MountMeters;
use crate::table::Table;

pub use attributes::Change;
pub use directories::{Listed, OpenDirectory};
pub use files::{Flags, OpenFile};
use files::{Inodes, ReadRooms};
pub use left::Left;
use paths::Paths;

/// How often is looked for bytes that have been gathered for too long.
const SWEEP_PAUSE: Duration = Duration::from_millis(500);

/// A mount's file system.
#[derive(Debug)]
pub struct Adapter {
    client: Client,
    runtime: Handle,
    inodes: Inodes,
    files: Table<OpenFile>,
    directories: Table<OpenDirectory>,
    paths: Paths,
    reads: ReadRooms,
    /// Where reads put what they read.
    memory: Pool,
}

impl Adapter {
    /// Of this client, whose deadline it is; must be called within a Tokio runtime.
    #[must_use]
    pub fn new(client: Client, deadline: Option<Duration>) -> Arc<Self> {
        let inodes = Inodes::new(deadline);
        let (files, directories, paths) = (Table::default(), Table::default(), Paths::default());
        let (runtime, reads) = (Handle::current(), ReadRooms::new());
        let memory = files::memory();
        Arc::new(Self { client, runtime, inodes, files, directories, paths, reads, memory })
    }

    /// Writes what has been gathered for long enough, for ever.
    pub async fn sweep(&self) {
        let meters = MountMeters::new();
        loop {
            tokio::time::sleep(SWEEP_PAUSE).await;
            self.inodes.settle_old(&self.runtime);
            meters.note(self.files.len(), self.inodes.gathered());
        }
    }

    /// Writes and closes all that is open, however long it takes: after the last call of the kernel, or before
    /// a stop. Nothing is opened any more.
    pub async fn close_all(&self) {
        self.files.close().iter().for_each(|file| file.let_go());
        // What was being written when it was closed may have made one dirty again.
        while !self.inodes.unsettled().is_empty() {
            self.inodes.settle_all().await;
        }
    }

    fn meta(&self, caller: Caller) -> Meta {
        self.client.meta(caller.credentials())
    }

    /// These attributes, or newer ones if the file has bytes here that the servers had not heard of.
    async fn settled(&self, meta: &Meta, found: Attributes) -> Result<Attributes, Errno> {
        let Some(inode) = self.inodes.get(found.inode).filter(|inode| inode.is_dirty()) else {
            return Ok(found);
        };
        // What cannot be written now is kept, counts, and is told to whoever syncs.
        let _kept = inode.settle().await;
        let fresh = ask(meta.attributes(Place::inode(found.inode), false)).await?;
        Ok(inode.with_gathered(fresh))
    }
}

/// A call of the client, with its failure as an errno.
async fn ask<T>(call: impl Future<Output = Result<T, ClientError>>) -> Result<T, Errno> {
    call.await.map_err(|error| {
        if !matches!(error, ClientError::Fs(_)) {
            tracing::warn!(%error, "a call failed");
        }
        of_client(&error)
    })
}

fn name_of(bytes: &[u8]) -> Result<Name, Errno> {
    Name::new(bytes).map_err(|error| of_fs(error.into()))
}

fn position(parent: InodeId, name: &[u8]) -> Result<Position, Errno> {
    Ok(Position { parent: Place::inode(parent), name: name_of(name)? })
}
