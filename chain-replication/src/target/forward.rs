//! Versions on their way down the chain, and their acknowledgements on their way up.

use emberfs_buffer::Payload;
use emberfs_layout::{ByteLen, ChunkId, ChunkVersion, Sequence};
use emberfs_wire::chunk::{ChunkChange, UpdateChunkReply};
use emberfs_wire::replica::{AppliedTag, ForwardReply, ForwardUpdate};
use emberfs_wire::{FsError, Tag, WireError};

use super::chain_view::{Duty, refresh};
use super::chunks::{NewVersion, StoreError};
use super::effect::{Ask, Effect};
use super::input::{CallId, Durable, Millis, RequestId};
use super::limits::{AGAIN_MS, WORKS_MAX};
use super::work::{Forward, Put, Work, join};
use super::{Call, Op, Target, Turn, retry};

impl Target {
    pub(super) fn on_forward(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        update: ForwardUpdate,
        data: Vec<Payload>,
    ) {
        match self.take_forward(turn, id, update, data) {
            Ok(()) => {}
            Err(why) => turn.out.push(Effect::refuse(id, why)),
        }
    }

    fn take_forward(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        update: ForwardUpdate,
        data: Vec<Payload>,
    ) -> Result<(), WireError> {
        let view = self.addressed(&update.replica)?;
        if self.duty() == Duty::Idle || view.predecessor != Some(update.from) {
            return Err(refresh(&update.replica, view.version));
        }
        self.leased(turn.now)?;
        self.ready_to_receive()?;
        let writes = update.changes.iter().filter(|c| matches!(c.change, ChunkChange::Write(_)));
        if writes.count() != data.len() || update.changes.is_empty() {
            return Err(WireError::bug("a version without its changes or their bytes"));
        }
        let chunk = update.chunk;
        for change in &update.changes {
            self.tags.learn(change.tag.client, change.low_water);
        }
        if let Some(work) = self.works.get_mut(&chunk) {
            if work.version != update.version || work.changes != update.changes {
                return Err(retry(format!("{chunk} is at {} here", work.version)));
            }
            work.attempt = work.attempt.max(update.attempt);
            let oldest = join(&mut work.upstream, id);
            turn.out.extend(oldest.map(|old| Effect::refuse(old, retry("sent again".into()))));
            return Ok(());
        }
        if self.holds(turn, id, chunk, update.version)? {
            return Ok(());
        }
        if update.attempt.is_some() && update.attempt <= self.refused_to {
            return Err(retry(format!("{chunk}: overtaken by what was refused")));
        }
        let blocked = self.works.len() >= WORKS_MAX
            || self.is_orphaned(chunk)
            || self.pending.contains_key(&chunk)
            || self.is_installing(chunk);
        if blocked {
            return Err(retry(format!("{} is busy", self.id)));
        }
        self.tags.retain(chunk, |applied| update.kept.contains(&applied.tag));
        let ForwardUpdate { version, chunk_size, changes, kept, attempt, .. } = update;
        let mut work = Work::new(version, chunk_size, changes, data, kept);
        work.upstream.push(id);
        work.attempt = attempt;
        self.start(turn, chunk, work);
        Ok(())
    }

    /// Whether the version is there already: then it is answered as before. An error if the one before it
    /// is missing, or a later one was made of it long ago.
    fn holds(
        &self,
        turn: &mut Turn<'_>,
        id: RequestId,
        chunk: ChunkId,
        version: ChunkVersion,
    ) -> Result<bool, WireError> {
        let committed = turn.committed(chunk);
        let at = committed.map_or(ChunkVersion::NONE, |state| state.version);
        match committed.filter(|_| at == version) {
            Some(state) => {
                let digest = self.differing.get(&chunk).copied().unwrap_or(state.digest);
                turn.out.push(Effect::forwarded(id, digest, &Durable::shown(state)));
                Ok(true)
            }
            None if at.next() == version => Ok(false),
            None => Err(retry(format!("{chunk} is at {at} here, not before {version}"))),
        }
    }

    /// Stores a version here while it is forwarded; before that, if there may be no room for it.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, mut work: Work) {
        let view = self.view.as_ref().expect("whoever starts a version has a duty");
        work.as_committed = view.successor.is_none();
        let room = ByteLen(turn.taken.get() + work.room().get());
        let fits = turn.chunks.has_room(room, work.chunk_size.block_size());
        if !fits && !work.as_committed {
            work.forward = Forward::AfterPut;
        }
        self.works.insert(chunk, work);
        self.put(turn, chunk, fits);
        if fits {
            self.send_forward(turn, chunk);
        }
    }

    fn put(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, sure_of_room: bool) {
        let op = self.op(Op::Put(chunk));
        let view = self.view.as_ref().expect("whoever stores a version has a duty");
        let work = self.works.get_mut(&chunk).expect("it is the work's put");
        work.put = Put::Running;
        turn.taken = ByteLen(turn.taken.get() + work.room().get());
        if !work.as_committed {
            self.pending.insert(chunk, work.version);
        }
        let new = NewVersion {
            version: work.version,
            written_in: view.version,
            chunk_size: work.chunk_size,
            changes: work.to_store(),
            kept: self.tags.of(chunk).to_vec(),
            commit: work.as_committed,
            keep_damage: matches!(work.forward, Forward::Done(_)),
            sure_of_room,
        };
        turn.out.push(Effect::Put { op, chunk, new });
    }

    /// Hands a version on, if there is a successor and it has the version before.
    pub(super) fn send_forward(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let successor = self.view.as_ref().and_then(|view| view.successor);
        let work = self.works.get_mut(&chunk).expect("it is the work's forward");
        let Some(successor) = successor.filter(|next| !(next.syncing && work.ends_here())) else {
            // The last one; or resync, which waits for such a put, finds the version committed.
            work.forward = Forward::None;
            return;
        };
        let sent_before = matches!(work.forward, Forward::Due { .. });
        if successor.syncing && !sent_before {
            let resync = self.resync.as_ref().expect("a syncing successor is resynced");
            if resync.does_without(chunk, work, turn.now) {
                return self.go_without(turn.now, chunk);
            }
            if !resync.covers(chunk) {
                work.forward = Forward::Held;
                return self.transfer(turn, chunk);
            }
        }
        self.hand_on(turn, chunk);
    }

    /// Hands a version on to the successor, which has the version before.
    pub(super) fn hand_on(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let view = self.view.as_ref().expect("it has a successor");
        let to = view.successor.expect("somebody to hand it on to").target;
        let work = self.works.get_mut(&chunk).expect("it is a version under way");
        let attempt = Sequence(self.last_call + 1);
        let update = work.message(view, self.id, to, chunk, attempt);
        work.handed_on = true;
        let ask = Ask::Forward { update, data: work.data.clone() };
        let call = self.send(turn, to, Call::Forward(chunk), ask);
        assert_eq!(call.0, attempt.get(), "a message is named by its call");
        self.works.get_mut(&chunk).expect("it was there above").forward = Forward::Sent(call);
    }

    pub(super) fn put_done(
        &mut self,
        turn: &mut Turn<'_>,
        chunk: ChunkId,
        outcome: Result<Durable, StoreError>,
    ) {
        let Some(work) = self.works.get_mut(&chunk) else { return };
        match outcome {
            Ok(durable) => {
                let version = *durable.version().expect("a put names its version");
                assert_eq!(version.version, work.version, "the store stored what it was told");
                let tags: Vec<Tag> = work.changes.iter().map(|change| change.tag).collect();
                let readers = std::mem::take(&mut work.readers);
                self.record(chunk, tags, &durable);
                let work = self.works.get_mut(&chunk).expect("looked at above");
                work.put = Put::Done(durable);
                let waits = matches!(work.forward, Forward::AfterPut);
                for asker in readers {
                    self.read_pending(turn, asker, version);
                }
                if waits {
                    self.send_forward(turn, chunk);
                }
                self.advance(turn, chunk);
            }
            Err(error) => self.put_failed(turn, chunk, &error),
        }
    }

    /// The changes with these tags were applied.
    pub(super) fn record(&mut self, chunk: ChunkId, tags: Vec<Tag>, durable: &Durable) {
        let version = durable.version().expect("a put names its version").version;
        for (tag, len) in tags.into_iter().zip(durable.lens()) {
            self.tags.add(chunk, AppliedTag { tag, version, chunk_len: *len });
        }
    }

    pub(super) fn forward_answered(
        &mut self,
        turn: &mut Turn<'_>,
        chunk: ChunkId,
        call: CallId,
        answer: &Result<ForwardReply, WireError>,
    ) {
        let Some(work) = self.works.get_mut(&chunk) else { return };
        if !matches!(work.forward, Forward::Sent(sent) if sent == call) {
            return;
        }
        match answer {
            Ok(reply) if reply.version == work.version => {
                work.forward = Forward::Done(*reply);
                self.advance(turn, chunk);
            }
            Err(WireError::Refuse { why: why @ (FsError::NoSpace | FsError::Io) }) => {
                self.refused_behind(turn, chunk, *why);
            }
            _ => work.forward = Forward::Due { again: turn.now.after(AGAIN_MS) },
        }
    }

    /// Ends a version that is durable here and behind: commits, acknowledges, and starts the next. One
    /// that is refused behind is taken back.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let Some(work) = self.works.get(&chunk) else { return };
        if let Forward::Refused(why) = work.forward {
            return self.take_back(turn, chunk, why);
        }
        let settled = matches!(work.forward, Forward::None | Forward::Done(_));
        if !settled || !work.is_durable() {
            return;
        }
        let work = self.end_work(chunk);
        let Put::Done(durable) = &work.put else { unreachable!("it is durable") };
        let stored = *durable.version().expect("a put names its version");
        if !work.as_committed {
            turn.commit(chunk, stored);
            self.pending.remove(&chunk);
        }
        let digest = match &work.forward {
            Forward::Done(reply) => reply.digest,
            _ => stored.digest,
        };
        if matches!(work.forward, Forward::Done(_)) {
            self.compare_digests(turn, chunk, &stored, digest);
        }
        let forwarded = |id| Effect::forwarded(id, digest, durable);
        turn.out.extend(work.upstream.iter().copied().map(forwarded));
        self.answer_clients(turn, &work, durable);
        if self.waiting.len_of(chunk) > 0 {
            self.next_version(turn, chunk);
        }
    }

    /// A version is over; what was owed when it is through is due.
    pub(super) fn end_work(&mut self, chunk: ChunkId) -> Work {
        if let Some(resync) = &mut self.resync {
            resync.owed.through(chunk);
        }
        self.works.remove(&chunk).expect("whoever ends a version has it under way")
    }

    fn answer_clients(&self, turn: &mut Turn<'_>, work: &Work, durable: &Durable) {
        let leased = self.leased(turn.now);
        for (clients, chunk_len) in work.clients.iter().zip(work.lens()) {
            let reply = UpdateChunkReply { version: work.version, chunk_len: *chunk_len };
            turn.out.extend(clients.iter().map(|id| match &leased {
                Ok(()) => Effect::updated(*id, reply, durable),
                Err(why) => Effect::refuse(*id, why.clone()),
            }));
        }
    }

    fn compare_digests(
        &mut self,
        turn: &mut Turn<'_>,
        chunk: ChunkId,
        stored: &super::VersionState,
        tail: super::ChunkDigest,
    ) {
        if stored.digest == tail {
            self.differing.remove(&chunk);
            return;
        }
        self.differing.insert(chunk, tail);
        let successor = self.view.as_ref().and_then(|view| view.successor);
        turn.out.push(Effect::ReplicasDiffer {
            chunk,
            version: stored.version,
            ours: stored.digest,
            theirs: tail,
            successor: successor.map_or(self.id, |next| next.target),
        });
    }

    /// The chunks whose versions under way are such.
    pub(super) fn chunks_where(&self, is: impl Fn(&Work) -> bool) -> Vec<ChunkId> {
        self.works.iter().filter(|(_, work)| is(work)).map(|(chunk, _)| *chunk).collect()
    }

    /// What was to be tried again at a time that has come.
    pub(super) fn drive_due(&mut self, turn: &mut Turn<'_>) {
        let due = |again: Millis| again <= turn.now;
        let puts =
            self.chunks_where(|work| matches!(work.put, Put::Failed { again } if due(again)));
        let forwards =
            self.chunks_where(|work| matches!(work.forward, Forward::Due { again } if due(again)));
        let discards = self.chunks_where(
            |work| matches!(work.put, Put::Undoing { again: Some(again), .. } if due(again)),
        );
        puts.into_iter().for_each(|chunk| self.put(turn, chunk, false));
        discards.into_iter().for_each(|chunk| self.flush_discard(turn, chunk));
        forwards.into_iter().for_each(|chunk| self.send_forward(turn, chunk));
    }
}
