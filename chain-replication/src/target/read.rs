//! Reads: which version is committed, then its bytes, then the lease.

use emberfs_layout::{ChunkId, ChunkIndex, ChunkOffset, ChunkVersion, TargetId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::{ChunkRead, LastChunk, LastChunkReply};
use emberfs_wire::replica::{AskCommitted, AskCommittedReply};

use super::chain_view::{Duty, refresh};
use super::chunks::{ReadResult, StoreError, VersionState, Which};
use super::effect::{Ask, Effect, Reply};
use super::input::{Answer, RequestId};
use super::limits::READS_MAX;
use super::work::{Forward, Put, Work};
use super::{Target, Turn, retry};

/// A client's read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadUnderWay {
    id: RequestId,
    chunk: ChunkId,
    start: ChunkOffset,
    len: ChunkOffset,
    /// The version that is to be answered, or a later committed one.
    version: ChunkVersion,
    which: Which,
}

/// Who waits to know which version is committed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Client(ReadUnderWay),
    Replica { id: RequestId, chunk: ChunkId },
}

impl Asker {
    pub(super) fn request(&self) -> RequestId {
        match self {
            Self::Client(read) => read.id,
            Self::Replica { id, .. } => *id,
        }
    }

    fn chunk(&self) -> ChunkId {
        match self {
            Self::Client(read) => read.chunk,
            Self::Replica { chunk, .. } => *chunk,
        }
    }
}

impl Target {
    pub(super) fn on_read(&mut self, turn: &mut Turn<'_>, id: RequestId, read: &ChunkRead) {
        let checked = self.serving(turn.now, &read.replica).map(|_| ());
        if let Err(why) = checked.and_then(|()| self.readable(read.chunk)) {
            return turn.out.push(Effect::refuse(id, why));
        }
        let ChunkRead { chunk, start, len, .. } = *read;
        let (version, which) = (ChunkVersion::NONE, Which::Committed);
        let read = ReadUnderWay { id, chunk, start, len, version, which };
        self.find_committed(turn, Asker::Client(read));
    }

    /// The last serving member is asked by another, or, as a syncing one, by the last that serves.
    pub(super) fn on_ask_committed(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        ask: &AskCommitted,
    ) {
        let checked = self.addressed(&ask.replica).and_then(|view| match self.duty() {
            Duty::Serving if view.last_serving == Some(self.id) => self.leased(turn.now),
            // What a syncing member says was true while nobody could read from it.
            Duty::Syncing => Ok(()),
            Duty::Serving | Duty::Idle => Err(refresh(&ask.replica, view.version)),
        });
        match checked {
            Ok(()) => self.find_committed(turn, Asker::Replica { id, chunk: ask.chunk }),
            Err(why) => turn.out.push(Effect::refuse(id, why)),
        }
    }

    /// A replica whose copy differs from the tail's gives none of it out.
    fn readable(&self, chunk: ChunkId) -> Result<(), WireError> {
        if self.differing.contains_key(&chunk) {
            return Err(WireError::Corrupt { target: self.id, chunk });
        }
        let reads = self.questions.len() + self.reads.len();
        if reads < READS_MAX { Ok(()) } else { Err(retry(format!("{} is busy", self.id))) }
    }

    /// Settles which version is committed: what is committed here if the chunk is clean or nobody stands
    /// behind this replica, what those behind it say otherwise.
    fn find_committed(&mut self, turn: &mut Turn<'_>, asker: Asker) {
        let chunk = asker.chunk();
        if self.is_orphaned(chunk) && self.duty() == Duty::Serving {
            let why = retry(format!("{chunk} settles after a change of its chain"));
            return turn.out.push(Effect::refuse(asker.request(), why));
        }
        if let Some(work) = self.works.get_mut(&chunk).filter(|work| work.inherited) {
            return match work.readers.len() < READS_MAX {
                true => work.readers.push(asker),
                false => turn.out.push(Effect::refuse(asker.request(), retry("busy".into()))),
            };
        }
        let Some(to) = self.to_ask(chunk) else {
            return self.tell_committed(turn, asker);
        };
        let view = self.view.as_ref().expect("the request was checked against it");
        let ask = AskCommitted { replica: view.replica(to), chunk };
        let call = self.next_call();
        self.questions.insert(call, (turn.now, asker));
        turn.out.push(Effect::Send { call, to, ask: Ask::Committed(ask) });
    }

    /// Who must be asked which version of a chunk is committed; nobody if it is the one committed here.
    fn to_ask(&self, chunk: ChunkId) -> Option<TargetId> {
        let view = self.view.as_ref().filter(|_| self.duty() == Duty::Serving)?;
        let work = self.works.get(&chunk);
        if view.last_serving != Some(self.id) {
            let dirty = work.is_some() || self.pending.contains_key(&chunk);
            return view.last_serving.filter(|_| dirty);
        }
        // Before the version was sent to it, the syncing member cannot have it, and what it says of a
        // chunk that it was not sent yet is of its earlier life. It is not promoted before all is sent.
        let unsent = |work: &&Work| {
            matches!(
                work.forward,
                Forward::None | Forward::AfterPut | Forward::Held | Forward::Refused(_)
            )
        };
        work.filter(|work| !unsent(work))?;
        view.successor.map(|next| next.target)
    }

    /// Those behind have `version` committed.
    pub(super) fn committed_answered(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        version: ChunkVersion,
    ) {
        let chunk = asker.chunk();
        let here = turn.committed(chunk).map_or(ChunkVersion::NONE, |state| state.version);
        if version <= here {
            return self.tell_committed(turn, asker);
        }
        match self.works.get_mut(&chunk).filter(|work| work.version == version) {
            Some(work) => match &work.put {
                Put::Done(durable) => {
                    let state = *durable.version().expect("a put names its version");
                    self.read_pending(turn, asker, state);
                }
                Put::Running | Put::Failed { .. } if work.readers.len() < READS_MAX => {
                    work.readers.push(asker);
                }
                Put::Running | Put::Failed { .. } | Put::Undoing { .. } => {
                    turn.out.push(Effect::refuse(asker.request(), retry("busy".into())));
                }
            },
            None => {
                let why = retry(format!("{chunk} is at {here} here, at {version} behind"));
                turn.out.push(Effect::refuse(asker.request(), why));
            }
        }
    }

    /// Answers with what is committed here.
    fn tell_committed(&mut self, turn: &mut Turn<'_>, asker: Asker) {
        let state = turn.committed(asker.chunk());
        match asker {
            Asker::Client(read) => self.read_store(turn, read, state, Which::Committed),
            Asker::Replica { id, .. } => {
                let version = state.map_or(ChunkVersion::NONE, |state| state.version);
                let answer = Answer::Committed(AskCommittedReply { version });
                turn.out.push(Effect::tell(id, Reply::Replica(answer)));
            }
        }
    }

    /// Answers with the version that is durable, but pending, here, and committed behind.
    pub(super) fn read_pending(&mut self, turn: &mut Turn<'_>, asker: Asker, state: VersionState) {
        match asker {
            Asker::Client(read) => self.read_store(turn, read, Some(state), Which::Pending),
            Asker::Replica { id, .. } => {
                let reply = AskCommittedReply { version: state.version };
                turn.out.push(match self.duty() {
                    Duty::Serving => Effect::tell(id, Reply::Replica(Answer::Committed(reply))),
                    _ => Effect::refuse(id, retry("no longer serving".into())),
                });
            }
        }
    }

    fn read_store(
        &mut self,
        turn: &mut Turn<'_>,
        mut read: ReadUnderWay,
        state: Option<VersionState>,
        which: Which,
    ) {
        let Some(state) = state.filter(|state| !state.removed) else {
            let reply = self.may_answer(turn, read.chunk).map(|()| Reply::Absent);
            return turn.out.push(Effect::Reply { to: read.id, reply });
        };
        (read.version, read.which) = (state.version, which);
        let ReadUnderWay { chunk, start, len, .. } = read;
        let op = self.next_op();
        self.reads.insert(op, read);
        turn.out.push(Effect::Read { op, chunk, which, start, len });
    }

    /// The data is in hand: is it still this replica's to give?
    fn may_answer(&self, turn: &Turn<'_>, chunk: ChunkId) -> Result<(), WireError> {
        if self.duty() != Duty::Serving {
            return Err(retry(format!("{} no longer serves", self.id)));
        }
        self.leased(turn.now)?;
        self.readable(chunk)
    }

    pub(super) fn client_read_done(
        &mut self,
        turn: &mut Turn<'_>,
        read: ReadUnderWay,
        outcome: Result<ReadResult, StoreError>,
    ) {
        let ReadUnderWay { id, chunk, version, which, .. } = read;
        if let Err(why) = self.may_answer(turn, chunk) {
            return turn.out.push(Effect::refuse(id, why));
        }
        let answer = match outcome {
            // A pending version that is not the one asked for is a later one, which nobody may see yet:
            // the asked one is committed by now.
            Ok(found) if which == Which::Committed || found.state.version == version => {
                let ReadResult { state, data } = found;
                Ok(Reply::Found { version: state.version, chunk_len: state.len, data })
            }
            Ok(_) | Err(StoreError::Missing) => {
                let state = turn.committed(chunk);
                if state.is_some_and(|state| state.version >= version) {
                    return self.read_store(turn, read, state, Which::Committed);
                }
                Err(retry(format!("{chunk} changed during the read")))
            }
            Err(StoreError::Corrupt) => Err(WireError::Corrupt { target: self.id, chunk }),
            Err(error) => Err(retry(error.to_string())),
        };
        turn.out.push(Effect::Reply { to: id, reply: answer });
    }

    /// Exact at the head once the file's writers have ended: it alone knows of every change under way.
    /// What sessions that live have under way is theirs to report; what ended ones left ends soon. What was
    /// acknowledged before is in the answer, also of a head that has just become one: it had committed what it
    /// answered upstream.
    pub(super) fn on_last_chunk(&mut self, turn: &mut Turn<'_>, id: RequestId, ask: &LastChunk) {
        let checked = self.serving(turn.now, &ask.replica).map(|_| ());
        let first = ChunkId::new(ask.data, ChunkIndex(0));
        let last = ChunkId::new(ask.data, ChunkIndex(u32::MAX));
        let mut works = self.works.range(first..=last);
        let left = |work: &Work| work.changes.iter().any(|c| self.tags.has_ended(c.tag.client));
        let found = self.pending.range(first..=last).map(|(chunk, _)| chunk);
        let settles = works.clone().any(|(_, work)| left(work))
            || found.clone().any(|chunk| !self.works.contains_key(chunk))
            || self.orphans.values().any(|orphan| orphan.chunk.data == ask.data);
        let reply = match checked {
            Ok(()) if settles => Err(retry(format!("{} settles", ask.data))),
            Ok(()) => {
                let changed = works.next_back().map(|(chunk, _)| chunk.index);
                let waits = self.waiting.last_chunk(first, last);
                let pending = changed.max(waits.map(|chunk| chunk.index));
                let last = turn.chunks.last_chunk(ask.data);
                Ok(Reply::LastChunk(LastChunkReply { last, pending }))
            }
            Err(why) => Err(why),
        };
        turn.out.push(Effect::Reply { to: id, reply });
    }
}
