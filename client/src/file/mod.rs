//! An open file: reading and writing its bytes.
//!
//! # What a returned call stands for
//! * [`File::write_at`]: every replica has the bytes on stable storage. If they made the file longer, its new
//!   length was reported too and every other client sees it, unless the file was opened with
//!   [`OpenOptions::report_late`].
//! * [`File::write_behind`]: the bytes; never the length.
//! * [`File::write_through`], [`File::append`], [`File::sync`] and [`File::close`]: in any case also the length.
//!
//! # Dropping
//! Any call may be dropped. A write of which something was sent goes on in the background until the servers
//! have done or refused what was sent, as does one whose deadline passed. It counts: a later write of this
//! client to the same chunk is applied after it, and [`File::append`], [`File::set_len`], [`File::sync`] and
//! [`File::close`] wait for it and report what it wrote. A dropped file is closed in the background,
//! without a word about errors.
//!
//! # A lost session
//! A file that was open for writing fails with [`ClientError::SessionLost`] and is to be opened again: its
//! handle ended with the session. Files open for reading go on.

mod length;
mod opening;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use emberfs_client_session::{Failure, FileStripe, Work, decide};
use emberfs_layout::{ByteLen, FileOffset, InodeId};
use emberfs_transport::Owned;
use emberfs_wire::FsError;
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{AttributeChange, Attributes, HandleId, Mutation, MutationReply, Place};

use crate::client::Inner;
use crate::data::{self, Targets};
use crate::error::{ClientError, WaitingFor};
use crate::held::Hold;
use crate::meta::{Meta, inode_of, misfit};
use crate::patience::Patience;

pub use opening::OpenOptions;
pub(crate) use writer::WriteCall;
use writer::{Known, Writer};

/// An open file.
#[derive(Debug)]
pub struct File {
    open: Arc<OpenFile>,
    closed: bool,
}

/// What calls on an open file work on.
#[derive(Debug)]
pub(crate) struct OpenFile {
    meta: Meta,
    inode: InodeId,
    readable: bool,
    /// If it is open for writing.
    writer: Option<Arc<Writer>>,
    report_late: bool,
    known: Arc<Known>,
    /// The chains of the bytes, once they were needed.
    stripe: Mutex<Option<(FileData, Arc<FileStripe>)>>,
    _hold: Hold,
}

impl File {
    /// The inode.
    #[must_use]
    pub fn inode(&self) -> InodeId {
        self.open.inode
    }

    /// The handle by which the metadata group knows it, if it is open for writing.
    #[must_use]
    pub fn handle(&self) -> Option<HandleId> {
        self.open.writer.as_ref().map(|writer| writer.handle)
    }

    /// The attributes as they were last heard of; [`Self::stat`] asks.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        self.open.attributes()
    }

    /// Reads into `buf`, from `offset`: as many bytes as `buf` has, fewer at the end of the file. The buffer
    /// comes back with the result; after an error its contents are undefined.
    ///
    /// # Errors
    /// [`ClientError::Lost`] and [`ClientError::Damaged`] name a chunk of which no replica is left, or another
    /// [`ClientError`].
    pub async fn read_at<B: AsMut<[u8]> + 'static>(
        &self,
        offset: FileOffset,
        buf: B,
    ) -> (Result<usize, ClientError>, B) {
        self.read_batch(vec![(offset, buf)]).await.remove(0)
    }

    /// Reads many ranges at once: they share requests, and the time until the deadline. Each comes back with its
    /// own result.
    pub async fn read_batch<B: AsMut<[u8]> + 'static>(
        &self,
        reads: Vec<(FileOffset, B)>,
    ) -> Vec<(Result<usize, ClientError>, B)> {
        let (offsets, buffers): (Vec<_>, Vec<_>) = reads.into_iter().unzip();
        let mut memory = Owned::new(buffers);
        let results = self.read_each(Targets::new(offsets, memory.ground())).await;
        results.into_iter().zip(memory.into_inner()).collect()
    }

    /// Reads all of `targets`; each has its own result.
    pub(crate) async fn read_each(&self, targets: Targets<'_>) -> Vec<Result<usize, ClientError>> {
        match self.open.readable() {
            Ok(()) => data::read(&self.open, targets, self.open.meta.inner.patience()).await,
            Err(no) => vec![Err(no); targets.count()],
        }
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`ClientError`]; a part may have been written then. After [`ClientError::Deadline`] what was sent of it
    /// goes on; after a refusal nothing does.
    pub async fn write_at(&self, offset: FileOffset, bytes: Bytes) -> Result<(), ClientError> {
        let mut patience = self.open.meta.inner.patience();
        let end = self.open.write(offset, bytes, &mut patience).await?;
        if !self.open.report_late {
            self.open.report_growth(end, &mut patience).await?;
        }
        Ok(())
    }

    /// The same, and if that made the file longer every other client sees its length, however it was opened.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub async fn write_through(&self, offset: FileOffset, bytes: Bytes) -> Result<(), ClientError> {
        let mut patience = self.open.meta.inner.patience();
        let end = self.open.write(offset, bytes, &mut patience).await?;
        self.open.report_growth(end, &mut patience).await
    }

    /// Writes all of `bytes` at `offset`, however long that takes: no deadline counts, as what is under way goes
    /// on anyway. The length is reported by the next [`Self::sync`]. For who writes behind others, and has these
    /// wait with a deadline of their own.
    ///
    /// # Errors
    /// [`ClientError`], never [`ClientError::Deadline`]; a part may have been written then.
    pub async fn write_behind(&self, offset: FileOffset, bytes: Bytes) -> Result<(), ClientError> {
        self.open.write(offset, bytes, &mut Patience::new(None)).await.map(|_| ())
    }

    /// Writes all of `bytes` behind the end of the file, wherever that is then, and says where. Appends of
    /// all clients stand behind each other.
    ///
    /// # Errors
    /// [`ClientError`]; the range may be reserved then, and reads as zeros where it was not written.
    pub async fn append(&self, bytes: Bytes) -> Result<FileOffset, ClientError> {
        let mut patience = self.open.meta.inner.patience();
        let writer = self.open.writer()?;
        // What this handle wrote before stands before what it appends.
        writer.settle(&mut patience).await?;
        writer.report(false, &mut patience).await?;
        if bytes.is_empty() {
            return Ok(FileOffset(self.open.refresh(&mut patience).await?.size.get()));
        }
        let len = ByteLen(bytes.len() as u64);
        let mutation = Mutation::Reserve { inode: writer.inode, handle: writer.handle, len };
        let at = match writer.change(mutation, &mut patience).await? {
            MutationReply::Reserved { at, attributes } => {
                self.open.known.learn(attributes);
                at
            }
            other => return Err(misfit(&other)),
        };
        self.open.write(at, bytes, &mut patience).await?;
        writer.report(false, &mut patience).await?;
        Ok(at)
    }

    /// Returns when the bytes and the length of all writes that returned before are on stable storage, and
    /// those that were dropped before are settled.
    ///
    /// # Errors
    /// [`ClientError`]; what could not be reported is kept for the next call.
    pub async fn sync(&self) -> Result<(), ClientError> {
        let Some(writer) = &self.open.writer else { return Ok(()) };
        let mut patience = self.open.meta.inner.patience();
        writer.settle(&mut patience).await?;
        writer.report(false, &mut patience).await
    }

    /// Changes the length: what is cut off is gone when this returns, what is new reads as zeros.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_len(&self, len: ByteLen) -> Result<(), ClientError> {
        let change = AttributeChange { size: Some(len), ..AttributeChange::default() };
        self.set_attributes(change).await.map(|_| ())
    }

    /// Changes attributes, after what was written was reported. If the file is open for writing, its length
    /// needs no permission of its own.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes, ClientError> {
        let (open, mut patience) = (&self.open, self.open.meta.inner.patience());
        let change = AttributeChange { handle: self.handle(), ..change };
        let mutation =
            Mutation::SetAttributes { of: Place::inode(open.inode), follow: false, change };
        let Some(writer) = &open.writer else {
            let reply = open.meta.change(mutation, &mut patience).await?;
            return Ok(open.known.learn(inode_of(reply)?));
        };
        let alone = match change.size {
            Some(_) => {
                let alone = writer.length.clone().write_owned();
                Some(patience.wait(|| WaitingFor::File, alone).await?)
            }
            None => None,
        };
        writer.report(false, &mut patience).await?;
        writer.set_attributes(mutation, alone, &mut patience).await
    }

    /// The attributes, asked anew; what this handle wrote counts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stat(&self) -> Result<Attributes, ClientError> {
        self.open.refresh(&mut self.open.meta.inner.patience()).await
    }

    /// What bytes that were written by this handle wait for now, if they wait: to be told, not to be acted on.
    #[must_use]
    pub fn waiting_for(&self) -> Option<WaitingFor> {
        self.open.writer.as_ref()?.waiting_for()
    }

    /// Syncs and closes.
    ///
    /// # Errors
    /// [`ClientError`] of the sync; the file is closed in the background then.
    pub async fn close(mut self) -> Result<(), ClientError> {
        if let Some(writer) = &self.open.writer {
            writer.close(&mut self.open.meta.inner.patience()).await?;
        }
        self.closed = true;
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(writer) = self.open.writer.clone().filter(|_| !self.closed) {
            writer::close_behind(self.open.clone(), writer);
        }
    }
}

impl OpenFile {
    pub(crate) fn inner(&self) -> &Inner {
        &self.meta.inner
    }

    pub(crate) fn attributes(&self) -> Attributes {
        self.known.now()
    }

    fn readable(&self) -> Result<(), ClientError> {
        if self.readable { Ok(()) } else { Err(FsError::InvalidArgument.into()) }
    }

    /// What a file that is open for writing has beyond.
    pub(crate) fn writer(&self) -> Result<&Arc<Writer>, ClientError> {
        let writer = self.writer.as_ref().ok_or(FsError::InvalidArgument)?;
        writer.session.check()?;
        Ok(writer)
    }

    /// Writes, and says where the bytes end; the length is yet to be reported.
    async fn write(
        &self,
        offset: FileOffset,
        bytes: Bytes,
        patience: &mut Patience,
    ) -> Result<FileOffset, ClientError> {
        self.writer()?;
        let len = ByteLen(bytes.len() as u64);
        let end = offset.checked_add(len).ok_or(FsError::FileTooLarge)?;
        data::write(self, offset, &bytes, patience).await?;
        Ok(end)
    }

    /// The chains of the file's bytes.
    pub(crate) async fn stripe(
        &self,
        data: &FileData,
        patience: &mut Patience,
    ) -> Result<Arc<FileStripe>, ClientError> {
        let known = lock(&self.stripe).clone();
        if let Some((of, stripe)) = known
            && (of.id, of.layout) == (data.id, data.layout)
        {
            return Ok(stripe);
        }
        for tries in 0.. {
            let routing = self.inner().routes.now();
            let why = match routing.stripe(data.layout) {
                Ok(stripe) => {
                    let stripe = Arc::new(stripe);
                    *lock(&self.stripe) = Some((*data, stripe.clone()));
                    return Ok(stripe);
                }
                Err(why) => why,
            };
            let what = || WaitingFor::Routing { last: why.to_string() };
            let decision = decide(Work::Read, Failure::NoRoute, tries, rand::random());
            patience.pause(what, decision.pause).await?;
            let session = self.inner().session(patience).await?;
            self.inner().routes.refresh(routing.version(), &session.meta, patience).await?;
        }
        unreachable!("tries are counted to no end")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
