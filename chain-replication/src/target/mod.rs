//! One replica of one chain: ordered writes, reads that are linearizable, leases, and resync.
//!
//! Sans-IO: [`Target::step`] takes one [`Input`] with the time, looks at the store through [`Chunks`] and
//! pushes [`Effect`]s. It has no clock, no thread and no random source.
//!
//! ```text
//!   client ─ Update ─► head ─ Forward ─► middle ─ Forward ─► last serving ─ Forward ─► syncing, if any
//!                      pending           pending             committed, or              committed
//!                                                            pending before a syncing one
//!          ◄─ Updated ─     ◄─ answer ─       ◄─ answer ─              ◄─ answer ─        the answer commits
//! ```
//!
//! # What always holds
//! * **Order.** A chunk has one version under way at a time, its `work`: the head makes the next
//!   only when all have the one before. What waits goes together into the next.
//! * **Durable.** An acknowledgement needs a [`Durable`], which only a finished operation of the store
//!   carries. A replica acknowledges when its own record is durable *and* its successor has answered.
//! * **Prefix.** What is committed at a replica is durable on all serving ones behind it in the path, and on a
//!   syncing member before that is told that it has everything; from then on at once. So whoever is promoted
//!   to tail holds all that anyone could have read.
//! * **Fencing.** Every message names the chain's version and is refused by whoever knows another. A reply
//!   to a client needs the lease, checked when the data is in hand.
//! * **Exactly once.** See `tags`.
//!
//! # Reads
//! A clean chunk answers at once. Of a dirty one the last serving member is asked which version is
//! committed. That one, if dirty itself because a syncing member stands behind it, asks the syncing member
//! in turn: it may have been promoted by now and then refuses, as it goes by another version. Questions
//! are never shared: an answer must be younger than the read that uses it.
//!
//! # After a change of the chain
//! Each serving member sends what is under way again under the new version; whoever has it answers as
//! before; the new last one commits when its record is durable, and lets reads of those chunks wait until
//! then, since the last one before may have shown them. A member that does not serve drops what
//! is under way; becoming a syncing one it discards its pending versions and takes its predecessor's word
//! for everything. Pending versions that a *last serving* member finds in its store when it serves again
//! are committed: each holds a prefix of the same order, and nobody else has another.
//!
//! # Replicas that differ
//! The digest that travels up with the acknowledgement is the tail's. A replica that holds another one
//! says so ([`Effect::ReplicasDiffer`]) and answers no read of that chunk, so that all readers see what the
//! tail has; the write stands. A later version in which both are equal, or a resync, ends that. The
//! driver may report the target as merely online: then it is brought up to date through syncing.
//!
//! # No room
//! See `undo`: a version that some replica cannot store is taken back by all before it, and its clients
//! are refused. Reads, removals and other chunks go on. See `no_room`: a syncing replica without room goes
//! without.

mod asked;
mod chain_change;
mod chain_view;
pub mod chunks;
pub mod effect;
mod ended;
mod forward;
pub mod input;
mod limits;
mod no_room;
mod owed;
mod predecessor;
mod read;
mod resync;
mod returning;
mod tags;
#[cfg(test)]
mod tests;
mod transfer;
mod turned_away;
mod undo;
mod waiting;
mod wanted;
mod work;
mod write;

use std::collections::BTreeMap;

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{ByteLen, ChainVersion, ChunkId, ChunkVersion, Sequence, TargetId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::Replica;
use emberfs_wire::cluster::{LocalState, TargetReport, WantedMark};
use emberfs_wire::replica::AppliedTag;

use asked::{Call, Op, Orphan, OrphanTags};
use chain_view::{ChainView, Duty, refresh};
pub use chunks::{
    Change, ChunkState, Chunks, Installed, NewVersion, ReadResult, StoreError, VersionState, Which,
};
pub use effect::{Ask, Effect, Reply};
pub use ended::EndedSessions;
pub use input::{Answer, CallId, Durable, Input, Millis, OpId, RequestId};
pub use limits::{CALL_MS_MAX, Limits, TICK_MS};
use no_room::NoRoom;
use read::{Asker, ReadUnderWay};
use resync::Resync;
use returning::Returning;
use tags::Tags;
use turned_away::TurnedAway;
use waiting::WaitingChanges;
use wanted::WantedMarks;
use work::Work;

/// What the store holds at the start of a server.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The pending versions.
    pub pending: Vec<(ChunkId, ChunkVersion)>,
    /// The live tags of all chunks.
    pub tags: Vec<(ChunkId, AppliedTag)>,
    /// The sessions that have ended, as the leader knew at this start or later.
    pub ended: EndedSessions,
}

/// One replica.
pub struct Target {
    id: TargetId,
    limits: Limits,
    view: Option<ChainView>,
    lease_until: Millis,
    /// Whether it has all that its chain acknowledged, so that it may serve when it is told to.
    complete: bool,
    failed: bool,
    tags: Tags,
    wanted: WantedMarks,
    turned_away: TurnedAway,
    works: BTreeMap<ChunkId, Work>,
    waiting: WaitingChanges,
    /// Versions that are pending in the store, or will be when their put is done.
    pending: BTreeMap<ChunkId, ChunkVersion>,
    /// Chunks that are not as the tail has them, with the tail's digest.
    differing: BTreeMap<ChunkId, ChunkDigest>,
    /// The predecessor's latest message whose version was refused for good, under this version of the chain:
    /// what it sent before begins nothing any more.
    refused_to: Option<Sequence>,
    ops: BTreeMap<OpId, Op>,
    /// Puts and installs under way for which nobody waits any more.
    orphans: BTreeMap<OpId, Orphan>,
    /// Clients' reads of the store.
    reads: BTreeMap<OpId, ReadUnderWay>,
    calls: BTreeMap<CallId, (Millis, Call)>,
    /// Which version is committed was asked for these reads.
    questions: BTreeMap<CallId, (Millis, Asker)>,
    last_op: u64,
    last_call: u64,
    resync: Option<Resync>,
    returning: Option<Returning>,
    /// What it had no room for as a syncing member.
    no_room: Option<NoRoom>,
}

/// One step: the time, the store, and where effects go.
struct Turn<'a> {
    now: Millis,
    chunks: &'a dyn Chunks,
    out: &'a mut Vec<Effect>,
    /// What this step commits: the store shows it only once the effects are carried out.
    commits: BTreeMap<ChunkId, VersionState>,
    /// What the puts of this step take: the store counts them once they have begun.
    taken: ByteLen,
}

impl Turn<'_> {
    /// What is committed of a chunk, this step's commits among it.
    fn committed(&self, chunk: ChunkId) -> Option<VersionState> {
        let shown = || self.chunks.state(chunk).and_then(|state| state.committed);
        self.commits.get(&chunk).copied().or_else(shown)
    }

    fn commit(&mut self, chunk: ChunkId, state: VersionState) {
        self.out.push(Effect::Commit { chunk, version: state.version });
        self.commits.insert(chunk, state);
    }
}

impl Target {
    /// A target as its store has it. It knows no chain, so it serves nothing yet.
    #[must_use]
    pub fn new(id: TargetId, loaded: Loaded) -> Self {
        let mut tags = Tags::new(loaded.ended);
        loaded.tags.into_iter().for_each(|(chunk, applied)| tags.add(chunk, applied));
        Self {
            id,
            limits: Limits::default(),
            view: None,
            lease_until: Millis(0),
            complete: true,
            failed: false,
            tags,
            wanted: WantedMarks::default(),
            turned_away: TurnedAway::default(),
            works: BTreeMap::new(),
            waiting: WaitingChanges::default(),
            pending: loaded.pending.into_iter().collect(),
            differing: BTreeMap::new(),
            refused_to: None,
            ops: BTreeMap::new(),
            orphans: BTreeMap::new(),
            reads: BTreeMap::new(),
            calls: BTreeMap::new(),
            questions: BTreeMap::new(),
            last_op: 0,
            last_call: 0,
            resync: None,
            returning: None,
            no_room: None,
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        assert!(limits.tags_open_max < limits.tags_max, "a first request has room in the end");
        Self { limits, ..self }
    }

    /// How the target stands, for its server's next heartbeat. *Up to date* counts only together with the
    /// version of the chain beside it.
    #[must_use]
    pub fn report(&self) -> TargetReport {
        let state = match self.duty() {
            _ if self.failed => LocalState::Offline,
            Duty::Serving => LocalState::UpToDate,
            Duty::Syncing if self.complete => LocalState::UpToDate,
            Duty::Syncing | Duty::Idle => LocalState::Online,
        };
        let chain = self.view.as_ref().map_or(ChainVersion::NONE, |view| view.version);
        TargetReport { target: self.id, state, chain, hindrance: self.hindrance() }
    }

    /// Marks of sessions whose tags are in the way of others' changes, for its server's next heartbeat: they may
    /// write nothing that would tell them.
    pub fn marks_wanted(&self) -> impl Iterator<Item = WantedMark> {
        let view = self.view.as_ref();
        view.into_iter().flat_map(|view| {
            self.wanted.clients().map(|client| WantedMark { client, chain: view.id })
        })
    }

    /// Takes one event in and pushes what is to be done. `now` is the server's monotonic clock, read
    /// after the event was taken from its queue.
    pub fn step(&mut self, now: Millis, input: Input, chunks: &dyn Chunks, out: &mut Vec<Effect>) {
        let turn = &mut Turn { now, chunks, out, commits: BTreeMap::new(), taken: ByteLen::ZERO };
        match input {
            Input::Update { id, update, data } => self.on_update(turn, id, update, data),
            Input::Read { id, read } => self.on_read(turn, id, &read),
            Input::LastChunk { id, ask } => self.on_last_chunk(turn, id, &ask),
            Input::Forward { id, update, data } => self.on_forward(turn, id, update, data),
            Input::AskCommitted { id, ask } => self.on_ask_committed(turn, id, &ask),
            Input::ComparePage { id, ask } => self.on_compare_page(turn, id, &ask),
            Input::Install { id, install, data } => self.on_install(turn, id, install, data),
            Input::FinishSync { id, ask } => self.on_finish_sync(turn, id, &ask),
            Input::Answer { call, answer } => self.on_answer(turn, call, answer),
            Input::Stored { op, outcome } => self.on_stored(turn, op, outcome),
            Input::ReadDone { op, outcome } => self.on_read_done(turn, op, outcome),
            Input::Chain(chain) => self.on_chain(turn, &chain),
            Input::Lease { until } => self.lease_until = self.lease_until.max(until),
            Input::Ended(clients) => clients.into_iter().for_each(|client| self.tags.end(client)),
            Input::Marks(marks) => self.on_marks(&marks),
            Input::Tick => self.on_tick(turn),
        }
        self.pump_resync(turn);
        self.check();
    }

    /// What it does for its chain; nothing while it lacks something, whatever it is told.
    fn duty(&self) -> Duty {
        match self.view.as_ref().map_or(Duty::Idle, |view| view.duty) {
            _ if self.failed => Duty::Idle,
            Duty::Serving if !self.complete => Duty::Idle,
            duty => duty,
        }
    }

    fn has_lease(&self, now: Millis) -> bool {
        now < self.lease_until
    }

    /// The view, if `replica` names this target under its version.
    fn addressed(&self, replica: &Replica) -> Result<&ChainView, WireError> {
        if replica.target != self.id {
            return Err(WireError::bug(format!("{} was asked for {}", self.id, replica.target)));
        }
        let view = self.view.as_ref().ok_or_else(|| refresh(replica, ChainVersion::NONE))?;
        view.check(replica)?;
        Ok(view)
    }

    /// The view, if this target serves under it and holds the lease.
    fn serving(&self, now: Millis, replica: &Replica) -> Result<&ChainView, WireError> {
        let view = self.addressed(replica)?;
        if self.duty() != Duty::Serving {
            return Err(refresh(replica, view.version));
        }
        self.leased(now)?;
        Ok(view)
    }

    fn leased(&self, now: Millis) -> Result<(), WireError> {
        let text = || format!("{} waits for its lease from the metadata server", self.id);
        if self.has_lease(now) { Ok(()) } else { Err(WireError::Wait { text: text() }) }
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        let late = |at: &Millis| at.after(CALL_MS_MAX) <= turn.now;
        let calls = self.calls.iter().map(|(id, (at, _))| (id, at));
        let questions = self.questions.iter().map(|(id, (at, _))| (id, at));
        let gone = calls.chain(questions).filter(|(_, at)| late(at));
        let gone: Vec<CallId> = gone.map(|(id, _)| *id).collect();
        for call in gone {
            self.on_answer(turn, call, Err(retry("no answer in time".to_owned())));
        }
        self.wanted.expire(turn.now, &self.tags);
        self.turned_away.expire(turn.now, &self.tags);
        self.drive_due(turn);
        self.look_for_room(turn);
    }

    /// The disk is gone: nothing is served from it any more.
    fn fail(&mut self, turn: &mut Turn<'_>, text: String) {
        if !self.failed {
            self.failed = true;
            turn.out.push(Effect::Failed { text });
            self.resync = None;
            self.returning = None;
            self.drop_calls(turn);
            self.drop_works(turn);
        }
    }

    /// What must hold between steps; cheap enough to be always on.
    fn check(&self) {
        assert!(self.works.len() <= limits::WORKS_MAX);
        assert!(self.duty() != Duty::Idle || self.works.is_empty());
        assert!(self.duty() == Duty::Syncing || self.returning.is_none());
        assert!(self.duty() == Duty::Serving || self.resync.is_none());
        assert!(self.duty() == Duty::Serving || self.waiting.is_empty());
    }
}

/// The other side should ask again in a moment.
fn retry(text: String) -> WireError {
    WireError::Retry { after_ms: limits::RETRY_MS, text }
}
