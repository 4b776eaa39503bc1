//! A version to be made: what the caller of a put or an install asks for, in one form.

use emberfs_layout::{
    BlockSize, ByteLen, ChainVersion, ChunkOffset, ChunkSize, ChunkVersion, ClientId, Sequence,
};

use super::core::no_bytes;
use crate::error::EngineError;
use crate::types::{AppliedTag, Change, ChunkKey, Installed, NewVersion, VersionState};

/// A version to be made.
pub(super) struct Order {
    pub(super) version: ChunkVersion,
    pub(super) written_in: ChainVersion,
    pub(super) chunk_size: ChunkSize,
    pub(super) changes: Vec<Change>,
    /// Who asked for each change; none for an installed chunk.
    names: Vec<(ClientId, Sequence)>,
    kept_tags: Vec<AppliedTag>,
    pub(super) commit: bool,
    pub(super) keep_damage: bool,
    /// Whether it is known to find room; of an installed chunk nobody has asked.
    pub(super) sure_of_room: Option<bool>,
    /// What must come out, where it replaces whatever is there.
    pub(super) expected: Option<VersionState>,
}

impl From<NewVersion> for Order {
    fn from(new: NewVersion) -> Self {
        Self {
            version: new.version,
            written_in: new.written_in,
            chunk_size: new.chunk_size,
            names: new.changes.iter().map(|one| (one.client, one.sequence)).collect(),
            changes: new.changes.into_iter().map(|one| one.change).collect(),
            kept_tags: new.kept_tags,
            commit: new.commit,
            keep_damage: new.keep_damage,
            sure_of_room: Some(new.sure_of_room),
            expected: None,
        }
    }
}

impl From<Installed> for Order {
    fn from(installed: Installed) -> Self {
        let Installed { state, chunk_size, tags, data } = installed;
        let bytes = data.or_else(|| (!state.removed).then(|| no_bytes(chunk_size)));
        Self {
            version: state.version,
            written_in: state.written_in,
            chunk_size,
            changes: [Change::Remove].into_iter().chain(bytes.map(Change::Write)).collect(),
            names: Vec::new(),
            kept_tags: tags,
            commit: true,
            keep_damage: false,
            sure_of_room: None,
            expected: Some(state),
        }
    }
}

impl Order {
    /// What can be refused before anything is read.
    pub(super) fn check(
        &self,
        key: ChunkKey,
        base: (Option<VersionState>, ChunkSize),
    ) -> Result<(), EngineError> {
        let (asked, size) = (self.chunk_size, base.1);
        let committed = base.0.map(|state| state.version).unwrap_or_default();
        if size != asked {
            return Err(EngineError::OtherSize { key, asked });
        }
        if self.expected.is_none() && self.version <= committed {
            return Err(EngineError::Stale { key, version: self.version, committed });
        }
        for change in &self.changes {
            let Change::Write(payload) = change else { continue };
            let end = payload.end();
            if payload.block_size() != size.block_size() {
                return Err(EngineError::OtherSize { key, asked });
            }
            if end.get() > size.bytes() {
                return Err(EngineError::TooLong { key, end, size });
            }
        }
        Ok(())
    }

    /// How many bytes of blocks it takes at most.
    pub(super) fn room(&self) -> ByteLen {
        let block = self.block();
        let bytes = self.changes.iter().map(|change| match change {
            Change::Write(payload) => {
                block.round_up(payload.end()).get() - block.round_down(payload.start()).get()
            }
            Change::Cut(len) => block.round_up(*len).get() - block.round_down(*len).get(),
            Change::Remove => 0,
        });
        ByteLen(bytes.map(u64::from).sum())
    }

    /// In blocks of this size.
    pub(super) fn block(&self) -> BlockSize {
        self.chunk_size.block_size()
    }

    /// Whether it only cuts and removes.
    pub(super) fn shrinks(&self) -> bool {
        !self.changes.iter().any(|change| matches!(change, Change::Write(_)))
    }

    /// Its tags, where the chunk has these lengths after its changes.
    pub(super) fn tags(&self, lens: &[ChunkOffset]) -> Vec<AppliedTag> {
        let version = self.version;
        let new = self.names.iter().zip(lens).map(|((client, sequence), len)| AppliedTag {
            client: *client,
            sequence: *sequence,
            version,
            chunk_len: *len,
        });
        self.kept_tags.iter().copied().chain(new).collect()
    }
}
