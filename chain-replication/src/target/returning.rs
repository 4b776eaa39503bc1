//! The syncing member: takes its predecessor's word for everything.
//!
//! ```text
//!   told to sync ──► settle (what the store still does is waited for, pending versions are discarded)
//!                ──► open: pages are compared, chunks installed, versions forwarded
//!                ──► FinishSync: flush ──► up to date, under this version of the chain
//! ```
//! Each version of the chain begins this anew. A chunk whose committed version was made under this version
//! of the chain came by forwarding or by an install of this round: an install that is older, which was
//! overtaken, changes nothing. Any other chunk is replaced by whatever the predecessor sends, older or not: that
//! sends nothing of a chunk before all of it that was made under an earlier version of the chain is through.

use emberfs_buffer::Payload;
use emberfs_layout::{BlockSize, ByteLen, ChunkId, ChunkOffset, ChunkVersion};
use emberfs_wire::chunk::Replica;
use emberfs_wire::limits::CHUNKS_PAGE_MAX;
use emberfs_wire::replica::{
    AppliedTag, ChunkSummary, ComparePage, ComparePageReply, FinishSync, FinishSyncReply,
    InstallChunk, InstallChunkReply,
};
use emberfs_wire::{FsError, WireError};

use super::chain_view::{Duty, refresh};
use super::chunks::{ChunkState, Installed, StoreError, VersionState};
use super::effect::{Effect, Reply};
use super::input::{Answer, Durable, RequestId};
use super::{Op, Target, Turn, retry};

/// A round of being brought up to date.
#[derive(Debug, Default)]
pub(super) struct Returning {
    /// Whether the store is settled, so that what it shows will not change by itself.
    open: bool,
}

/// A chunk on its way into the store.
pub(super) struct InstallUnderWay {
    pub(super) id: RequestId,
    pub(super) chunk: ChunkId,
    version: ChunkVersion,
    /// What it may take in the store, in blocks of this size.
    room: (ByteLen, BlockSize),
    pub(super) tags: Vec<AppliedTag>,
}

/// What a page says of a chunk; nothing of one that has no committed version.
pub(super) fn summary(chunk: ChunkId, state: &ChunkState) -> Option<ChunkSummary> {
    let VersionState { version, digest, written_in, removed, .. } = state.committed?;
    Some(ChunkSummary { chunk, version, digest, written_in, removed })
}

impl Target {
    /// Opens the round once the store is settled.
    pub(super) fn open_returning(&mut self, turn: &mut Turn<'_>) {
        let Some(returning) = self.returning.as_mut().filter(|_| self.orphans.is_empty()) else {
            return;
        };
        returning.open = true;
        for (chunk, _) in std::mem::take(&mut self.pending) {
            turn.out.push(Effect::Discard { chunk });
            let at = turn.committed(chunk).map_or(ChunkVersion::NONE, |state| state.version);
            self.tags.retract(chunk, at);
        }
    }

    /// A serving member may receive at once, a syncing one when its round is open.
    pub(super) fn ready_to_receive(&self) -> Result<(), WireError> {
        let closed = self.returning.as_ref().is_some_and(|returning| !returning.open);
        if closed { Err(retry(format!("{} settles first", self.id))) } else { Ok(()) }
    }

    pub(super) fn is_installing(&self, chunk: ChunkId) -> bool {
        self.ops.values().any(|op| matches!(op, Op::Install(install) if install.chunk == chunk))
    }

    fn syncing(&self, replica: &Replica) -> Result<(), WireError> {
        let view = self.addressed(replica)?;
        if self.duty() != Duty::Syncing {
            return Err(refresh(replica, view.version));
        }
        self.ready_to_receive()
    }

    pub(super) fn on_compare_page(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        ask: &ComparePage,
    ) {
        let reply = self.syncing(&ask.replica).map(|()| {
            let limit = (ask.limit as usize).clamp(1, CHUNKS_PAGE_MAX);
            let page = turn.chunks.page(ask.after, limit);
            let end = page.len() < limit;
            let chunks = page.iter().filter_map(|(chunk, state)| summary(*chunk, state)).collect();
            Reply::Replica(Answer::Page(ComparePageReply { chunks, end }))
        });
        turn.out.push(Effect::Reply { to: id, reply });
    }

    pub(super) fn on_install(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        install: InstallChunk,
        data: Option<Payload>,
    ) {
        if let Err(why) = self.take_install(turn, id, install, data) {
            turn.out.push(Effect::refuse(id, why));
        }
    }

    fn take_install(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        install: InstallChunk,
        data: Option<Payload>,
    ) -> Result<(), WireError> {
        self.syncing(&install.replica)?;
        let ChunkSummary { chunk, version, digest, written_in, removed } = install.summary;
        if self.works.contains_key(&chunk) || self.is_installing(chunk) {
            return Err(retry(format!("{chunk} is being written")));
        }
        let whole = data.as_ref().is_none_or(|data| data.start() == ChunkOffset(0) && !removed);
        if !whole {
            return Err(WireError::bug("an install that is no whole chunk"));
        }
        let len = data.as_ref().map_or(ChunkOffset(0), Payload::end);
        let asked = VersionState { version, len, digest, written_in, removed };
        // Newer, or sent again as it took longer than its sender waited.
        let has = |state: &VersionState| {
            let newer = state.written_in == install.replica.version && state.version >= version;
            newer || *state == asked
        };
        if let Some(state) = turn.committed(chunk).filter(has) {
            let answer = Answer::Installed(InstallChunkReply { version: state.version });
            turn.out.push(Effect::synced(id, answer, &Durable::shown(state)));
            return Ok(());
        }
        let tags = install.tags.clone();
        let block = install.chunk_size.block_size();
        let room = (ByteLen(u64::from(block.round_up(len).get())), block);
        let op = self.op(Op::Install(InstallUnderWay { id, chunk, version, room, tags }));
        if version == ChunkVersion::NONE {
            turn.out.push(Effect::Sweep { op, chunk });
            return Ok(());
        }
        let InstallChunk { chunk_size, tags, .. } = install;
        let installed = Installed { state: asked, chunk_size, tags, data };
        turn.out.push(Effect::Install { op, chunk, installed });
        Ok(())
    }

    pub(super) fn install_done(
        &mut self,
        turn: &mut Turn<'_>,
        install: InstallUnderWay,
        outcome: Result<Durable, StoreError>,
    ) {
        let InstallUnderWay { id, chunk, version, room, tags } = install;
        match outcome {
            Ok(durable) => {
                self.tags.replace(chunk, &tags);
                self.differing.remove(&chunk);
                let answer = Answer::Installed(InstallChunkReply { version });
                turn.out.push(Effect::synced(id, answer, &durable));
            }
            Err(StoreError::NoSpace) => {
                self.note_no_room(turn.now, room.0, room.1);
                turn.out.push(Effect::refuse(id, FsError::NoSpace.into()));
            }
            Err(error) => turn.out.push(Effect::refuse(id, retry(error.to_string()))),
        }
    }

    pub(super) fn on_finish_sync(&mut self, turn: &mut Turn<'_>, id: RequestId, ask: &FinishSync) {
        if let Err(why) = self.syncing(&ask.replica) {
            return turn.out.push(Effect::refuse(id, why));
        }
        let op = self.op(Op::Flush(id));
        turn.out.push(Effect::Flush { op });
    }

    /// Everything received is durable: from now on the target may be told to serve.
    pub(super) fn flush_done(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        outcome: Result<Durable, StoreError>,
    ) {
        match outcome {
            Ok(durable) => {
                // A flush of an earlier round was dropped with it; one that was asked for twice may end
                // when the target serves already.
                assert!(self.duty() != Duty::Idle, "an idle target has no flush under way");
                (self.complete, self.no_room) = (true, None);
                turn.out.push(Effect::synced(id, Answer::Finished(FinishSyncReply {}), &durable));
            }
            Err(error) => turn.out.push(Effect::refuse(id, retry(error.to_string()))),
        }
    }
}
