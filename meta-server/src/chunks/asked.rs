//! What is asked of a chain's head, again and again until it is done.

use emberfs_layout::{ChainId, ChunkId, ChunkSize, DataId};
use emberfs_wire::chunk::{ChunkChange, LastChunk, Replica, UpdateChunk};
use emberfs_wire::{Capability, Request, Tag};

use super::tags::Tags;

/// One piece of work for a chain.
pub(super) trait Asked {
    type Request: Request;

    /// The next try: the same as the last, unless that is over.
    fn request(&mut self, replica: Replica) -> Self::Request;

    /// What was asked last is done or refused: it will not be asked again.
    fn is_over(&mut self) {}
}

/// A change of one chunk.
pub(super) struct OneChange<'a> {
    pub(super) tags: &'a Tags,
    pub(super) chain: ChainId,
    pub(super) chunk: ChunkId,
    pub(super) chunk_size: ChunkSize,
    pub(super) change: &'a ChunkChange,
    /// Its name, while it is open.
    pub(super) tag: Option<Tag>,
}

impl Asked for OneChange<'_> {
    type Request = UpdateChunk;

    fn request(&mut self, replica: Replica) -> UpdateChunk {
        UpdateChunk {
            replica,
            tag: *self.tag.get_or_insert_with(|| self.tags.begin(self.chain)),
            low_water: self.tags.low_water(self.chain),
            chunk: self.chunk,
            chunk_size: self.chunk_size,
            change: self.change.clone(),
            capability: Capability::default(),
        }
    }

    fn is_over(&mut self) {
        if let Some(tag) = self.tag.take() {
            self.tags.answered(self.chain, tag);
        }
    }
}

/// The question for the last chunk of a file.
pub(super) struct LastOf(pub(super) DataId);

impl Asked for LastOf {
    type Request = LastChunk;

    fn request(&mut self, replica: Replica) -> LastChunk {
        LastChunk { replica, data: self.0 }
    }
}
