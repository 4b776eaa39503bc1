//! Changes that wait at the head for the version before theirs: a queue for each chunk.

use std::collections::{BTreeMap, VecDeque};

use emberfs_buffer::Payload;
use emberfs_layout::{ChunkId, ChunkSize};
use emberfs_wire::Tag;
use emberfs_wire::replica::TaggedChange;

use super::input::RequestId;
use super::limits::WAITING_MAX;

/// One of them.
pub(super) struct Waiting {
    pub(super) change: TaggedChange,
    pub(super) chunk_size: ChunkSize,
    /// The bytes of a write.
    pub(super) data: Option<Payload>,
    /// The requests that wait for it.
    pub(super) clients: Vec<RequestId>,
    /// Whether it makes a version of its own: one with others was refused.
    pub(super) alone: bool,
}

/// All of a target's, in the order in which they will be made.
#[derive(Default)]
pub(super) struct WaitingChanges {
    /// None of them is empty.
    queues: BTreeMap<ChunkId, VecDeque<Waiting>>,
    /// How many are in all.
    count: usize,
}

impl WaitingChanges {
    /// How many more may wait.
    pub(super) fn room(&self) -> usize {
        WAITING_MAX.saturating_sub(self.count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How many wait for this chunk.
    pub(super) fn len_of(&self, chunk: ChunkId) -> usize {
        self.queues.get(&chunk).map_or(0, VecDeque::len)
    }

    /// The next one of a chunk.
    pub(super) fn first_of(&self, chunk: ChunkId) -> Option<&Waiting> {
        self.queues.get(&chunk).and_then(VecDeque::front)
    }

    /// The one that a request of this name asked for.
    pub(super) fn find(&mut self, chunk: ChunkId, tag: Tag) -> Option<&mut Waiting> {
        self.queues.get_mut(&chunk)?.iter_mut().find(|waiting| waiting.change.tag == tag)
    }

    /// The last chunk from `first` to `last` for which any wait.
    pub(super) fn last_chunk(&self, first: ChunkId, last: ChunkId) -> Option<ChunkId> {
        self.queues.range(first..=last).next_back().map(|(chunk, _)| *chunk)
    }

    pub(super) fn chunks(&self) -> Vec<ChunkId> {
        self.queues.keys().copied().collect()
    }

    /// One more waits, behind the others.
    pub(super) fn push(&mut self, chunk: ChunkId, waiting: Waiting) {
        self.queues.entry(chunk).or_default().push_back(waiting);
        self.count += 1;
        self.check();
    }

    /// These wait, before all others.
    pub(super) fn push_before(&mut self, chunk: ChunkId, mut these: VecDeque<Waiting>) {
        if !these.is_empty() {
            self.count += these.len();
            let queue = self.queues.entry(chunk).or_default();
            these.append(queue);
            *queue = these;
            self.check();
        }
    }

    /// Takes all of a chunk.
    pub(super) fn take(&mut self, chunk: ChunkId) -> VecDeque<Waiting> {
        let taken = self.queues.remove(&chunk).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    fn check(&self) {
        assert!(self.count <= WAITING_MAX, "who lets one wait looks for room first");
    }
}
