//! Blocks that were not what their checksums say, since the disk was opened: said in the log once for each chunk, and
//! counted. Whoever reads goes to another replica, so nobody else might hear of it.

use std::collections::BTreeSet;

use emberfs_buffer::Corrupt;

use crate::types::{BadBlocks, ChunkKey};

/// Chunks that are told apart (a count): however much of a disk is bad, it gets no more lines in the log. Those
/// found later are neither said nor counted.
const CHUNKS_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Found {
    chunks: BTreeSet<ChunkKey>,
    last: Option<(ChunkKey, Corrupt)>,
}

impl Found {
    pub(super) fn add(&mut self, key: ChunkKey, corrupt: Corrupt) {
        if self.chunks.len() < CHUNKS_MAX && self.chunks.insert(key) {
            self.last = Some((key, corrupt));
            tracing::warn!(
                target_id = %key.target, chunk = %key.chunk, %corrupt, chunks = self.chunks.len(),
                "a block on the disk is damaged"
            );
        }
    }

    pub(super) fn all(&self) -> Option<BadBlocks> {
        let (key, corrupt) = self.last?;
        Some(BadBlocks { chunks: self.chunks.len(), key, corrupt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_buffer::Crc32c;
    use emberfs_layout::{ChunkId, ChunkIndex, ChunkOffset, DataId, TargetId};

    #[test]
    fn a_chunk_counts_once_and_the_count_has_an_end() {
        let mut found = Found::default();
        assert_eq!(found.all(), None);
        let (expected, wrong) = (Crc32c(1), Crc32c(2));
        let corrupt = Corrupt { start: ChunkOffset(4096), len: 4096, expected, found: wrong };
        let key = |index| {
            let chunk = ChunkId::new(DataId(7), ChunkIndex(index));
            ChunkKey { target: TargetId(3), chunk }
        };
        found.add(key(0), corrupt);
        found.add(key(0), Corrupt { start: ChunkOffset(0), ..corrupt });
        assert_eq!(found.all(), Some(BadBlocks { chunks: 1, key: key(0), corrupt }));
        (1..2_000).for_each(|index| found.add(key(index), corrupt));
        let last = BadBlocks { chunks: CHUNKS_MAX, key: key(1023), corrupt };
        assert_eq!(found.all(), Some(last));
    }
}
