//! An open file: reading and writing its bytes.
//!
//! # What a returned call stands for
//! * [`File::write_at`] and [`File::append`]: every replica has the bytes on stable storage. If they made the
//!   file longer, its new length was reported too and every other client sees it, unless the file was opened
//!   with [`OpenOptions::report_late`].
//! * [`File::sync`] and [`File::close`]: in any case also the length.
//!
//! # Dropping
//! Any call may be dropped. A write that was dropped may be done, done in part, or be done still; a later
//! write of this client to the same chunk is applied after it, never before. A dropped file is closed in the
//! background, without a word about errors.
//!
//! # A lost session
//! A file that was open for writing fails with [`ClientError::SessionLost`] and is to be opened again: its
//! handle ended with the session. Files open for reading go on.

mod length;
mod opening;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use emberfs_client_session::{Failure, FileStripe, Work, Written, decide};
use emberfs_layout::{ByteLen, FileOffset, InodeId};
use emberfs_wire::FsError;
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{
    AttributeChange, Attributes, HandleId, Mutation, MutationReply, Place, WrittenRange,
};

use crate::client::Inner;
use crate::data::{self, Target};
use crate::error::{ClientError, WaitingFor};
use crate::held::Hold;
use crate::meta::{Meta, inode_of, misfit};
use crate::patience::Patience;
use crate::session::Session;

pub use opening::OpenOptions;

/// An open file.
#[derive(Debug)]
pub struct File {
    open: Arc<OpenFile>,
    created: bool,
    closed: bool,
}

/// What calls on an open file work on.
#[derive(Debug)]
pub(crate) struct OpenFile {
    meta: Meta,
    inode: InodeId,
    readable: bool,
    /// The session and the handle, if it is open for writing.
    writer: Option<(Arc<Session>, HandleId)>,
    report_late: bool,
    attributes: Mutex<Attributes>,
    /// The chains of the bytes, once they were needed.
    stripe: Mutex<Option<(FileData, Arc<FileStripe>)>>,
    written: Mutex<Written>,
    /// Held by the one that reports.
    reporting: tokio::sync::Mutex<()>,
    /// Held by writers together, by one that changes the length alone: a range that was written before must
    /// not be reported after.
    length: tokio::sync::RwLock<()>,
    _hold: Hold,
}

impl File {
    /// The inode.
    #[must_use]
    pub fn inode(&self) -> InodeId {
        self.open.inode
    }

    /// Whether it was created by being opened.
    #[must_use]
    pub fn was_created(&self) -> bool {
        self.created
    }

    /// The handle by which the metadata group knows it, if it is open for writing.
    #[must_use]
    pub fn handle(&self) -> Option<HandleId> {
        self.open.writer.as_ref().map(|(_, handle)| *handle)
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
    /// [`ClientError::Lost`] names a chunk that no replica has any more, or another [`ClientError`].
    pub async fn read_at<B: AsMut<[u8]>>(
        &self,
        offset: FileOffset,
        mut buf: B,
    ) -> (Result<usize, ClientError>, B) {
        let result = self.read_into(offset, buf.as_mut()).await;
        (result, buf)
    }

    /// Reads many ranges at once: they share requests. Each comes back with its own result.
    pub async fn read_batch<B: AsMut<[u8]>>(
        &self,
        mut reads: Vec<(FileOffset, B)>,
    ) -> Vec<(Result<usize, ClientError>, B)> {
        let mut targets: Vec<Target<'_>> = reads
            .iter_mut()
            .map(|(offset, buf)| Target { offset: *offset, buf: buf.as_mut() })
            .collect();
        let mut patience = self.open.meta.inner.patience();
        let together = match self.open.readable() {
            Ok(()) => data::read(&self.open, &mut targets, &mut patience).await,
            Err(error) => Err(error),
        };
        let mut each = Vec::with_capacity(targets.len());
        match together {
            Ok(lens) => each.extend(lens.into_iter().map(Ok)),
            // Which of them failed is told by each alone.
            Err(_) => {
                for Target { offset, buf } in targets {
                    each.push(self.read_into(offset, buf).await);
                }
            }
        }
        each.into_iter().zip(reads).map(|(result, (_, buf))| (result, buf)).collect()
    }

    pub(crate) async fn read_into(
        &self,
        offset: FileOffset,
        buf: &mut [u8],
    ) -> Result<usize, ClientError> {
        self.open.readable()?;
        let mut targets = [Target { offset, buf }];
        let lens = data::read(&self.open, &mut targets, &mut self.open.meta.inner.patience()).await;
        lens.map(|lens| lens[0])
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`ClientError`]; a part may have been written then.
    pub async fn write_at(&self, offset: FileOffset, bytes: Bytes) -> Result<(), ClientError> {
        let mut patience = self.open.meta.inner.patience();
        self.open.write(offset, bytes, &mut patience).await
    }

    /// Writes all of `bytes` behind the end of the file, wherever that is then, and says where. Appends of
    /// all clients stand behind each other.
    ///
    /// # Errors
    /// [`ClientError`]; the range may be reserved then, and reads as zeros where it was not written.
    pub async fn append(&self, bytes: Bytes) -> Result<FileOffset, ClientError> {
        let mut patience = self.open.meta.inner.patience();
        let (_, handle) = self.open.writer()?;
        // What this handle wrote before stands before what it appends.
        self.open.report(false, &mut patience).await?;
        if bytes.is_empty() {
            return Ok(FileOffset(self.open.refresh(&mut patience).await?.size.get()));
        }
        let len = ByteLen(bytes.len() as u64);
        let mutation = Mutation::Reserve { inode: self.open.inode, handle, len };
        let at = match self.open.change(mutation, &mut patience).await? {
            MutationReply::Reserved { at, attributes } => {
                self.open.learn(attributes);
                at
            }
            other => return Err(misfit(&other)),
        };
        self.open.write(at, bytes, &mut patience).await?;
        if !self.open.report_late {
            self.open.report(false, &mut patience).await?;
        }
        Ok(at)
    }

    /// Returns when the bytes and the length of all writes that returned before are on stable storage.
    ///
    /// # Errors
    /// [`ClientError`]; what could not be reported is kept for the next call.
    pub async fn sync(&self) -> Result<(), ClientError> {
        match self.open.writer {
            Some(_) => self.open.report(false, &mut self.open.meta.inner.patience()).await,
            None => Ok(()),
        }
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
        let _alone = patience.wait(|| WaitingFor::File, open.length.write()).await?;
        if open.writer.is_some() {
            open.report(false, &mut patience).await?;
        }
        let change = AttributeChange { handle: self.handle(), ..change };
        let mutation =
            Mutation::SetAttributes { of: Place::inode(open.inode), follow: false, change };
        let reply = match open.writer {
            Some(_) => open.change(mutation, &mut patience).await?,
            None => open.meta.change(mutation, &mut patience).await?,
        };
        let (attributes, _) = inode_of(reply)?;
        Ok(open.learn(attributes))
    }

    /// The attributes, asked anew; what this handle wrote counts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stat(&self) -> Result<Attributes, ClientError> {
        self.open.refresh(&mut self.open.meta.inner.patience()).await
    }

    /// Syncs and closes.
    ///
    /// # Errors
    /// [`ClientError`] of the sync; the file is closed in the background then.
    pub async fn close(mut self) -> Result<(), ClientError> {
        if self.open.writer.is_some() {
            self.open.report(true, &mut self.open.meta.inner.patience()).await?;
        }
        self.closed = true;
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !self.closed && self.open.writer.is_some() {
            length::close_behind(&self.open);
        }
    }
}

impl OpenFile {
    pub(crate) fn inner(&self) -> &Inner {
        &self.meta.inner
    }

    pub(crate) fn attributes(&self) -> Attributes {
        *lock(&self.attributes)
    }

    /// Takes in what was heard, unless it is older than what is known; what is known then.
    pub(crate) fn learn(&self, heard: Attributes) -> Attributes {
        let mut known = lock(&self.attributes);
        if heard.change >= known.change {
            *known = heard;
        }
        *known
    }

    fn readable(&self) -> Result<(), ClientError> {
        if self.readable { Ok(()) } else { Err(FsError::InvalidArgument.into()) }
    }

    /// The session and handle of a file that is open for writing.
    pub(crate) fn writer(&self) -> Result<(&Arc<Session>, HandleId), ClientError> {
        let (session, handle) = self.writer.as_ref().ok_or(FsError::InvalidArgument)?;
        session.check()?;
        Ok((session, *handle))
    }

    async fn write(
        &self,
        offset: FileOffset,
        bytes: Bytes,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        self.writer()?;
        let len = ByteLen(bytes.len() as u64);
        let end = offset.checked_add(len).ok_or(FsError::FileTooLarge)?;
        let together = patience.wait(|| WaitingFor::File, self.length.read()).await?;
        data::write(self, offset, &bytes, patience).await?;
        lock(&self.written).add(WrittenRange { start: offset, end });
        drop(together);
        if !self.report_late && end.get() > self.attributes().size.get() {
            self.report(false, patience).await?;
        }
        Ok(())
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
