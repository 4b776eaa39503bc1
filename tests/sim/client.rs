//! Simulated clients: a session with a few requests at a time, which retries each under its tag until it
//! is answered or the client loses patience. Then a write goes on though nobody waits for it, or is over with copies
//! of it on their way. The tags, and the marks of each chain, are those of the real client.

use std::collections::BTreeMap;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_chain_replication::target::Reply;
use emberfs_client_session::{Blocked, Tags, WriteId};
use emberfs_layout::{
    BlockSize, ByteLen, ChainId, ChunkId, ChunkIndex, ChunkOffset, ChunkSize, ClientId, DataId,
    Sequence,
};
use emberfs_wire::chunk::{ChunkChange, ChunkRead, Replica, UpdateChunk};
use emberfs_wire::cluster::{Chain, PublicState};
use emberfs_wire::meta::RenewSession;
use emberfs_wire::{Capability, FsError, PayloadSums, Tag, WireError};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::checker::{Action, Answered};
use crate::metadata::MEMBERS;
use crate::network::{Address, Message, node_of, target_of};
use crate::planted::Planted;

/// Tries before a client gives a request up, and those of one in a hurry.
const TRIES_MAX: u32 = 40;
const TRIES_FEW: u32 = 4;

/// Bytes of one write: a number that no other write has.
const VALUE_BYTES: usize = 8;

/// A request under way.
pub(crate) struct Request {
    pub(crate) chain: usize,
    pub(crate) chunk: ChunkId,
    pub(crate) action: Action,
    /// Its place in the history of the chunk.
    pub(crate) place: usize,
    /// Of a change.
    write: Option<WriteId>,
    tries: u32,
    tries_max: u32,
    /// Whether it goes on though nobody waits for it.
    given_up: bool,
    /// The latest try; an answer to another is too late.
    pub(crate) attempt: u64,
    /// Which member is read from, if not any.
    from: Option<usize>,
}

pub(crate) struct Client {
    pub(crate) at: usize,
    pub(crate) id: ClientId,
    pub(crate) patient: bool,
    /// Those that begin requests, and behind them those of writes that were given up and go on.
    pub(crate) slots: Vec<Option<Request>>,
    /// How many begin requests.
    active: usize,
    views: BTreeMap<usize, Chain>,
    tags: Tags,
    next_attempt: u64,
    planted: Option<Planted>,
}

/// What came of a try.
pub(crate) enum Tried {
    Sent(Vec<(Address, Message)>),
    /// Patience is at an end, and the request over.
    Over,
    /// So is a write, of which copies may be on their way.
    InDoubt,
    /// So is its caller's, and it goes on in this slot.
    GoesOn(usize),
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
            active: slots,
            views: BTreeMap::new(),
            tags: Tags::default(),
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

    /// The number of a change; a read needs none. An error if it must wait for an earlier one.
    pub(crate) fn number(
        &mut self,
        (chain, chunk): (usize, ChunkId),
        action: &Action,
    ) -> Result<Option<WriteId>, Blocked> {
        match action {
            Action::Read => Ok(None),
            _ => self.tags.begin(chain_id(chain), chunk).map(Some),
        }
    }

    /// Gives a slot its next request.
    pub(crate) fn begin(
        &mut self,
        slot: usize,
        (chain, chunk): (usize, ChunkId),
        action: Action,
        place: usize,
        from: Option<usize>,
        write: Option<WriteId>,
    ) {
        self.slots[slot] = Some(Request {
            chain,
            chunk,
            action,
            place,
            write,
            tries: 0,
            tries_max: TRIES_MAX,
            given_up: false,
            attempt: 0,
            from,
        });
    }

    /// The next try of a slot's request.
    pub(crate) fn attempt(&mut self, slot: usize, rng: &mut StdRng) -> Tried {
        let request = self.slots[slot].as_mut().expect("a slot with a request");
        request.tries += 1;
        if request.tries == 1 && rng.random_bool(0.1) {
            request.tries_max = TRIES_FEW;
        }
        if request.tries > request.tries_max && !self.patient && !request.given_up {
            return self.lose_patience(slot, rng);
        }
        self.next_attempt += 1;
        request.attempt = self.next_attempt;
        if self.planted == Some(Planted::RetryWithoutTag)
            && request.tries > 1
            && let Some(before) = request.write
            && let Ok(write) = self.tags.begin(before.chain, before.chunk)
        {
            self.tags.settled(before);
            request.write = Some(write);
        }
        Tried::Sent(self.messages(slot, rng))
    }

    /// The caller of a request goes away.
    fn lose_patience(&mut self, slot: usize, rng: &mut StdRng) -> Tried {
        let mut request = self.slots[slot].take().expect("a slot with a request");
        let Some(write) = request.write else { return Tried::Over };
        if rng.random_bool(0.5) {
            self.tags.doubted(write);
            return Tried::InDoubt;
        }
        self.tags.give_up(write, ByteLen(VALUE_BYTES as u64));
        request.given_up = true;
        let free = (self.active..self.slots.len()).find(|slot| self.slots[*slot].is_none());
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(request);
        Tried::GoesOn(slot)
    }

    /// A slot's request is answered: its number is back.
    pub(crate) fn finish(&mut self, slot: usize) -> Request {
        let request = self.slots[slot].take().expect("it was answered");
        if let Some(write) = request.write {
            self.tags.settled(write);
        }
        request
    }

    fn messages(&self, slot: usize, rng: &mut StdRng) -> Vec<(Address, Message)> {
        let request = self.slots[slot].as_ref().expect("a slot with a request");
        let (chain, client, attempt) = (request.chain, self.at, request.attempt);
        let member = Address::Member(rng.random_range(0..MEMBERS));
        let route = (member, Message::Route { client, chain });
        let Some(view) = self.views.get(&chain) else { return vec![route] };
        let serving = view.members.iter().filter(|member| member.state == PublicState::Serving);
        let serving: Vec<usize> = serving.map(|member| node_of(member.target)).collect();
        let read = request.action == Action::Read;
        let to = match request.from.filter(|from| serving.contains(from)) {
            Some(from) => from,
            None if serving.is_empty() => return vec![route],
            None if read => serving[rng.random_range(0..serving.len())],
            None => serving[0],
        };
        let replica = Replica { target: target_of(to), chain: view.id, version: view.version };
        let message = match request.write {
            None => read_message(request, replica, client, attempt),
            Some(write) => {
                let tag = Tag { client: self.id, sequence: write.sequence };
                let low_water = match self.planted {
                    Some(Planted::MarkTooHigh) => write.sequence,
                    _ => self.tags.low_water(write.chain),
                };
                message(request, replica, tag, low_water, client, attempt)
            }
        };
        let mut messages = vec![(Address::Node(to), message)];
        if request.tries.is_multiple_of(3) {
            messages.push(route);
        }
        messages
    }

    pub(crate) fn renewal(&self) -> RenewSession {
        self.tags.renewal(self.id)
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
            // Another replica may have it whole.
            Err(WireError::Corrupt { .. }) => Outcome::Again(slot, 20, true),
            Err(WireError::Refuse { why: why @ (FsError::NoSpace | FsError::Io) }) => {
                let request = self.slots[slot].as_ref().expect("it was found there");
                assert_ne!(
                    request.action,
                    Action::Remove,
                    "a removal needs no room, and reads nothing"
                );
                Outcome::Done(slot, Answered::Refused(why))
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }

    /// A new client in the place of one that died.
    pub(crate) fn reborn(&self, id: ClientId, planted: Option<Planted>) -> Self {
        let mut next = Self::new(self.at, id, self.active, planted);
        next.next_attempt = self.next_attempt;
        next.views = self.views.clone();
        next
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }
}

fn read_message(request: &Request, replica: Replica, client: usize, attempt: u64) -> Message {
    let (start, len) = (ChunkOffset(0), ChunkOffset(ChunkSize::MIN.bytes()));
    let read = ChunkRead { replica, chunk: request.chunk, start, len };
    Message::Read { client, attempt, read }
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
        Action::Read => unreachable!("a read has no number"),
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

fn chain_id(chain: usize) -> ChainId {
    ChainId(u32::try_from(chain + 1).expect("few"))
}

/// The chunk of this number.
pub(crate) fn chunk(number: u32) -> ChunkId {
    ChunkId::new(DataId(1), ChunkIndex(number))
}
