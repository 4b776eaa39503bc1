//! The ranges that a call reads, and the memory in which their bytes land.

use emberfs_client_session::parts;
use emberfs_layout::{ByteLen, ChunkSize, FileOffset};
use emberfs_transport::{Ground, Room, Spot};

use super::part::Part;
use crate::error::ClientError;

/// Ranges of a file, each with the buffer that its bytes go to.
#[derive(Debug)]
pub(crate) struct Targets<'g> {
    offsets: Vec<FileOffset>,
    ground: Ground<'g>,
}

impl<'g> Targets<'g> {
    /// A range from each offset, as long as the buffer of the same place.
    pub(crate) fn new(offsets: Vec<FileOffset>, ground: Ground<'g>) -> Self {
        Self { offsets, ground }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.offsets.len()
    }

    /// How many bytes a file of this size has of each range.
    pub(super) fn lens(&self, size: ByteLen) -> Vec<usize> {
        let len = |(target, offset): (usize, &FileOffset)| {
            let within = size.get().saturating_sub(offset.get());
            let len = self.ground.len_of(target);
            usize::try_from(within).map_or(len, |within| within.min(len))
        };
        self.offsets.iter().enumerate().map(len).collect()
    }

    /// Which ranges reach past the end of a file of this size.
    pub(super) fn past(&self, size: ByteLen) -> Vec<usize> {
        let lens = self.lens(size).into_iter().enumerate();
        let past = lens.filter(|(target, len)| *len < self.ground.len_of(*target));
        past.map(|(target, _)| target).collect()
    }

    /// The parts of all ranges that lie between `from` and `to` of the file.
    pub(super) fn cut(
        &self,
        chunk_size: ChunkSize,
        from: ByteLen,
        to: ByteLen,
    ) -> Result<Vec<Part>, ClientError> {
        let mut all = Vec::new();
        for (target, offset) in self.offsets.iter().enumerate() {
            let end = offset.get().saturating_add(self.ground.len_of(target) as u64).min(to.get());
            let start = offset.get().max(from.get());
            let len = ByteLen(end.saturating_sub(start));
            if len == ByteLen::ZERO {
                continue;
            }
            for mut span in parts(chunk_size, FileOffset(start), len)? {
                span.at = ByteLen(span.at.get() + (start - offset.get()));
                all.push(Part::new(target, span));
            }
        }
        Ok(all)
    }

    /// The bytes of a part; no call may be writing to any.
    pub(super) fn bytes_of(&mut self, part: &Part) -> &mut [u8] {
        let Spot { buffer, range } = spot(part);
        &mut self.ground.bytes_of(buffer)[range]
    }

    /// A room for each of these parts, which do not overlap.
    pub(super) fn rooms<'p>(&mut self, of: impl Iterator<Item = &'p Part>) -> Vec<Room<'_>> {
        self.ground.rooms(&of.map(spot).collect::<Vec<_>>())
    }
}

/// Where a part's bytes go.
fn spot(part: &Part) -> Spot {
    let at = usize::try_from(part.span.at.get()).expect("within the caller's buffer");
    Spot { buffer: part.target, range: at..at + part.span.len as usize }
}
