//! Checking files: every replica of every chunk is read, every checksum compared, and the replicas with each
//! other.
//!
//! ```text
//!   Check::file ── a chunk ──► look ── each serving member ──► its copy ──► judge ──► nothing to say
//!                    ▲                                                       │
//!                    └── after a pause, with the file's attributes anew ─────┘ something
//! ```
//!
//! It is right while others write. Replicas that are read one after the other may differ by a write in
//! between, so what a look finds is believed only when the next one finds the same: all copies of the one
//! were read before any of the other, so each replica had its copy at the moment between them. By the same
//! rule bytes are called lost only where the file's attributes, asked after both looks, say the same of the
//! chunk: it was not cut meanwhile.
//!
//! Members that do not serve may lack or have anything. They are not read: a client cannot know what they
//! ought to have.

mod judge;
mod look;

use std::future::ready;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use emberfs_client_session::FileStripe;
use emberfs_layout::{ByteLen, ChainId, ChunkId, ChunkIndex, TargetId};
use emberfs_wire::FsError;
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{Attributes, Place};
use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use crate::client::Client;
use crate::data::data_of;
use crate::error::{ClientError, WaitingFor};
use crate::meta::Meta;
use judge::{Part, judge};
use look::Looker;

pub use judge::{ChunkCopy, ChunkFault};

/// Chunks of one file that are checked at a time (a count): small ones wait for round trips.
const CHUNKS_AT_ONCE: usize = 8;
/// Chunks of one file that are kept with all that is known of them (a count): more are counted.
const FOUND_MAX: usize = 1_000;
/// How often a chunk that keeps changing is looked at: with the pauses between, for some seconds.
const LOOKS_MAX: u32 = 16;
/// The first pause between two looks: about what a write takes.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Checks files, several at a time, within one bound on what is under way.
#[derive(Debug)]
pub struct Check {
    meta: Meta,
    looker: Looker,
}

/// What a check of one file found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileCheck {
    /// Chunks that were looked at.
    pub chunks: u64,
    /// Chunks of which there is something to say.
    pub found: u64,
    /// The first of them, by number.
    pub first: Vec<ChunkCheck>,
    /// The worst of them.
    pub worst: Option<ChunkFault>,
    /// Bytes that were read, of all replicas together, in the looks that counted.
    pub read: ByteLen,
}

/// A chunk of which there is something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkCheck {
    /// Which.
    pub index: ChunkIndex,
    /// Where it lives.
    pub chain: ChainId,
    /// What is to be said.
    pub fault: ChunkFault,
    /// Each member of the chain, head first, what it has, and whether that is what is wrong.
    pub members: Vec<MemberCheck>,
}

/// One member of a chain, and its copy of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberCheck {
    /// The member.
    pub target: TargetId,
    /// What it has.
    pub copy: ChunkCopy,
    /// Whether it is at fault: what it has is not what most of those have that are newest.
    pub odd: bool,
}

impl Client {
    /// For checking files against damage.
    #[must_use]
    pub fn check(&self) -> Check {
        Check { meta: self.fs().meta().clone(), looker: Looker::new(self.inner.clone()) }
    }
}

impl FileCheck {
    fn add(&mut self, found: Option<ChunkCheck>, read: ByteLen) {
        self.chunks += 1;
        self.read = ByteLen(self.read.get() + read.get());
        let Some(found) = found else { return };
        self.found += 1;
        self.worst = self.worst.max(Some(found.fault));
        if self.first.len() < FOUND_MAX {
            self.first.push(found);
        }
    }
}

impl Check {
    /// Checks the file that has these attributes, as long as it was then; what is found is added to `all`.
    /// `done` is told how many bytes of the file are checked, chunk by chunk.
    ///
    /// A file that is removed meanwhile is in order.
    ///
    /// # Errors
    /// [`FsError::InvalidArgument`] if it is no file; [`ClientError::Deadline`] if the metadata group does not
    /// answer, never for a storage server that does not: that is something to say. What was found before that,
    /// or by looks that were under way then, is in `all`.
    pub async fn file(
        &self,
        of: &Attributes,
        all: &mut FileCheck,
        done: impl Fn(ByteLen),
    ) -> Result<(), ClientError> {
        let data = data_of(of)?;
        let stripe = self.stripe(&data).await?;
        let size = data.layout.chunk_size;
        let count = size.chunks_in(of.size).ok_or(FsError::FileTooLarge)?;
        let chunk = async |number: u64| {
            let index =
                ChunkIndex(u32::try_from(number).expect("a chunk of a file that is allowed"));
            let (found, read) = self.chunk(of, &stripe, index).await?;
            done(ByteLen(size.covered(index, of.size).get().into()));
            Ok::<_, ClientError>((found, read))
        };
        let failed = OnceLock::new();
        let numbers = stream::iter(0..count).take_while(|_| ready(failed.get().is_none()));
        let mut chunks = numbers.map(chunk).buffered(CHUNKS_AT_ONCE);
        while let Some(looked) = chunks.next().await {
            match looked {
                Ok((found, read)) => all.add(found, read),
                Err(error) => drop(failed.set(error)), // of several the first is told
            }
        }
        failed.get().cloned().map_or(Ok(()), Err)
    }

    /// What there is to say of one chunk, and how many bytes of it were read.
    async fn chunk(
        &self,
        of: &Attributes,
        stripe: &FileStripe,
        index: ChunkIndex,
    ) -> Result<(Option<ChunkCheck>, ByteLen), ClientError> {
        let data = data_of(of)?;
        let (chunk, chain) = (ChunkId::new(data.id, index), stripe.chain_of(index));
        let mut part = Part::of(index, of.size, &data);
        let mut before: Option<Vec<(TargetId, ChunkCopy)>> = None;
        let mut pause = PAUSE_MIN;
        for look in 1.. {
            let copies = self.looker.look(chain, chunk, data.layout.chunk_size).await?;
            let read = ByteLen(copies.iter().map(|(_, copy)| u64::from(copy.len())).sum());
            let judged = judge(&copies, part);
            let Some(fault) = judged.fault else { return Ok((None, read)) };
            let Some(now) = self.part(of, &data, index).await? else { return Ok((None, read)) };
            let same = part == now && before.is_some_and(|before| are_like(&before, &copies));
            part = now;
            let settled = same || fault <= ChunkFault::Unsettled;
            if settled || look == LOOKS_MAX {
                let fault = if settled { fault } else { ChunkFault::Unsettled };
                let member = |((target, copy), odd)| MemberCheck { target, copy, odd };
                let members = copies.into_iter().zip(judged.odd).map(member).collect();
                return Ok((Some(ChunkCheck { index, chain, fault, members }), read));
            }
            before = Some(copies);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        unreachable!("looks are counted")
    }

    /// What the file has of a chunk now; `None` if the file is gone, or has other bytes.
    async fn part(
        &self,
        of: &Attributes,
        data: &FileData,
        index: ChunkIndex,
    ) -> Result<Option<Part>, ClientError> {
        match self.meta.attributes(Place::inode(of.inode), false).await {
            Ok(now) => {
                let fresh = data_of(&now)?;
                let same = (fresh.id, fresh.layout) == (data.id, data.layout);
                Ok(same.then(|| Part::of(index, now.size, &fresh)))
            }
            Err(ClientError::Fs(FsError::NotFound | FsError::Stale)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The chains of a file, once the routing knows them.
    async fn stripe(&self, data: &FileData) -> Result<Arc<FileStripe>, ClientError> {
        let inner = &self.meta.inner;
        let (mut patience, mut pause) = (inner.patience(), PAUSE_MIN);
        loop {
            let routing = inner.routes.now();
            let why = match routing.stripe(data.layout) {
                Ok(stripe) => return Ok(Arc::new(stripe)),
                Err(why) => why,
            };
            patience.pause(|| WaitingFor::Routing { last: why.to_string() }, pause).await?;
            pause = (pause * 2).min(PAUSE_MAX);
            let session = inner.session(&mut patience).await?;
            inner.routes.refresh(routing.version(), &session.meta, &mut patience).await?;
        }
    }
}

/// Whether two looks found the same: of the same members, in the same order.
fn are_like(one: &[(TargetId, ChunkCopy)], other: &[(TargetId, ChunkCopy)]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && one.1.is_like(&other.1))
}
