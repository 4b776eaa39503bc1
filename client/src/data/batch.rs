//! Parts of chunks, gathered by the shard that is asked for them.

use std::collections::BTreeMap;

use emberfs_buffer::Unfit;
use emberfs_client_session::RoutingTable;
use emberfs_layout::{ChunkOffset, NodeId, TargetId};
use emberfs_transport::{CallOptions, Peer, Reply, Room};
use emberfs_wire::Capability;
use emberfs_wire::chunk::{ChunkRead, ReadChunks, ReadChunksReply, ReadOutcome, Replica};
use emberfs_wire::handshake::ShardIndex;
use emberfs_wire::limits::READS_MAX;
use emberfs_wire::meta::inode::FileData;
use futures_util::future::join_all;

use super::attempt::attempt;
use super::part::Part;
use super::read::READ_WAIT;
use crate::error::Try;
use crate::group::MetaLinks;
use crate::links::StorageLinks;
use crate::routes::Routes;

/// Bytes of one batch: a streaming read is answered in several, so that memory and servers are shared.
const BATCH_BYTES: u64 = 4 << 20;

/// A part whose replica was chosen, and where its bytes land.
#[derive(Debug)]
pub(super) struct Chosen<'g> {
    pub(super) part: Part,
    pub(super) replica: Replica,
    pub(super) room: Room<'g>,
}

/// A part that could not be read, and from whom.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) part: Part,
    pub(super) from: Option<Replica>,
    pub(super) why: Try,
}

/// Parts that go in one request.
#[derive(Debug)]
pub(super) struct Batch<'g> {
    peer: Peer,
    parts: Vec<Chosen<'g>>,
}

/// What a replica said of a part.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has so many bytes of it, from its start, perhaps none; they are checked, and where they belong.
    Bytes(u32),
    /// It gave bytes that do not match their sums.
    Unfit(Unfit),
    /// It failed.
    Failed(Try),
}

/// Connects to the shards that have the chosen replicas, and gathers what goes to the same.
pub(super) async fn gather<'g>(
    chosen: Vec<Chosen<'g>>,
    routing: &RoutingTable,
    storage: &StorageLinks,
    failed: &mut Vec<Failed>,
) -> Vec<Batch<'g>> {
    let mut by_target: BTreeMap<TargetId, Vec<Chosen<'_>>> = BTreeMap::new();
    for one in chosen {
        by_target.entry(one.replica.target).or_default().push(one);
    }
    let connected = join_all(by_target.into_iter().map(|(target, parts)| async move {
        let peer = match routing.home(target) {
            Ok(node) => storage.peer(node, target).await,
            Err(why) => Err(why.into()),
        };
        (parts, peer)
    }));
    let mut by_shard: BTreeMap<(NodeId, ShardIndex), (Peer, Vec<Chosen<'_>>)> = BTreeMap::new();
    for (parts, peer) in connected.await {
        match peer {
            Ok((node, shard, peer)) => {
                let of_shard = by_shard.entry((node, shard)).or_insert((peer, Vec::new()));
                of_shard.1.extend(parts);
            }
            Err(why) => failed.extend(parts.into_iter().map(|Chosen { part, replica, .. }| {
                Failed { part, from: Some(replica), why: why.clone() }
            })),
        }
    }
    by_shard.into_values().flat_map(|(peer, parts)| cut(&peer, parts)).collect()
}

fn cut<'g>(peer: &Peer, parts: Vec<Chosen<'g>>) -> Vec<Batch<'g>> {
    let mut batches: Vec<Batch<'g>> = Vec::new();
    let mut bytes = 0;
    for chosen in parts {
        let len = u64::from(chosen.part.span.len);
        match batches.last_mut() {
            Some(batch) if batch.parts.len() < READS_MAX && bytes + len <= BATCH_BYTES => {
                batch.parts.push(chosen);
                bytes += len;
            }
            _ => {
                batches.push(Batch { peer: peer.clone(), parts: vec![chosen] });
                bytes = len;
            }
        }
    }
    batches
}

impl Batch<'_> {
    /// Sends it; what the replica said of each part, in order.
    pub(super) async fn send(
        self,
        data: &FileData,
        routes: &Routes,
        meta: &MetaLinks,
    ) -> Vec<(Part, Replica, Answer)> {
        let reads = self.parts.iter().map(|Chosen { part, replica, .. }| ChunkRead {
            replica: *replica,
            chunk: part.chunk(data),
            start: part.span.start,
            len: ChunkOffset(part.span.len),
        });
        let request = ReadChunks { capability: Capability::default(), reads: reads.collect() };
        let options = CallOptions { wait: Some(READ_WAIT), ..CallOptions::default() };
        let (parts, rooms): (Vec<_>, Vec<_>) =
            self.parts.into_iter().map(|one| ((one.part, one.replica), one.room)).unzip();
        let call = self.peer.call_into(&request, rooms, lens, &options);
        let serve = |now: &RoutingTable| parts.iter().all(|(_, replica)| now.serves(replica));
        let answers = match attempt(call, serve, routes, meta).await {
            Some((reply, mut rooms)) => {
                reply.map_err(Try::from).and_then(|reply| split(reply, &request, &mut rooms))
            }
            None => Err(Try::Slow),
        };
        let answers = answers
            .unwrap_or_else(|why| parts.iter().map(|_| Answer::Failed(why.clone())).collect());
        parts.into_iter().zip(answers).map(|((part, of), answer)| (part, of, answer)).collect()
    }
}

/// How many bytes of a reply's payload are of each read.
fn lens(reply: &ReadChunksReply) -> Vec<usize> {
    let len = |outcome: &ReadOutcome| match outcome {
        ReadOutcome::Found { data, .. } => data.len.get() as usize,
        ReadOutcome::Absent | ReadOutcome::Failed(_) => 0,
    };
    reply.outcomes.iter().map(len).collect()
}

/// Checks the bytes of each read where they belong; a payload that did not land there is copied there first.
fn split(
    reply: Reply<ReadChunksReply>,
    request: &ReadChunks,
    rooms: &mut [Room<'_>],
) -> Result<Vec<Answer>, Try> {
    let damaged = |what: &str| Try::Damaged(what.to_owned());
    let Reply { message: ReadChunksReply { outcomes }, payload: mut rest, landed } = reply;
    if outcomes.len() != request.reads.len() {
        return Err(damaged("a reply to another number of reads"));
    }
    let mut answers = Vec::with_capacity(outcomes.len());
    for ((outcome, read), room) in outcomes.into_iter().zip(&request.reads).zip(rooms) {
        answers.push(match outcome {
            ReadOutcome::Found { data, .. } => {
                let len = data.len.get() as usize;
                if data.start != read.start || data.len > read.len || (!landed && len > rest.len())
                {
                    return Err(damaged("bytes that were not asked for"));
                }
                let bytes = &mut room.bytes()[..len];
                if !landed {
                    bytes.copy_from_slice(&rest.split_to(len));
                }
                match data.check(bytes) {
                    Ok(()) => Answer::Bytes(data.len.get()),
                    Err(unfit) => Answer::Unfit(unfit),
                }
            }
            ReadOutcome::Absent => Answer::Bytes(0),
            ReadOutcome::Failed(error) => Answer::Failed(Try::Answered(error)),
        });
    }
    Ok(answers)
}
