//! One target driven by hand, step by step, on a store that holds what the steps say.

mod resync;
mod room;
mod rules;
mod turned_away;

use std::collections::BTreeMap;

use bytes::Bytes;
use emberfs_buffer::{ChunkDigest, Crc32c, Payload};
use emberfs_layout::{
    BlockSize, ByteLen, ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize,
    ChunkVersion, ClientId, DataId, Sequence, TargetId,
};
use emberfs_wire::chunk::{ChunkChange, ChunkEnd, ChunkRead, LastChunk, Replica, UpdateChunk};
use emberfs_wire::cluster::PublicState::{self, Serving, Syncing};
use emberfs_wire::cluster::{Chain, ChainMember};
use emberfs_wire::replica::{ForwardReply, ForwardUpdate, TaggedChange};
use emberfs_wire::{Capability, FsError, PayloadSums, Tag, WireError};

use super::{
    Answer, Ask, CallId, Change, ChunkState, Chunks, Durable, Effect, Input, Installed, Loaded,
    Millis, NewVersion, OpId, Reply, RequestId, StoreError, Target, VersionState,
};

const FULL: WireError = WireError::Refuse { why: FsError::NoSpace };

const CHUNK: ChunkId = ChunkId::new(DataId(1), ChunkIndex(0));

/// What shows in the store.
#[derive(Default)]
struct Shelf {
    chunks: BTreeMap<ChunkId, ChunkState>,
    /// Whether it may lack room.
    tight: bool,
}

impl Chunks for Shelf {
    fn state(&self, chunk: ChunkId) -> Option<ChunkState> {
        self.chunks.get(&chunk).copied()
    }

    fn page(&self, after: Option<ChunkId>, limit: usize) -> Vec<(ChunkId, ChunkState)> {
        let behind = self.chunks.iter().filter(|(chunk, _)| after.is_none_or(|at| **chunk > at));
        behind.take(limit).map(|(chunk, state)| (*chunk, *state)).collect()
    }

    fn last_chunk(&self, data: DataId) -> Option<ChunkEnd> {
        let of = self.chunks.iter().filter(|(chunk, _)| chunk.data == data);
        let mut there = of.filter_map(|(chunk, state)| {
            let state = state.committed.filter(|state| !state.removed)?;
            Some(ChunkEnd { index: chunk.index, len: state.len })
        });
        there.next_back()
    }

    fn has_room(&self, room: ByteLen, _: BlockSize) -> bool {
        !self.tight || room == ByteLen::ZERO
    }
}

/// A target with its store.
struct Stand {
    target: Target,
    shelf: Shelf,
    now: Millis,
    version: ChainVersion,
    requests: u64,
    /// What it wants done and was not told of yet.
    puts: Vec<(OpId, ChunkId, NewVersion)>,
    flushes: Vec<OpId>,
    reads: Vec<OpId>,
    sends: Vec<(CallId, TargetId, Ask)>,
    replies: BTreeMap<RequestId, Result<Reply, WireError>>,
    discards: usize,
    differing: usize,
    unreadable: Vec<ChunkId>,
    installs: Vec<(OpId, Installed)>,
}

/// A member of the chain by its number.
fn target(number: u32) -> TargetId {
    TargetId(number)
}

fn tag(sequence: u64) -> Tag {
    Tag { client: ClientId(1), sequence: Sequence(sequence) }
}

/// Eight bytes at the start of a chunk.
fn bytes() -> Payload {
    Payload::compute(Bytes::from_static(b"01234567"), ChunkOffset(0), BlockSize::MIN).expect("few")
}

fn write() -> ChunkChange {
    ChunkChange::Write(PayloadSums::of(&bytes()))
}

impl Stand {
    /// Number `me` of members in these states, with a lease.
    fn new(me: u32, states: &[PublicState]) -> Self {
        Self::with(me, states, Loaded::default())
    }

    fn with(me: u32, states: &[PublicState], loaded: Loaded) -> Self {
        let mut stand = Self {
            target: Target::new(target(me), loaded),
            shelf: Shelf::default(),
            now: Millis(1),
            version: ChainVersion::NONE,
            requests: 0,
            puts: Vec::new(),
            flushes: Vec::new(),
            reads: Vec::new(),
            sends: Vec::new(),
            replies: BTreeMap::new(),
            discards: 0,
            differing: 0,
            unreadable: Vec::new(),
            installs: Vec::new(),
        };
        stand.follow(states);
        stand.step(Input::Lease { until: Millis(u64::MAX) });
        stand
    }

    /// The chain has these members now, under its next version.
    fn follow(&mut self, states: &[PublicState]) {
        self.follow_in_order((0..).zip(states.iter().copied()));
    }

    /// The same of members that stand in another order than by their numbers.
    fn follow_in_order(&mut self, members: impl IntoIterator<Item = (u32, PublicState)>) {
        self.version = self.version.next();
        let member = |(number, state)| ChainMember { target: target(number), state };
        let members = members.into_iter().map(member).collect();
        let (id, version) = (ChainId(1), self.version);
        self.step(Input::Chain(Chain { id, version, members, min_serving: 1 }));
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.target.step(self.now, input, &self.shelf, &mut effects);
        for effect in effects {
            match effect {
                Effect::Put { op, chunk, new } => self.puts.push((op, chunk, new)),
                Effect::Flush { op } => self.flushes.push(op),
                Effect::Read { op, .. } => self.reads.push(op),
                Effect::Send { call, to, ask } => self.sends.push((call, to, ask)),
                Effect::Reply { to, reply } => assert!(self.replies.insert(to, reply).is_none()),
                Effect::ReplicasDiffer { .. } => self.differing += 1,
                Effect::Unreadable { chunk } => self.unreadable.push(chunk),
                Effect::Install { op, installed, .. } => self.installs.push((op, installed)),
                Effect::Commit { chunk, version } => {
                    let state = self.shelf.chunks.get_mut(&chunk).expect("a commit of a version");
                    let pending = state.pending.take().filter(|found| found.version == version);
                    state.committed = Some(pending.expect("the pending version is committed"));
                }
                Effect::Discard { chunk } => {
                    self.discards += 1;
                    let state = self.shelf.chunks.get_mut(&chunk).expect("a discard of a version");
                    state.pending = None;
                    if state.committed.is_none() {
                        self.shelf.chunks.remove(&chunk);
                    }
                }
                other => panic!("{other:?} is not wanted here"),
            }
        }
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn replica(&self) -> Replica {
        Replica { target: self.target.id, chain: ChainId(1), version: self.version }
    }

    /// A client's change of a chunk.
    fn change(&mut self, chunk: ChunkId, tag: Tag, change: ChunkChange) -> RequestId {
        self.change_above(Sequence(1), chunk, tag, change)
    }

    /// The same of a session that has the replies of all that is below `low_water`.
    fn change_above(
        &mut self,
        low_water: Sequence,
        chunk: ChunkId,
        tag: Tag,
        change: ChunkChange,
    ) -> RequestId {
        let (id, replica) = (self.request(), self.replica());
        let data = matches!(change, ChunkChange::Write(_)).then(bytes);
        let chunk_size = ChunkSize::MIN;
        let capability = Capability::default();
        let update = UpdateChunk { replica, tag, low_water, chunk, chunk_size, change, capability };
        self.step(Input::Update { id, update, data });
        id
    }

    fn write(&mut self, sequence: u64) -> RequestId {
        self.change(CHUNK, tag(sequence), write())
    }

    /// A version that the predecessor forwards, with one write; `attempt` names the message.
    fn forwarded(&mut self, version: u64, sequence: u64, attempt: u64) -> RequestId {
        let (id, replica) = (self.request(), self.replica());
        let from = target(self.target.id.0 - 1);
        let change = TaggedChange { tag: tag(sequence), low_water: Sequence(1), change: write() };
        let update = ForwardUpdate {
            replica,
            from,
            chunk: CHUNK,
            chunk_size: ChunkSize::MIN,
            version: ChunkVersion(version),
            changes: vec![change],
            kept: Vec::new(),
            attempt: Some(Sequence(attempt)),
        };
        self.step(Input::Forward { id, update, data: vec![bytes()] });
        id
    }

    /// The store has done the oldest put.
    fn stored(&mut self) {
        let (op, chunk, new) = self.puts.remove(0);
        let size = new.chunk_size;
        let state = self.shelf.chunks.entry(chunk).or_insert(ChunkState {
            committed: None,
            pending: None,
            chunk_size: size,
        });
        let mut len = state.committed.map_or(ChunkOffset(0), |state| state.len);
        let mut removed = state.committed.is_none_or(|state| state.removed);
        let mut lens = Vec::new();
        for (_, change) in &new.changes {
            (len, removed) = match change {
                Change::Write(payload) => (len.max(payload.end()), false),
                Change::Cut(to) => (len.min(*to), removed),
                Change::Remove => (ChunkOffset(0), true),
            };
            lens.push(len);
        }
        let (version, written_in) = (new.version, new.written_in);
        let digest = digest(version);
        let stored = VersionState { version, len, digest, written_in, removed };
        match new.commit {
            true => (state.committed, state.pending) = (Some(stored), None),
            false => state.pending = Some(stored),
        }
        self.step(Input::Stored { op, outcome: Ok(Durable::put(stored, lens)) });
    }

    /// The store could not do the oldest put.
    fn not_stored(&mut self, why: StoreError) {
        let (op, ..) = self.puts.remove(0);
        self.step(Input::Stored { op, outcome: Err(why) });
    }

    /// The store has done the oldest flush.
    fn flushed(&mut self) {
        let op = self.flushes.remove(0);
        self.step(Input::Stored { op, outcome: Ok(Durable::done()) });
    }

    /// The successor answers the oldest message, a forwarded version.
    fn answered(&mut self, answer: Result<(), WireError>) {
        let (call, _, ask) = self.sends.remove(0);
        let Ask::Forward { update, .. } = ask else { panic!("{ask:?} is no version") };
        let version = update.version;
        let reply = ForwardReply { version, chunk_len: ChunkOffset(8), digest: digest(version) };
        let answer = answer.map(|()| Answer::Forward(reply));
        self.step(Input::Answer { call, answer });
    }

    fn later(&mut self, ms: u64) {
        self.now = self.now.after(ms);
        self.step(Input::Tick);
    }

    /// What a request was answered; panics if it was not.
    fn answer(&mut self, id: RequestId) -> Result<Reply, WireError> {
        self.replies.remove(&id).expect("it was answered")
    }

    fn is_refused(&mut self, id: RequestId, why: FsError) -> bool {
        self.answer(id).is_err_and(|error| error == why.into())
    }

    fn is_updated(&mut self, id: RequestId) -> bool {
        matches!(self.answer(id), Ok(Reply::Updated(_)))
    }

    fn waits(&self, id: RequestId) -> bool {
        !self.replies.contains_key(&id)
    }

    fn is_idle(&self) -> bool {
        self.puts.is_empty() && self.sends.is_empty() && self.flushes.is_empty()
    }
}

/// What a version holds, as far as these tests mind.
fn digest(version: ChunkVersion) -> ChunkDigest {
    ChunkDigest::EMPTY.with(0, Crc32c::of(&version.get().to_le_bytes()), BlockSize::MIN)
}
