//! One descriptor that writes: its handle at the servers.
//!
//! Where the session was lost, the file is opened anew and the write done again, to the same bytes at the
//! same place. The length of what was not reported is then found by the metadata group itself. An append
//! is not done again: nobody knows whether it was done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use emberfs_client::{ByteLen, ClientError, File, FileOffset, FsError, Meta, OpenOptions, Place};

use crate::lock::lock;

/// One descriptor that writes.
#[derive(Debug)]
pub(in crate::adapter) struct Writer {
    number: u64,
    reads: bool,
    /// A chunk's, in bytes: the servers take so much at a time.
    chunk: usize,
    /// On behalf of whoever opened it.
    meta: Meta,
    /// What was permitted when it was opened is not asked again.
    root: Meta,
    file: Mutex<Arc<File>>,
    /// How many failures it was told.
    told: AtomicU64,
    /// Nothing is gathered through it any more.
    is_let_go: AtomicBool,
}

impl PartialEq for Writer {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Writer {
    pub(super) fn new(
        number: u64,
        [meta, root]: [Meta; 2],
        file: File,
        reads: bool,
        told: u64,
    ) -> Self {
        let chunk = file.attributes().data.map(|data| data.layout.chunk_size);
        let chunk = chunk.unwrap_or_default().bytes() as usize;
        let (file, told) = (Mutex::new(Arc::new(file)), AtomicU64::new(told));
        Self { number, reads, chunk, meta, root, file, told, is_let_go: AtomicBool::new(false) }
    }

    /// How many bytes a chunk of the file has.
    pub(super) fn chunk(&self) -> usize {
        self.chunk
    }

    pub(super) fn file(&self) -> Arc<File> {
        lock(&self.file).clone()
    }

    /// Its descriptor is closed. Told and asked under the lock of its inode.
    pub(super) fn let_go(&self) {
        self.is_let_go.store(true, Ordering::Relaxed);
    }

    /// Whether its descriptor is closed.
    pub(super) fn is_let_go(&self) -> bool {
        self.is_let_go.load(Ordering::Relaxed)
    }

    /// Whether a file may be so long.
    pub(super) fn may_write(&self, offset: FileOffset, len: usize) -> bool {
        let max = self.file().attributes().data.map(|data| data.layout.chunk_size.max_file_len());
        let end = offset.checked_add(ByteLen(len as u64));
        end.is_some_and(|end| max.is_some_and(|max| end.get() <= max.get()))
    }

    /// However long it takes: the deadline is for those who wait. Were it for the bytes, they would be written
    /// again and again where they take longer.
    pub(super) async fn write(&self, offset: FileOffset, bytes: Bytes) -> Result<(), ClientError> {
        let again = |file: Arc<File>| {
            let bytes = bytes.clone();
            async move { file.write_behind(offset, bytes).await }
        };
        self.whatever_session(again).await
    }

    /// The same, and the servers know the length if that made the file longer.
    pub(super) async fn write_through(
        &self,
        offset: FileOffset,
        bytes: Bytes,
    ) -> Result<(), ClientError> {
        let again = |file: Arc<File>| {
            let bytes = bytes.clone();
            async move { file.write_through(offset, bytes).await }
        };
        self.whatever_session(again).await
    }

    pub(super) async fn append(&self, bytes: Bytes) -> Result<(), ClientError> {
        self.sync().await?;
        self.file().append(bytes).await.map(|_| ())
    }

    /// Reports what was written.
    pub(super) async fn sync(&self) -> Result<(), ClientError> {
        self.whatever_session(|file: Arc<File>| async move { file.sync().await }).await
    }

    /// Closes the handle; what it wrote was reported before.
    pub(super) async fn close(writer: Arc<Self>) {
        let file = Arc::into_inner(writer).map(|writer| writer.file.into_inner());
        // Where somebody still uses it, it is closed when it is dropped.
        let file = file.map(|file| file.unwrap_or_else(PoisonError::into_inner));
        let Some(file) = file.and_then(Arc::into_inner) else { return };
        let inode = file.inode();
        if let Err(error) = file.close().await {
            tracing::debug!(%inode, %error, "a file was not closed");
        }
    }

    /// Whether there are failures that it was not told of; now it is.
    pub(super) fn hears_of(&self, failures: u64) -> bool {
        self.told.fetch_max(failures, Ordering::Relaxed) < failures
    }

    /// Does something that may be done again, as often as the session is lost.
    async fn whatever_session<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        call: impl Fn(Arc<File>) -> F,
    ) -> Result<T, ClientError> {
        loop {
            let file = self.file();
            match call(file.clone()).await {
                Err(ClientError::SessionLost) => self.reopen(&file).await?,
                done => return done,
            }
        }
    }

    async fn reopen(&self, lost: &Arc<File>) -> Result<(), ClientError> {
        let place = Place::inode(lost.inode());
        let how = OpenOptions::new().read(self.reads).write(true);
        tracing::info!(inode = %lost.inode(), "the session was lost: opening a file again");
        let opened = match self.meta.open(place.clone(), &how).await {
            Err(ClientError::Fs(FsError::PermissionDenied)) => self.root.open(place, &how).await,
            opened => opened,
        };
        let opened = Arc::new(opened?);
        let mut file = lock(&self.file);
        if Arc::ptr_eq(&file, lost) {
            *file = opened;
        }
        Ok(())
    }
}
