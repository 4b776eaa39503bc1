//! The last serving member and the syncing one behind it.

mod limits;
mod no_room;
mod predecessor;
mod returning;

use emberfs_wire::cluster::Hindrance;
use emberfs_wire::replica::{ChunkSummary, ComparePageReply, InstallChunk, InstallChunkReply};

use super::*;
use crate::target::chunks::ReadResult;
use crate::target::limits::Limits;

fn chunk(index: u32) -> ChunkId {
    ChunkId::new(CHUNK.data, ChunkIndex(index))
}

fn other(sequence: u64) -> Tag {
    Tag { client: ClientId(2), sequence: Sequence(sequence) }
}

/// What the syncing member has of a chunk: an earlier version.
fn earlier(index: u32) -> ChunkSummary {
    let (version, written_in) = (ChunkVersion(1), ChainVersion(0));
    let digest = digest(version);
    ChunkSummary { chunk: chunk(index), version, digest, written_in, removed: false }
}

impl Stand {
    /// A last serving member that has these chunks, and a syncing one behind it that was not asked yet.
    fn before_syncing(chunks: std::ops::Range<u32>) -> Self {
        Self::before_syncing_within(Limits::default(), chunks)
    }

    /// The same with other limits.
    fn before_syncing_within(limits: Limits, chunks: std::ops::Range<u32>) -> Self {
        let mut last = Self::new(0, &[Serving, PublicState::Offline]);
        last.target.limits = limits;
        for index in chunks {
            last.change(chunk(index), other(u64::from(index) + 1), write());
            last.stored();
        }
        last.replies.clear();
        last.follow(&[Serving, Syncing]);
        last
    }

    fn asked_for_page(&mut self) -> Option<CallId> {
        let at = self.sends.iter().position(|(_, _, ask)| matches!(ask, Ask::Page(_)))?;
        Some(self.sends.remove(at).0)
    }

    /// The syncing member says what it has.
    fn page(&mut self, chunks: Vec<ChunkSummary>) {
        let call = self.asked_for_page().expect("a page is asked for");
        let page = ComparePageReply { chunks, end: true };
        self.step(Input::Answer { call, answer: Ok(Answer::Page(page)) });
    }

    /// The oldest read of the store has found the chunk of this number as it is committed.
    fn read_whole(&mut self, index: u32) {
        let op = self.reads.remove(0);
        let state = self.shelf.chunks[&chunk(index)].committed.expect("it has bytes");
        self.step(Input::ReadDone { op, outcome: Ok(ReadResult { state, data: Some(bytes()) }) });
    }

    fn unreadable_now(&mut self) {
        let op = self.reads.remove(0);
        self.step(Input::ReadDone { op, outcome: Err(StoreError::Corrupt) });
    }

    /// The oldest message is answered like this; it is an install of this chunk.
    fn installed(&mut self, index: u32, answer: Result<(), WireError>) -> InstallChunk {
        let (call, _, ask) = self.sends.remove(0);
        let Ask::Install { install, .. } = ask else { panic!("{ask:?} is no install") };
        assert_eq!(install.summary.chunk, chunk(index));
        let reply = InstallChunkReply { version: install.summary.version };
        self.step(Input::Answer { call, answer: answer.map(|()| Answer::Installed(reply)) });
        install
    }

    fn tells_that_all_is_sent(&self) -> bool {
        self.sends.iter().any(|(_, _, ask)| matches!(ask, Ask::Finish(_)))
    }

    fn hindrance(&self) -> Option<Hindrance> {
        self.target.report().hindrance
    }
}
