//! Simulated clients: a session with a few requests at a time, which retries each under its tag until it
//! is answered or the client loses patience.

use std::collections::BTreeMap;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_chain_replication::target::Reply;
use emberfs_layout::{
    BlockSize, ChunkId, ChunkIndex, ChunkOffset, ChunkSize, ClientId, DataId, Sequence,
};
use emberfs_wire::chunk::{ChunkChange, ChunkRead, Replica, UpdateChunk};
use emberfs_wire::cluster::{Chain, PublicState};
use emberfs_wire::{Capability, PayloadSums, Tag, WireError};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::checker::{Action, Answered};
use crate::network::{Address, Message, node_of, target_of};
use crate::planted::Planted;

/// Tries before a client gives a request up.
const TRIES_MAX: u32 = 40;

/// Bytes of one write: a number that no other write has.
const VALUE_BYTES: usize = 8;

/// A request under way.
pub(crate) struct Request {
    pub(crate) chain: usize,
    pub(crate) chunk: ChunkId,
    pub(crate) action: Action,
    /// Its place in the history of the chunk.
    pub(crate) place: usize,
    sequence: Sequence,
    tries: u32,
    /// The latest try; an answer to another is too late.
    pub(crate) attempt: u64,
    /// Which member is read from, if not any.
    from: Option<usize>,
}

pub(crate) struct Client {
    pub(crate) at: usize,
    pub(crate) id: ClientId,
    pub(crate) patient: bool,
    pub(crate) slots: Vec<Option<Request>>,
    views: BTreeMap<usize, Chain>,
    next: Sequence,
    next_attempt: u64,
    planted: Option<Planted>,
}

/// What became of an answer.
pub(crate) enum Outcome {
    /// The request of this slot is through.
    Done(usize, Answered),
    /// It is to be tried again after this many milliseconds, with newer routing if so said.
    Again(usize, u64, bool),
    /// Nobody waits for it.
    Late,
    /// It was refused, which a correct client's is not.
    Refused(String),
}

impl Client {
    pub(crate) fn new(at: usize, id: ClientId, slots: usize, planted: Option<Planted>) -> Self {
        Self {
            at,
            id,
            patient: false,
            slots: (0..slots).map(|_| None).collect(),
            views: BTreeMap::new(),
            next: Sequence(1),
            next_attempt: 0,
            planted,
        }
    }

    /// What this slot does next.
    pub(crate) fn choose(rng: &mut StdRng, value: u64) -> Action {
        match rng.random_range(0..100) {
            0..45 => Action::Read,
            45..86 => Action::Write {
                start: VALUE_BYTES * rng.random_range(0..3),
                bytes: value.to_le_bytes().to_vec(),
            },
            86..93 => Action::Cut(VALUE_BYTES * rng.random_range(0..3)),
            _ => Action::Remove,
        }
    }

    /// Gives a slot its next request.
    pub(crate) fn begin(
        &mut self,
        slot: usize,
        chain: usize,
        chunk: ChunkId,
        action: Action,
        place: usize,
        from: Option<usize>,
    ) {
        let sequence = self.next;
        self.next = self.next.next();
        let request = Request { chain, chunk, action, place, sequence, tries: 0, attempt: 0, from };
        self.slots[slot] = Some(request);
    }

    /// Every request below has its reply, or is not waited for any more.
    fn low_water(&self) -> Sequence {
        let open = self.slots.iter().flatten().map(|request| request.sequence);
        open.min().unwrap_or(self.next)
    }

    /// The next try of a slot's request; `None` when patience is at an end, and the request is over.
    pub(crate) fn attempt(
        &mut self,
        slot: usize,
        rng: &mut StdRng,
    ) -> Option<Vec<(Address, Message)>> {
        let low_water = self.low_water();
        let request = self.slots[slot].as_mut().expect("a slot with a request");
        request.tries += 1;
        if request.tries > TRIES_MAX && !self.patient {
            self.slots[slot] = None;
            return None;
        }
        self.next_attempt += 1;
        request.attempt = self.next_attempt;
        if self.planted == Some(Planted::RetryWithoutTag) && request.tries > 1 {
            request.sequence = self.next;
            self.next = self.next.next();
        }
        let (chain, client, attempt) = (request.chain, self.at, request.attempt);
        let route = (Address::Metadata, Message::Route { client, chain });
        let Some(view) = self.views.get(&chain) else { return Some(vec![route]) };
        let serving = view.members.iter().filter(|member| member.state == PublicState::Serving);
        let serving: Vec<usize> = serving.map(|member| node_of(member.target)).collect();
        let read = request.action == Action::Read;
        let to = match request.from.filter(|from| serving.contains(from)) {
            Some(from) => from,
            None if serving.is_empty() => return Some(vec![route]),
            None if read => serving[rng.random_range(0..serving.len())],
            None => serving[0],
        };
        let replica = Replica { target: target_of(to), chain: view.id, version: view.version };
        let tag = Tag { client: self.id, sequence: request.sequence };
        let message =
            message(request, replica, tag, low_water.min(request.sequence), client, attempt);
        let mut messages = vec![(Address::Node(to), message)];
        if request.tries.is_multiple_of(3) {
            messages.push(route);
        }
        Some(messages)
    }

    pub(crate) fn learn(&mut self, chain: Chain) {
        let at = chain.id.0 as usize - 1;
        if self.views.get(&at).is_none_or(|view| view.version < chain.version) {
            self.views.insert(at, chain);
        }
    }

    /// An answer has come.
    pub(crate) fn answered(&self, attempt: u64, reply: Result<Reply, WireError>) -> Outcome {
        let slot = self
            .slots
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|request| request.attempt == attempt));
        let Some(slot) = slot else { return Outcome::Late };
        match reply {
            Ok(Reply::Updated(reply)) => {
                Outcome::Done(slot, Answered::Changed(reply.chunk_len.get() as usize))
            }
            Ok(Reply::Found { data, chunk_len, .. }) => {
                let bytes = data.map_or_else(Vec::new, |data| data.bytes().to_vec());
                assert_eq!(bytes.len(), chunk_len.get() as usize, "the whole chunk was asked for");
                Outcome::Done(slot, Answered::Saw(Some(bytes)))
            }
            Ok(Reply::Absent) => Outcome::Done(slot, Answered::Saw(None)),
            Ok(other) => unreachable!("{other:?} to a client"),
            Err(WireError::RefreshRouting { .. }) => Outcome::Again(slot, 20, true),
            Err(WireError::Retry { after_ms, .. }) => {
                Outcome::Again(slot, u64::from(after_ms), false)
            }
            Err(WireError::Wait { .. }) => Outcome::Again(slot, 100, true),
            Err(WireError::Refuse { why: emberfs_wire::FsError::NoSpace }) => {
                let request = self.slots[slot].as_ref().expect("it was found there");
                assert_ne!(request.action, Action::Remove, "a removal needs no room");
                Outcome::Done(slot, Answered::Refused)
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }

    /// A new client in the place of one that died.
    pub(crate) fn reborn(&self, id: ClientId, planted: Option<Planted>) -> Self {
        let mut next = Self::new(self.at, id, self.slots.len(), planted);
        next.next_attempt = self.next_attempt;
        next.views = self.views.clone();
        next
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }
}

fn message(
    request: &Request,
    replica: Replica,
    tag: Tag,
    low_water: Sequence,
    client: usize,
    attempt: u64,
) -> Message {
    let chunk = request.chunk;
    let mut data = None;
    let change = match &request.action {
        Action::Read => {
            let (start, len) = (ChunkOffset(0), ChunkOffset(ChunkSize::MIN.bytes()));
            let read = ChunkRead { replica, chunk, start, len };
            return Message::Read { client, attempt, read };
        }
        Action::Write { start, bytes } => {
            let start = ChunkOffset(u32::try_from(*start).expect("small"));
            let bytes = Bytes::copy_from_slice(bytes);
            let payload = Payload::compute(bytes, start, BlockSize::MIN).expect("small");
            let sums = PayloadSums::of(&payload);
            data = Some(payload);
            ChunkChange::Write(sums)
        }
        Action::Cut(len) => ChunkChange::Cut(ChunkOffset(u32::try_from(*len).expect("small"))),
        Action::Remove => ChunkChange::Remove,
    };
    let update = UpdateChunk {
        replica,
        tag,
        low_water,
        chunk,
        chunk_size: ChunkSize::MIN,
        change,
        capability: Capability::default(),
    };
    Message::Update { client, attempt, update, data }
}

/// The chunk of this number.
pub(crate) fn chunk(number: u32) -> ChunkId {
    ChunkId::new(DataId(1), ChunkIndex(number))
}
