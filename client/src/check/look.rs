//! One look at a chunk: the copy of each member of its chain.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::{ChunkDigest, Crc32c, Payload};
use emberfs_client_session::{Next, PART_MAX, RoutingTable, Work, decide};
use emberfs_layout::{ChainId, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, TargetId};
use emberfs_transport::{CallOptions, Peer};
use emberfs_wire::chunk::{ChunkRead, ReadChunks, ReadOutcome, Replica};
use emberfs_wire::cluster::PublicState;
use emberfs_wire::{Capability, WireError};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::ChunkCopy;
use crate::client::Inner;
use crate::error::{ClientError, Try};

/// Reads under way (a count): with 4 MiB each within the memory of the default options.
const READS_AT_ONCE: usize = 8;
/// How long one read may take: far beyond what a busy disk takes.
const READ_WAIT: Duration = Duration::from_secs(10);
/// How long a member that gives no answer, or says each time to try again, is asked again: far beyond what a chain
/// takes to leave out a server that is dead. From then on one that gave none is asked once a look.
const SILENCE: Duration = Duration::from_secs(10);
/// How often bytes may come that do not match their sums, until they are called corrupt: once may be the way.
const DAMAGED_MAX: u32 = 2;

/// Reads copies.
#[derive(Debug)]
pub(super) struct Looker {
    inner: Arc<Inner>,
    room: Semaphore,
    /// Members that gave no answer for [`SILENCE`].
    silent: Mutex<BTreeSet<TargetId>>,
}

/// Why there is no copy to be told of.
enum Stop {
    /// The chain is another by now: look anew.
    Changed,
    Failed(ClientError),
}

impl Looker {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, room: Semaphore::new(READS_AT_ONCE), silent: Mutex::default() }
    }

    /// What each member of `chain` has of `chunk`, head first.
    pub(super) async fn look(
        &self,
        chain: ChainId,
        chunk: ChunkId,
        size: ChunkSize,
    ) -> Result<Vec<(TargetId, ChunkCopy)>, ClientError> {
        loop {
            let routing = self.inner.routes.now();
            let fault = |why: emberfs_client_session::RouteError| ClientError::Fault {
                text: why.to_string(),
            };
            let known = routing.chain(chain).map_err(fault)?;
            let each = known.members.iter().map(|member| {
                let replica = Replica { target: member.target, chain, version: known.version };
                let (routing, state) = (&routing, member.state);
                async move {
                    match state {
                        PublicState::Serving => self.copy(routing, replica, chunk, size).await,
                        state => Ok(ChunkCopy::NotServing { state }),
                    }
                }
            });
            let copies: Result<Vec<ChunkCopy>, Stop> = join_all(each).await.into_iter().collect();
            match copies {
                Ok(copies) => {
                    let targets = known.members.iter().map(|member| member.target);
                    return Ok(targets.zip(copies).collect());
                }
                Err(Stop::Changed) => {}
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
    }

    /// A serving member's copy; asked for until it is told, or the member has had its time.
    async fn copy(
        &self,
        routing: &RoutingTable,
        replica: Replica,
        chunk: ChunkId,
        size: ChunkSize,
    ) -> Result<ChunkCopy, Stop> {
        let target = replica.target;
        let (began, mut damaged) = (Instant::now(), 0);
        for tries in 0.. {
            let why = match self.read(routing, replica, chunk, size).await {
                Ok(copy) => {
                    self.silent().remove(&target);
                    return Ok(copy);
                }
                Err(Try::Answered(WireError::Corrupt { .. })) => return Ok(ChunkCopy::Corrupt),
                Err(why) => why,
            };
            if matches!(why, Try::Damaged(_)) {
                damaged += 1;
                if damaged == DAMAGED_MAX {
                    return Ok(ChunkCopy::Corrupt);
                }
            }
            let decision = decide(Work::Read, why.as_failure(), tries, rand::random());
            let last = why.to_string();
            match decision.next {
                Next::Refused(why) => return Err(Stop::Failed(why.into())),
                Next::Fault => return Err(Stop::Failed(ClientError::Fault { text: last })),
                Next::Again | Next::Refresh | Next::Elsewhere => {}
            }
            sleep(decision.pause).await;
            self.refresh(routing, replica.chain).await?;
            let late = began.elapsed() > SILENCE;
            if matches!(why, Try::Answered(WireError::Retry { .. })) {
                if late {
                    return Ok(ChunkCopy::Busy { last });
                }
            } else if late || self.silent().contains(&target) {
                self.silent().insert(target);
                return Ok(ChunkCopy::Silent { last });
            }
        }
        unreachable!("tries are counted to no end")
    }

    /// Asks for newer routing; whoever read by another version of the chain looks anew.
    async fn refresh(&self, seen: &RoutingTable, chain: ChainId) -> Result<(), Stop> {
        let mut patience = self.inner.patience();
        let version = |routing: &RoutingTable| routing.chain(chain).ok().map(|chain| chain.version);
        let asked = async {
            let session = self.inner.session(&mut patience).await?;
            self.inner.routes.refresh(seen.version(), &session.meta, &mut patience).await
        };
        asked.await.map_err(Stop::Failed)?;
        let same = version(&self.inner.routes.now()) == version(seen);
        if same { Ok(()) } else { Err(Stop::Changed) }
    }

    /// Reads all of a copy, in parts that fit into memory.
    async fn read(
        &self,
        routing: &RoutingTable,
        replica: Replica,
        chunk: ChunkId,
        size: ChunkSize,
    ) -> Result<ChunkCopy, Try> {
        let session = self.inner.session(&mut self.inner.patience()).await;
        let session = session.map_err(|error| Try::Unreachable(error.to_string()))?;
        let node = routing.home(replica.target)?;
        let (_, _, peer) = session.storage.peer(node, replica.target).await?;
        let mut known: Option<(ChunkVersion, ChunkOffset)> = None;
        let mut digest = ChunkDigest::EMPTY;
        let mut at = 0;
        while at < known.map_or(size.bytes(), |(_, len)| len.get()) {
            let _room = self.room.acquire().await.expect("it is never closed");
            let len = ChunkOffset(PART_MAX.min(size.bytes() - at));
            let read = ChunkRead { replica, chunk, start: ChunkOffset(at), len };
            let Some((version, chunk_len, payload)) = part(&peer, read).await? else {
                return if known.is_none() { Ok(ChunkCopy::Absent) } else { Err(changed(chunk)) };
            };
            if known.is_some_and(|known| known != (version, chunk_len)) {
                return Err(changed(chunk));
            }
            known = Some((version, chunk_len));
            let expected = chunk_len.get().saturating_sub(at).min(len.get());
            if payload.len() != expected as usize {
                return Err(Try::Damaged(format!("{} bytes of {expected}", payload.len())));
            }
            if expected == 0 {
                break;
            }
            digest = folded(digest, &payload);
            at += expected;
        }
        let (version, len) = known.expect("a chunk has a size, so one part was read");
        Ok(ChunkCopy::Whole { version, len, digest: digest.resized(ChunkOffset(0), len) })
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, BTreeSet<TargetId>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two parts are of different versions.
fn changed(chunk: ChunkId) -> Try {
    let text = format!("{chunk} changed while it was read");
    Try::Answered(WireError::Retry { after_ms: 0, text })
}

/// One part of a copy, its bytes checked; `None` if there is no such chunk.
async fn part(
    peer: &Peer,
    read: ChunkRead,
) -> Result<Option<(ChunkVersion, ChunkOffset, Payload)>, Try> {
    let request = ReadChunks { capability: Capability::default(), reads: vec![read] };
    let options = CallOptions { wait: Some(READ_WAIT), ..CallOptions::default() };
    let reply = peer.call(&request, Bytes::new(), &options).await?;
    let mut outcomes = reply.message.outcomes.into_iter();
    match (outcomes.next(), outcomes.next()) {
        (Some(ReadOutcome::Found { version, chunk_len, data }), None) => {
            let damaged = |error: &dyn std::fmt::Display| Try::Damaged(error.to_string());
            let bound = data.bind(reply.payload).map_err(|error| damaged(&error))?;
            let payload = bound.check().map_err(|error| damaged(&error))?;
            if !payload.is_empty() && payload.start() != read.start {
                return Err(Try::Damaged("bytes that were not asked for".to_owned()));
            }
            Ok(Some((version, chunk_len, payload)))
        }
        (Some(ReadOutcome::Absent), None) => Ok(None),
        (Some(ReadOutcome::Failed(error)), None) => Err(Try::Answered(error)),
        _ => Err(Try::Damaged("a reply to another number of reads".to_owned())),
    }
}

/// The digest with the blocks of `payload` put in; it begins with a block. What lies behind the end of its
/// last block is zeros.
fn folded(digest: ChunkDigest, payload: &Payload) -> ChunkDigest {
    let block = payload.block_size();
    let first = payload.start().get() / block.bytes();
    (first..).zip(payload.pieces()).fold(digest, |digest, (number, (piece, sum))| {
        let behind = block.bytes() as usize - piece.len();
        let sum = if behind == 0 { sum } else { sum.followed_by(Crc32c::of_zeros(behind), behind) };
        digest.with(number, sum, block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::BlockSize;

    /// The digest is that which the engine keeps: `emberfs_buffer::digest` says of what.
    #[test]
    fn parts_give_the_digest_of_the_whole() {
        let block = BlockSize::MIN;
        let bytes: Vec<u8> =
            (0..10_000).map(|i: u32| u8::try_from(i % 251).expect("below 251")).collect();
        let payload = |from: usize, to: usize| {
            let start = ChunkOffset(u32::try_from(from).expect("small"));
            Payload::compute(Bytes::copy_from_slice(&bytes[from..to]), start, block).expect("fits")
        };
        let whole = folded(ChunkDigest::EMPTY, &payload(0, bytes.len()));
        let first = folded(ChunkDigest::EMPTY, &payload(0, 4096));
        assert_eq!(folded(first, &payload(4096, bytes.len())), whole);
        let mut padded = bytes.clone();
        padded.resize(12_288, 0);
        let sums = padded.chunks(4096).map(Crc32c::of);
        let expected =
            (0..).zip(sums).fold(ChunkDigest::EMPTY, |d, (n, sum)| d.with(n, sum, block));
        assert_eq!(whole, expected);
    }
}
