//! How a file is opened.

use std::sync::{Arc, Mutex};

use emberfs_layout::ChunkSize;
use emberfs_wire::FsError;
use emberfs_wire::meta::{Access, Attributes, HandleId, InodeKind, Mode, Mutation, Place};

use super::writer::{Known, Writer};
use super::{File, OpenFile};
use crate::error::ClientError;
use crate::meta::{Meta, Position, change_under, inode_of};
use crate::patience::Patience;
use crate::session::Session;

/// How a file is opened: as [`std::fs::OpenOptions`], with what EmberFS has beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) mode: Option<Mode>,
    pub(crate) chunk_size: Option<ChunkSize>,
    pub(crate) report_late: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// One line for each switch.
macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: bool) -> Self {
            self.$name = $name;
            self
        }
    )*};
}

impl OpenOptions {
    /// All switches off.
    #[must_use]
    pub fn new() -> Self {
        Self {
            read: false,
            write: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: None,
            chunk_size: None,
            report_late: false,
        }
    }

    switches! {
        /// For reading.
        read;
        /// For writing, also by [`File::append`].
        write;
        /// Cut to nothing when it is opened; only for writing.
        truncate;
        /// Created if it is not there.
        create;
        /// Created, and refused if it is there.
        create_new;
        /// [`File::write_at`] does not report the length before it returns, only [`File::write_through`],
        /// [`File::append`], [`File::sync`], [`File::close`] and [`File::stat`] do: for who writes much and syncs
        /// once. What was acknowledged is safe as well; until then other clients may see the file shorter than it
        /// is.
        report_late;
    }

    /// Permission bits of a new file, taken as they are; otherwise 0666 less this process's umask.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Chunk size of a new file; otherwise as its directory says.
    #[must_use]
    pub fn chunk_size(mut self, size: ChunkSize) -> Self {
        self.chunk_size = Some(size);
        self
    }

    /// Whether the file may be made by this.
    pub(crate) fn creates(self) -> bool {
        self.create || self.create_new
    }

    fn check(self) -> Result<(), ClientError> {
        let some = self.read || self.write;
        let sensible = some && (self.write || !(self.truncate || self.creates()));
        if sensible { Ok(()) } else { Err(FsError::InvalidArgument.into()) }
    }
}

impl File {
    /// Opens a file that is there.
    pub(crate) async fn open(
        meta: &Meta,
        file: Place,
        options: &OpenOptions,
    ) -> Result<Self, ClientError> {
        const READ: Access = Access(4);
        options.check()?;
        if options.write {
            let handle = meta.inner.handle();
            let (read, truncate) = (options.read, options.truncate);
            let mutation = Mutation::Open { file, read, write: Some(handle), truncate };
            return Self::open_by(meta, mutation, handle, options).await;
        }
        let _opening = meta.inner.held.opening();
        let attributes = meta.access(file, READ).await?;
        match attributes.kind {
            InodeKind::File => Ok(Self::new(meta, attributes, None, options)),
            InodeKind::Directory => Err(FsError::IsADirectory.into()),
            _ => Err(FsError::NotSupported.into()),
        }
    }

    /// Creates a file, or opens the one that is there.
    pub(crate) async fn create(
        meta: &Meta,
        at: Position,
        options: &OpenOptions,
    ) -> Result<Self, ClientError> {
        options.check()?;
        let handle = meta.inner.handle();
        let usual = Mode(0o666 & !meta.inner.umask.0);
        let mutation = Mutation::Create {
            parent: at.parent,
            name: at.name,
            mode: options.mode.unwrap_or(usual),
            exclusive: options.create_new,
            truncate: options.truncate,
            read: options.read,
            write: Some(handle),
            chunk_size: options.chunk_size,
        };
        Self::open_by(meta, mutation, handle, options).await
    }

    /// Opens for writing. A caller that goes away leaves nothing open: the file is taken in by a task of its
    /// own, and closed if nobody is there for it.
    async fn open_by(
        meta: &Meta,
        mutation: Mutation,
        handle: HandleId,
        options: &OpenOptions,
    ) -> Result<Self, ClientError> {
        let (inner, credentials) = (Arc::downgrade(&meta.inner), meta.credentials.clone());
        let (options, mut patience) = (*options, meta.patience());
        let session = meta.inner.session(&mut patience).await?;
        let by = session.clone();
        let task = meta.inner.runtime.spawn(async move {
            let mut endless = Patience::new(None);
            let reply = change_under(&by, &credentials, mutation, &mut endless).await?;
            let attributes = inode_of(reply)?;
            // A client that was dropped meanwhile has ended the session.
            let inner = inner.upgrade().ok_or(ClientError::Closed)?;
            let meta = Meta::new(inner, credentials);
            Ok(Self::new(&meta, attributes, Some((by, handle)), &options))
        });
        let opened = patience.wait_quietly(|| session.meta.waiting_for(None), task).await?;
        opened.map_err(|_| ClientError::Closed)?
    }

    fn new(
        meta: &Meta,
        attributes: Attributes,
        writer: Option<(Arc<Session>, HandleId)>,
        options: &OpenOptions,
    ) -> Self {
        let (inode, known) = (attributes.inode, Known::new(attributes));
        let new = |by| Arc::new(Writer::new(by, inode, &meta.credentials, &known));
        let writer = writer.map(new);
        let open = OpenFile {
            meta: meta.clone(),
            inode,
            readable: options.read,
            writer,
            report_late: options.report_late,
            known,
            stripe: Mutex::default(),
            _hold: meta.inner.held.hold(inode),
        };
        Self { open: Arc::new(open), closed: false }
    }
}
