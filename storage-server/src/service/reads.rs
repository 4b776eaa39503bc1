//! A batch of reads: over the targets of this shard at once, and those of other shards by parts.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_chain_replication::target::Reply;
use emberfs_layout::{BlockSize, ChunkOffset};
use emberfs_transport::Answer;
use emberfs_wire::chunk::{ChunkRead, ReadChunks, ReadChunksReply, ReadOutcome};
use emberfs_wire::handshake::ShardIndex;
use emberfs_wire::limits::PAYLOAD_BYTES_MAX;
use emberfs_wire::sums::SumList;
use emberfs_wire::{PayloadSums, Request, WireError, decode, encode};

use super::handler::{answered, stopped, unreadable};
use crate::joining::behind_each_other;
use crate::shard::{RawCall, Shard};

/// Answers a [`ReadChunks`].
pub(super) async fn answer(shard: &Rc<Shard>, ask: RawCall) -> Answer {
    let request: ReadChunks = decode(&ask.message).map_err(unreadable)?;
    let asked: u64 = request.reads.iter().map(|read| u64::from(read.len.get())).sum();
    if asked > u64::from(PAYLOAD_BYTES_MAX) {
        return Err(WireError::bug(format!("{asked} bytes asked for in one request")));
    }
    let mut homes: BTreeMap<ShardIndex, Vec<usize>> = BTreeMap::new();
    for (place, read) in request.reads.iter().enumerate() {
        homes.entry(shard.home(read.replica.target)).or_default().push(place);
    }
    match homes.first_key_value() {
        Some((home, _)) if homes.len() == 1 && *home != shard.index() => {
            shard.cross(*home, ask).await
        }
        _ if homes.len() <= 1 => here(shard, request).await,
        _ => split(shard, &request, homes).await,
    }
}

/// All reads are of this shard: they begin together.
async fn here(shard: &Rc<Shard>, request: ReadChunks) -> Answer {
    let begin = |read: ChunkRead| (read.start, shard.begin_read(read));
    let begun: Vec<_> = request.reads.into_iter().map(begin).collect();
    let mut outcomes = Vec::with_capacity(begun.len());
    let mut found = Vec::new();
    for (start, one) in begun {
        outcomes.push(match one.await {
            Ok(Reply::Found { version, chunk_len, data: Some(data) }) => {
                let sums = PayloadSums::of(&data);
                found.push(data);
                ReadOutcome::Found { version, chunk_len, data: sums }
            }
            Ok(Reply::Found { version, chunk_len, data: None }) => {
                ReadOutcome::Found { version, chunk_len, data: no_bytes(start) }
            }
            Ok(Reply::Absent) => ReadOutcome::Absent,
            Ok(_) => ReadOutcome::Failed(WireError::bug("a reply to something else")),
            Err(error) => ReadOutcome::Failed(error),
        });
    }
    let payload = behind_each_other(found.iter().map(Payload::bytes), shard.pool())?;
    Ok(answered::<ReadChunks>(&ReadChunksReply { outcomes }, payload))
}

fn no_bytes(start: ChunkOffset) -> PayloadSums {
    let (len, block) = (ChunkOffset(0), BlockSize::MIN);
    PayloadSums { start, len, block, sums: SumList::default() }
}

/// The reads are of several shards: each answers its own, and the answers are put in order.
async fn split(
    shard: &Rc<Shard>,
    request: &ReadChunks,
    homes: BTreeMap<ShardIndex, Vec<usize>>,
) -> Answer {
    let mut waiting = Vec::new();
    for (home, places) in homes {
        let reads = places.iter().map(|place| request.reads[*place]).collect();
        let part = ReadChunks { capability: request.capability.clone(), reads };
        let mut message = Vec::new();
        encode(&part, &mut message);
        let (method, payload) = (ReadChunks::METHOD, Bytes::new());
        let call = RawCall { method, message: message.into(), payload };
        waiting.push((places, shard.post(home, call).await?));
    }
    let mut parts: Vec<Option<(ReadOutcome, Bytes)>> = request.reads.iter().map(|_| None).collect();
    for (places, answer) in waiting {
        let (message, mut payload) = answer.await.map_err(|_| stopped())??;
        let reply: ReadChunksReply = decode(&message).map_err(unreadable)?;
        for (place, outcome) in places.into_iter().zip(reply.outcomes) {
            let len = match &outcome {
                ReadOutcome::Found { data, .. } => data.len.get() as usize,
                _ => 0,
            };
            parts[place] = Some((outcome, payload.split_to(len)));
        }
    }
    let parts: Option<Vec<_>> = parts.into_iter().collect();
    let parts = parts.ok_or_else(|| WireError::bug("a shard left reads without an answer"))?;
    let (outcomes, bytes): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let payload = behind_each_other(bytes.iter(), shard.pool())?;
    Ok(answered::<ReadChunks>(&ReadChunksReply { outcomes }, payload))
}
