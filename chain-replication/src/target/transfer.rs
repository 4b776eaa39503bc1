//! One chunk on its way to the syncing member: read here as it is committed, sent, and what was held behind it
//! handed on.
//!
//! Nothing is sent of a chunk as long as a version is under way that goes without the syncing member. Those of
//! earlier versions of the chain all do; so whatever the member is sent is followed only by what is made under
//! this version of the chain, and a copy that comes late replaces nothing newer (see `returning`).

use emberfs_buffer::{ChunkDigest, Payload};
use emberfs_layout::{ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion};
use emberfs_wire::replica::{ChunkSummary, InstallChunk};
use emberfs_wire::{FsError, PayloadSums, WireError};

use super::chunks::{ReadResult, StoreError, VersionState, Which};
use super::effect::{Ask, Effect};
use super::input::{Millis, OpId};
use super::limits::{AGAIN_MS, TRANSFERS_MAX};
use super::owed::{Pause, Queue, Transfer};
use super::work::Work;
use super::{Call, Op, Target, Turn};

/// What becomes of a transfer that is due.
enum Turned {
    Begins,
    /// A version that goes without the syncing member is under way.
    Waits,
    /// Comparing will find it, when the syncing member may have room again.
    LeftToComparing,
}

impl Target {
    /// Begins the transfers whose time has come: first all that a held version or the page waits for, then, of
    /// those that failed as the chunk could not be read, and of those without bytes, a few at a time. While room
    /// is kept nothing that takes room is tried.
    pub(super) fn begin_due(&mut self, turn: &mut Turn<'_>) {
        let Some(resync) = &self.resync else { return };
        let kept = resync.room_kept.is_some();
        let mut whole = TRANSFERS_MAX.saturating_sub(resync.owed.whole());
        let mut bare = self.limits.bare_max.saturating_sub(resync.owed.bare());
        let mut due = Vec::new();
        for (chunk, pause) in resync.owed.due(turn.now) {
            let bytes = bytes_of(turn, chunk).is_some();
            let ends_here = self.ends_here(chunk);
            let turned = match () {
                () if kept && (bytes || ends_here) => Turned::LeftToComparing,
                () if ends_here => Turned::Waits,
                () if pause.queue == Queue::Awaited || (bytes && pause.queue == Queue::Owed) => {
                    Turned::Begins
                }
                () => {
                    let free = if bytes { &mut whole } else { &mut bare };
                    match free.checked_sub(1) {
                        Some(left) => *free = left,
                        None if bytes => continue,
                        None => break,
                    }
                    Turned::Begins
                }
            };
            due.push((chunk, turned));
        }
        for (chunk, turned) in due {
            match turned {
                Turned::Begins => self.begin_transfer(turn, chunk),
                Turned::Waits => self.owe(turn.now, chunk),
                Turned::LeftToComparing => self.leave_to_comparing(chunk),
            }
        }
    }

    pub(super) fn ends_here(&self, chunk: ChunkId) -> bool {
        self.works.get(&chunk).is_some_and(Work::ends_here)
    }

    fn leave_to_comparing(&mut self, chunk: ChunkId) {
        if let Some(resync) = &mut self.resync {
            resync.owed.remove(chunk);
            resync.of_page.remove(&chunk);
        }
    }

    /// The syncing member is to be sent this chunk once the version that goes without it is committed here.
    /// Where room is kept, comparing will find it.
    pub(super) fn owe(&mut self, now: Millis, chunk: ChunkId) {
        let resync = self.resync.as_mut().expect("a syncing successor is resynced");
        resync.of_page.remove(&chunk);
        if resync.room_kept.is_none()
            && let Some(call) = resync.owed.wait(now, chunk)
        {
            self.calls.remove(&call);
        }
    }

    /// Something waits for this chunk's transfer.
    pub(super) fn transfer(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let resync = self.resync.as_mut().expect("a syncing successor is resynced");
        resync.owed.is_awaited(chunk);
        let begins = match resync.owed.get(chunk) {
            None => true,
            Some(Transfer::Due(pause)) => pause.until <= turn.now,
            Some(Transfer::Waits(_) | Transfer::Reading(_) | Transfer::Sent { .. }) => false,
        };
        if begins {
            self.begin_transfer(turn, chunk);
        }
    }

    /// Reads the chunk as it is committed, if it has bytes, to send it.
    pub(super) fn begin_transfer(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        match bytes_of(turn, chunk) {
            Some(state) => {
                let op = self.op(Op::Transfer(chunk));
                self.set_transfer(chunk, Transfer::Reading(op));
                let (which, start, len) = (Which::Committed, ChunkOffset(0), state.len);
                turn.out.push(Effect::Read { op, chunk, which, start, len });
            }
            None => {
                let none = |state| ReadResult { state, data: None };
                self.send_install(turn, chunk, turn.committed(chunk).map(none));
            }
        }
    }

    pub(super) fn transfer_read(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        chunk: ChunkId,
        outcome: Result<ReadResult, StoreError>,
    ) {
        let current = self.resync.as_ref().and_then(|resync| resync.owed.get(chunk));
        if current != Some(Transfer::Reading(op)) {
            return;
        }
        let whole = |found: &ReadResult| {
            let end = found.data.as_ref().map_or(ChunkOffset(0), Payload::end);
            end == found.state.len
        };
        match outcome {
            Ok(found) if whole(&found) => self.send_install(turn, chunk, Some(found)),
            Err(StoreError::Corrupt) => self.not_readable(turn, chunk),
            // It grew or went between the look and the read.
            Ok(_) | Err(_) => self.transfer_again(turn.now, chunk),
        }
    }

    /// The chunk is not lost as long as nobody takes it for absent: it stays owed, and is not waited for.
    fn not_readable(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let until = turn.now.after(self.limits.unreadable_ms);
        self.set_transfer(chunk, Transfer::Due(Pause { until, queue: Queue::Unreadable }));
        if self.resync.as_mut().is_some_and(|resync| resync.pass_over(chunk)) {
            turn.out.push(Effect::Unreadable { chunk });
        }
        if self.works.get(&chunk).is_some_and(Work::is_held) {
            self.go_without(turn.now, chunk);
            self.advance(turn, chunk);
        }
    }

    /// Sends what is committed of a chunk; `None`: nothing ever was.
    fn send_install(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, found: Option<ReadResult>) {
        let nothing = VersionState {
            version: ChunkVersion::NONE,
            len: ChunkOffset(0),
            digest: ChunkDigest::EMPTY,
            written_in: ChainVersion::NONE,
            removed: true,
        };
        let (state, data) = found.map_or((nothing, None), |found| (found.state, found.data));
        let VersionState { version, digest, written_in, removed, .. } = state;
        let tags = self.tags.of(chunk).iter().filter(|tag| tag.version <= version);
        let to = self.resync.as_ref().expect("a transfer belongs to a resync").to;
        let chunk_size = turn.chunks.state(chunk).map_or(ChunkSize::MIN, |state| state.chunk_size);
        let install = InstallChunk {
            replica: self.view.as_ref().expect("it serves").replica(to),
            from: self.id,
            summary: ChunkSummary { chunk, version, digest, written_in, removed },
            chunk_size,
            tags: tags.copied().collect(),
            data: data.as_ref().map(PayloadSums::of),
        };
        let bytes = data.is_some();
        let call = self.send(turn, to, Call::Install(chunk), Ask::Install { install, data });
        self.set_transfer(chunk, Transfer::Sent { call, bytes });
    }

    /// The syncing member has the chunk: what was held is handed on. It needs no more than that, whatever is
    /// remembered of the chunk afterwards.
    pub(super) fn transferred(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let Some(resync) = &mut self.resync else { return };
        resync.has_now(chunk);
        if self.works.get(&chunk).is_some_and(Work::is_held) {
            self.hand_on(turn, chunk);
        }
    }

    /// The syncing member did not take a chunk.
    pub(super) fn transfer_failed(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: &WireError) {
        self.transfer_again(turn.now, chunk);
        if matches!(why, WireError::Refuse { why: FsError::NoSpace }) {
            self.keep_room_free(turn);
        }
    }

    fn transfer_again(&mut self, now: Millis, chunk: ChunkId) {
        let of_page = self.resync.as_ref().is_some_and(|resync| resync.of_page.contains(&chunk));
        let held = self.works.get(&chunk).is_some_and(Work::is_held);
        let queue = if of_page || held { Queue::Awaited } else { Queue::Owed };
        self.set_transfer(chunk, Transfer::Due(Pause { until: now.after(AGAIN_MS), queue }));
    }

    fn set_transfer(&mut self, chunk: ChunkId, state: Transfer) {
        if let Some(resync) = &mut self.resync {
            resync.owed.set(chunk, state);
        }
    }
}

/// What is committed of a chunk, if that has bytes: it takes room at whoever gets it.
pub(super) fn bytes_of(turn: &Turn<'_>, chunk: ChunkId) -> Option<VersionState> {
    turn.committed(chunk).filter(|state| !state.removed && state.len.get() > 0)
}
