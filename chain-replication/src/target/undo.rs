//! Versions that cannot be stored: taken back, from the replica without room up to the head.
//!
//! ```text
//!   head            middle           tail
//!   pending ──────► pending ──────► no room
//!   discarded ◄──── discarded ◄──── "nobody from here on has it, or will have it"
//!     └─► the client is refused: what it asked for has not happened and never will
//! ```
//!
//! * **Nobody behind has it.** A replica refuses for good only a version that its store does not have and
//!   that it did not hand on, or that was refused for good in turn. One that finds no room only after it
//!   handed the version on goes on trying, since those behind may have it; so a replica that may lack room
//!   ([`Chunks::has_room`]) stores first and forwards then. What was inherited from an earlier version of the
//!   chain and handed on there, readers may have seen: it is never taken back.
//! * **Nobody behind will have it.** Earlier messages with the version may still be on their way. Whoever
//!   refuses one for good begins nothing any more that its predecessor sent before, under this version of
//!   the chain ([`ForwardUpdate::attempt`]). So the number of the version may be used again, for other bytes.
//!   A copy of the client's request that comes late gets the same refusal (`tags`).
//! * **It stays away.** The discard is durable before the refusal goes on: after a loss of power everywhere
//!   no replica finds the version pending and commits it.
//!
//! * **But for a syncing member.** Until it was told that it has everything, its lack of room is nobody
//!   else's: it goes without the version. See `predecessor`.
//!
//! A corrupt block that is to be written in part is refused like a lack of room, as `Io`. Where all behind
//! have the version, and have it whole, the block here may stay corrupt instead: this replica differs then.
//!
//! A version of several changes is taken back for the one that does not fit: each then goes alone.
//!
//! [`Chunks::has_room`]: super::Chunks::has_room
//! [`ForwardUpdate::attempt`]: emberfs_wire::replica::ForwardUpdate::attempt

use emberfs_layout::{ChunkId, ChunkVersion};
use emberfs_wire::{FsError, WireError};

use super::chunks::StoreError;
use super::effect::Effect;
use super::input::Durable;
use super::limits::AGAIN_MS;
use super::work::{Forward, Put};
use super::{Op, Target, Turn, retry};

impl Target {
    /// A version was not stored: refused if nobody has it, else tried again.
    pub(super) fn put_failed(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, error: &StoreError) {
        let Some(work) = self.works.get_mut(&chunk) else { return };
        let full = *error == StoreError::NoSpace;
        if !work.handed_on {
            if full {
                let (room, block) = (work.room(), work.chunk_size.block_size());
                self.note_no_room(turn.now, room, block);
            }
            return self.refused(turn, chunk, if full { FsError::NoSpace } else { FsError::Io });
        }
        work.put = Put::Failed { again: turn.now.after(AGAIN_MS) };
        work.failed_once = true;
        // The predecessor waits: this is not over. Clients are told for what, readers go elsewhere.
        let clients: Vec<_> = work.clients.iter_mut().flat_map(std::mem::take).collect();
        let readers: Vec<_> = work.readers.drain(..).map(|asker| asker.request()).collect();
        let text = format!("{}, target {}: {error}", chunk, self.id);
        let why = WireError::Wait { text };
        turn.out.extend(clients.into_iter().map(|id| Effect::refuse(id, why.clone())));
        let elsewhere = |id| Effect::refuse(id, retry("not stored here yet".into()));
        turn.out.extend(readers.into_iter().map(elsewhere));
        self.refuse_waiting(turn, chunk, &why);
    }

    /// The successor refused a version for good. A syncing one goes without it.
    pub(super) fn refused_behind(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: FsError) {
        let work = self.works.get_mut(&chunk).expect("it was the work's forward");
        work.handed_on = false;
        if self.resync.as_ref().is_some_and(super::Resync::is_open) {
            self.go_without(turn.now, chunk);
            if why == FsError::NoSpace {
                self.keep_room_free(turn);
            }
        } else {
            work.forward = Forward::Refused(why);
        }
        self.advance(turn, chunk);
    }

    /// Drops what is stored here of a version that nobody behind has.
    pub(super) fn take_back(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: FsError) {
        let Some(work) = self.works.get_mut(&chunk) else { return };
        match work.put {
            Put::Running | Put::Undoing { .. } => {}
            Put::Failed { .. } => self.refused(turn, chunk, why),
            Put::Done(_) => {
                work.put = Put::Undoing { why, again: None };
                turn.out.push(Effect::Discard { chunk });
                self.pending.remove(&chunk);
                let at = turn.committed(chunk).map_or(ChunkVersion::NONE, |state| state.version);
                self.tags.retract(chunk, at);
                self.flush_discard(turn, chunk);
            }
        }
    }

    pub(super) fn flush_discard(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let op = self.op(Op::Undo(chunk));
        let work = self.works.get_mut(&chunk).expect("it is the work's discard");
        let Put::Undoing { again, .. } = &mut work.put else { unreachable!("it is taken back") };
        *again = None;
        turn.out.push(Effect::Flush { op });
    }

    /// A discard is durable.
    pub(super) fn undone(
        &mut self,
        turn: &mut Turn<'_>,
        chunk: ChunkId,
        outcome: &Result<Durable, StoreError>,
    ) {
        let Some(work) = self.works.get_mut(&chunk) else { return };
        let Put::Undoing { why, again } = &mut work.put else {
            unreachable!("nothing ends an undoing but this")
        };
        match outcome {
            Ok(_) => {
                let why = *why;
                self.refused(turn, chunk, why);
            }
            Err(_) => *again = Some(turn.now.after(AGAIN_MS)),
        }
    }

    /// Nobody from here on has this version, or will have it: it is over.
    fn refused(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: FsError) {
        let work = self.end_work(chunk);
        assert!(!work.handed_on && !work.inherited, "{chunk}: others may have what is refused");
        self.pending.remove(&chunk);
        self.refused_to = self.refused_to.max(work.attempt);
        let refuse = |id| Effect::refuse(id, why.into());
        turn.out.extend(work.upstream.iter().copied().map(refuse));
        let elsewhere = |id| Effect::refuse(id, retry("the change is taken back".into()));
        turn.out.extend(work.readers.iter().map(|asker| elsewhere(asker.request())));
        match &work.changes[..] {
            [change] if self.tags.refuse(change.tag, why) => {
                turn.out.extend(work.clients.into_iter().flatten().map(refuse));
            }
            [_] => turn.out.extend(work.clients.into_iter().flatten().map(elsewhere)),
            _ => self.each_alone(turn, chunk, work),
        }
        if self.waiting.len_of(chunk) > 0 {
            self.next_version(turn, chunk);
        }
    }
}
