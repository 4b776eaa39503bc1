//! Bytes of a chunk with one checksum for each piece of its block grid.
//!
//! [`Unchecked`] is what came from a socket or a disk: its bytes cannot be reached. [`Payload`] is
//! what passed [`Unchecked::check`], or what the writer itself summed ([`Payload::compute`]). Bytes that came
//! straight into memory of a caller are no payload: [`check_in_place`] compares them.
//!
//! Invariant of both: there are exactly as many sums as [`grid::piece_count`] says.

use std::sync::Arc;

use bytes::Bytes;
use emberfs_layout::{BlockSize, ChunkOffset};
use thiserror::Error;

use crate::{Crc32c, grid};

/// Bytes and the sums they should have, not compared yet.
#[derive(Clone, Debug)]
pub struct Unchecked {
    parts: Parts,
}

/// Bytes of a chunk that match their sums.
#[derive(Clone, Debug)]
pub struct Payload {
    parts: Parts,
}

#[derive(Clone, Debug)]
struct Parts {
    bytes: Bytes,
    start: ChunkOffset,
    block: BlockSize,
    sums: Arc<[Crc32c]>,
}

/// The number of sums does not fit the range, or the range does not fit a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{sums} checksums for {len} bytes at {start} of a chunk, expected {expected}")]
pub struct Malformed {
    /// Where the range begins.
    pub start: ChunkOffset,
    /// How many bytes there are.
    pub len: usize,
    /// How many sums came with them.
    pub sums: usize,
    /// How many there should be; 0 if the range is past any chunk.
    pub expected: usize,
}

/// A piece whose bytes do not match its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{len} bytes at {start} of a chunk have checksum {found}, expected {expected}")]
pub struct Corrupt {
    /// Where in the chunk the piece begins.
    pub start: ChunkOffset,
    /// How long it is.
    pub len: u32,
    /// The sum that came with it.
    pub expected: Crc32c,
    /// The sum of the bytes.
    pub found: Crc32c,
}

/// Why bytes are not what their sums say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// The sums are of something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A piece differs.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Compares bytes that begin at `start` of a chunk, and are not shared, with the sums that came with them.
///
/// # Errors
/// [`Unfit`]; the bytes are not to be used then.
pub fn check_in_place(
    bytes: &[u8],
    start: ChunkOffset,
    block: BlockSize,
    sums: &[Crc32c],
) -> Result<(), Unfit> {
    well_formed(start, bytes.len(), block, sums)?;
    Ok(compare(bytes, start, block, sums)?)
}

fn well_formed(
    start: ChunkOffset,
    len: usize,
    block: BlockSize,
    sums: &[Crc32c],
) -> Result<(), Malformed> {
    let fits = end_of(start, len).is_some();
    let expected = if fits { grid::piece_count(block, start, len) } else { 0 };
    match fits && sums.len() == expected {
        true => Ok(()),
        false => Err(Malformed { start, len, sums: sums.len(), expected }),
    }
}

fn compare(
    bytes: &[u8],
    start: ChunkOffset,
    block: BlockSize,
    sums: &[Crc32c],
) -> Result<(), Corrupt> {
    for (piece, expected) in grid::pieces(block, start, bytes.len()).zip(sums.iter().copied()) {
        let (at, len) = (narrow(piece.start), narrow(piece.len()));
        let found = Crc32c::of(&bytes[piece]);
        if found != expected {
            let start = ChunkOffset(start.get() + at);
            return Err(Corrupt { start, len, expected, found });
        }
    }
    Ok(())
}

impl Unchecked {
    /// Bytes that begin at `start` of a chunk, with the sums that came with them.
    ///
    /// # Errors
    /// [`Malformed`] if there are not as many sums as pieces.
    pub fn new(
        bytes: Bytes,
        start: ChunkOffset,
        block: BlockSize,
        sums: impl Into<Arc<[Crc32c]>>,
    ) -> Result<Self, Malformed> {
        let sums = sums.into();
        well_formed(start, bytes.len(), block, &sums)?;
        Ok(Self { parts: Parts { bytes, start, block, sums } })
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares every piece with its sum: the one CRC pass over these bytes on this machine.
    ///
    /// # Errors
    /// [`Corrupt`] names the first piece that differs. The bytes are gone then: nobody can read them.
    pub fn check(self) -> Result<Payload, Corrupt> {
        let Parts { bytes, start, block, sums } = &self.parts;
        compare(bytes, *start, *block, sums)?;
        Ok(Payload { parts: self.parts })
    }
}

impl Payload {
    /// Sums `bytes`, which begin at `start` of a chunk: what their writer does, once.
    ///
    /// # Errors
    /// [`Malformed`] if the range reaches past 32 bits.
    pub fn compute(bytes: Bytes, start: ChunkOffset, block: BlockSize) -> Result<Self, Malformed> {
        let len = bytes.len();
        end_of(start, len).ok_or(Malformed { start, len, sums: 0, expected: 0 })?;
        let sums = grid::pieces(block, start, len).map(|piece| Crc32c::of(&bytes[piece])).collect();
        Ok(Self { parts: Parts { bytes, start, block, sums } })
    }

    /// For joining: the caller vouches that `sums` were combined from checked ones.
    pub(crate) fn from_combined(
        bytes: Bytes,
        start: ChunkOffset,
        block: BlockSize,
        sums: Vec<Crc32c>,
    ) -> Self {
        assert_eq!(sums.len(), grid::piece_count(block, start, bytes.len()));
        Self { parts: Parts { bytes, start, block, sums: sums.into() } }
    }

    /// The bytes, checked.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.parts.bytes
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where in the chunk they begin.
    #[must_use]
    pub fn start(&self) -> ChunkOffset {
        self.parts.start
    }

    /// Where in the chunk they end.
    #[must_use]
    pub fn end(&self) -> ChunkOffset {
        end_of(self.start(), self.len()).expect("checked when it was made")
    }

    /// The size of the chunk's blocks.
    #[must_use]
    pub fn block_size(&self) -> BlockSize {
        self.parts.block
    }

    /// One sum for each piece of the grid, in order.
    #[must_use]
    pub fn sums(&self) -> &[Crc32c] {
        &self.parts.sums
    }

    /// The checksum of all bytes together, combined from the pieces' sums.
    #[must_use]
    pub fn whole_sum(&self) -> Crc32c {
        self.pieces()
            .fold(Crc32c::default(), |sum, (piece, next)| sum.followed_by(next, piece.len()))
    }

    /// A part of these bytes, without a copy: `from` and `to` are places in the chunk. Whole pieces
    /// keep their sum; a piece that is cut is summed again.
    ///
    /// # Panics
    /// When the part is not within this payload.
    #[must_use]
    pub fn slice(&self, from: ChunkOffset, to: ChunkOffset) -> Self {
        assert!(self.start() <= from && from <= to && to <= self.end(), "{from}..{to} is outside");
        let begin = (from.get() - self.start().get()) as usize;
        let end = (to.get() - self.start().get()) as usize;
        let bytes = self.parts.bytes.slice(begin..end);
        let sums = self
            .pieces()
            .filter(|(piece, _)| piece.start < end && begin < piece.end)
            .map(|(piece, sum)| {
                let kept = piece.start.max(begin)..piece.end.min(end);
                if kept == piece { sum } else { Crc32c::of(&self.parts.bytes[kept]) }
            })
            .take(grid::piece_count(self.parts.block, from, end - begin))
            .collect();
        Self { parts: Parts { bytes, start: from, block: self.parts.block, sums } }
    }

    /// Each piece as a range of [`Self::bytes`], with its sum.
    pub fn pieces(&self) -> impl Iterator<Item = (std::ops::Range<usize>, Crc32c)> + '_ {
        grid::pieces(self.parts.block, self.start(), self.len()).zip(self.sums().iter().copied())
    }
}

fn end_of(start: ChunkOffset, len: usize) -> Option<ChunkOffset> {
    u32::try_from(len).ok().and_then(|len| start.get().checked_add(len)).map(ChunkOffset)
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("within a chunk, checked when it was made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: BlockSize = BlockSize::MIN;

    fn payload(start: u32, bytes: &[u8]) -> Payload {
        Payload::compute(Bytes::copy_from_slice(bytes), ChunkOffset(start), BLOCK).expect("fits")
    }

    fn unchecked(of: &Payload, bytes: Vec<u8>) -> Result<Unchecked, Malformed> {
        Unchecked::new(bytes.into(), of.start(), BLOCK, of.sums().to_vec())
    }

    #[test]
    fn the_first_corrupt_piece_is_named() {
        let good = payload(100, &[5; 9000]);
        let mut bytes = good.bytes().to_vec();
        bytes[4000] ^= 1;
        let error = unchecked(&good, bytes).expect("well formed").check().expect_err("corrupt");
        assert_eq!((error.start, error.len), (ChunkOffset(4096), 4096));
    }

    #[test]
    fn too_few_or_too_many_sums_are_malformed() {
        let good = payload(0, &[1; 4097]);
        for wrong in [4096, 8193, 0] {
            let malformed = unchecked(&good, vec![1; wrong]).expect_err("malformed");
            let found = check_in_place(&vec![1; wrong], good.start(), BLOCK, good.sums());
            assert_eq!(found, Err(malformed.into()));
        }
        let past = Unchecked::new(Bytes::from_static(b"ab"), ChunkOffset(u32::MAX), BLOCK, vec![]);
        assert!(past.is_err());
        assert!(Payload::compute(Bytes::from_static(b"ab"), ChunkOffset(u32::MAX), BLOCK).is_err());
    }

    proptest! {
        #[test]
        fn check_passes_only_what_was_summed(
            start in 0_u32..20_000,
            bytes in prop::collection::vec(any::<u8>(), 1..20_000),
            flip: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let good = payload(start, &bytes);
            let same = unchecked(&good, bytes.clone()).expect("well formed").check();
            let same = same.expect("unchanged");
            prop_assert_eq!(same.bytes(), &bytes);
            let check = |bytes: &[u8]| check_in_place(bytes, good.start(), BLOCK, good.sums());
            prop_assert_eq!(check(&bytes), Ok(()));
            let mut bad = bytes;
            let flip = flip.index(bad.len());
            bad[flip] ^= 1 << bit;
            let found = check(&bad).expect_err("corrupt");
            let corrupt = unchecked(&good, bad).expect("well formed").check().expect_err("corrupt");
            prop_assert_eq!(found, corrupt.into());
        }

        #[test]
        fn a_slice_has_the_sums_of_its_bytes(
            start in 0_u32..20_000,
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            cuts: (prop::sample::Index, prop::sample::Index),
        ) {
            let whole = payload(start, &bytes);
            let (a, b) = (cuts.0.index(bytes.len() + 1), cuts.1.index(bytes.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let at = |i: usize| ChunkOffset(start + u32::try_from(i).expect("small"));
            let slice = whole.slice(at(a), at(b));
            let direct = payload(at(a).get(), &bytes[a..b]);
            prop_assert_eq!(slice.sums(), direct.sums());
            prop_assert_eq!(slice.bytes(), direct.bytes());
            prop_assert_eq!(slice.whole_sum(), Crc32c::of(&bytes[a..b]));
        }
    }
}
