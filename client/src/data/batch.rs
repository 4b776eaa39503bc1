//! Parts of chunks, gathered by the shard that is asked for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_client_session::{FileStripe, RouteError, RoutingTable, choose};
use emberfs_layout::{ChunkId, ChunkOffset, ChunkSpan, NodeId, TargetId};
use emberfs_transport::{CallOptions, Peer, Reply};
use emberfs_wire::Capability;
use emberfs_wire::chunk::{ChunkRead, ReadChunks, ReadChunksReply, ReadOutcome, Replica};
use emberfs_wire::handshake::ShardIndex;
use emberfs_wire::limits::READS_MAX;
use emberfs_wire::meta::inode::FileData;
use futures_util::future::join_all;

use super::read::READ_WAIT;
use crate::error::Try;
use crate::links::StorageLinks;

/// Bytes of one batch: a streaming read is answered in several, so that memory and servers are shared.
const BATCH_BYTES: u64 = 4 << 20;

/// A part of a chunk that is to be read, and what was learned on the way.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Which of the caller's ranges it belongs to.
    pub(super) target: usize,
    /// Which part; its `at` is a place in that range.
    pub(super) span: ChunkSpan,
    /// Replicas that answered without all of its bytes.
    pub(super) lacking: Vec<TargetId>,
    /// Replicas that failed lately.
    pub(super) avoid: Vec<TargetId>,
    /// How often it failed.
    pub(super) tries: u32,
}

/// A part whose replica was chosen.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) part: Part,
    pub(super) replica: Replica,
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
pub(super) struct Batch {
    peer: Peer,
    pub(super) parts: Vec<Chosen>,
}

/// What a replica said of a part.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has these bytes of it, checked; from its start, perhaps none.
    Bytes(Option<Payload>),
    /// It failed.
    Failed(Try),
}

/// Which replica a part is read from.
#[derive(Debug)]
pub(super) enum Choice {
    Of(Replica),
    /// Every serving replica answered without all of its bytes.
    Exhausted,
    /// Those that are left failed lately, or none serves.
    Nobody(RouteError),
}

impl Part {
    pub(super) fn chunk(&self, data: &FileData) -> ChunkId {
        ChunkId::new(data.id, self.span.index)
    }

    pub(super) fn choose(&self, routing: &RoutingTable, stripe: &FileStripe) -> Choice {
        let chain = stripe.chain_of(self.span.index);
        let serving = match routing.serving(chain) {
            Ok(serving) => serving.collect::<Vec<_>>(),
            Err(why) => return Choice::Nobody(why),
        };
        let lacks = |replica: &Replica| self.lacking.contains(&replica.target);
        if !serving.is_empty() && serving.iter().all(lacks) {
            return Choice::Exhausted;
        }
        let no = [&self.lacking[..], &self.avoid].concat();
        let chosen = choose(serving.into_iter(), &no, rand::random());
        chosen.map_or(Choice::Nobody(RouteError::NoneServing { chain }), Choice::Of)
    }
}

/// Connects to the shards that have the chosen replicas, and gathers what goes to the same.
pub(super) async fn gather(
    chosen: Vec<Chosen>,
    routing: &RoutingTable,
    storage: &StorageLinks,
    failed: &mut Vec<Failed>,
) -> Vec<Batch> {
    let mut by_target: BTreeMap<TargetId, Vec<Chosen>> = BTreeMap::new();
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
    let mut by_shard: BTreeMap<(NodeId, ShardIndex), (Peer, Vec<Chosen>)> = BTreeMap::new();
    for (parts, peer) in connected.await {
        match peer {
            Ok((node, shard, peer)) => {
                let of_shard = by_shard.entry((node, shard)).or_insert((peer, Vec::new()));
                of_shard.1.extend(parts);
            }
            Err(why) => failed.extend(parts.into_iter().map(|Chosen { part, replica }| Failed {
                part,
                from: Some(replica),
                why: why.clone(),
            })),
        }
    }
    by_shard.into_values().flat_map(|(peer, parts)| cut(&peer, parts)).collect()
}

fn cut(peer: &Peer, parts: Vec<Chosen>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
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

impl Batch {
    /// Sends it; what came of each part, in order.
    pub(super) async fn send(self, data: &FileData) -> (Vec<Chosen>, Vec<Answer>) {
        let reads = self.parts.iter().map(|Chosen { part, replica }| ChunkRead {
            replica: *replica,
            chunk: part.chunk(data),
            start: part.span.start,
            len: ChunkOffset(part.span.len),
        });
        let request = ReadChunks { capability: Capability::default(), reads: reads.collect() };
        let options = CallOptions { wait: Some(READ_WAIT), ..CallOptions::default() };
        let reply = self.peer.call(&request, Bytes::new(), &options).await;
        let answers = match reply.map_err(Try::from).and_then(|reply| split(reply, &request)) {
            Ok(answers) => answers,
            Err(why) => self.parts.iter().map(|_| Answer::Failed(why.clone())).collect(),
        };
        (self.parts, answers)
    }
}

/// Gives each read its bytes of the payload, checked.
fn split(reply: Reply<ReadChunksReply>, request: &ReadChunks) -> Result<Vec<Answer>, Try> {
    let damaged = |what: &str| Try::Damaged(what.to_owned());
    let outcomes = reply.message.outcomes;
    if outcomes.len() != request.reads.len() {
        return Err(damaged("a reply to another number of reads"));
    }
    let mut rest = reply.payload;
    let mut answers = Vec::with_capacity(outcomes.len());
    for (outcome, read) in outcomes.into_iter().zip(&request.reads) {
        answers.push(match outcome {
            ReadOutcome::Found { data, .. } => {
                let len = data.len.get() as usize;
                if data.start != read.start || data.len > read.len || len > rest.len() {
                    return Err(damaged("bytes that were not asked for"));
                }
                let bound = data.bind(rest.split_to(len)).map_err(|error| error.to_string());
                let checked = bound.and_then(|data| data.check().map_err(|e| e.to_string()));
                checked.map_or_else(
                    |why| Answer::Failed(Try::Damaged(why)),
                    |payload| Answer::Bytes(Some(payload)),
                )
            }
            ReadOutcome::Absent => Answer::Bytes(None),
            ReadOutcome::Failed(error) => Answer::Failed(Try::Answered(error)),
        });
    }
    Ok(answers)
}
