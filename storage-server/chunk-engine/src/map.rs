//! Which place on the disk holds which block of a chunk.
//!
//! ```text
//!   chunk    | block 0 | block 1 | ... | block 63 | block 64 | ...        up to 1,024
//!   pieces   |------------- piece 0 --------------|-- piece 1 ...         64 blocks each
//!   block    place on the disk + CRC-32C of all its bytes; or nothing: reads as zeros
//!   run      blocks behind each other in the chunk and on the disk: how a piece is written down
//! ```
//!
//! A piece is immutable once it is made: a change makes a new one, so that a reader keeps what it began
//! with.

use emberfs_buffer::Crc32c;
use emberfs_layout::BlockSize;
use minicbor::encode::{Error, Write};
use minicbor::{Decode, Encode, Encoder};

use crate::disk::DiskOffset;

/// Blocks of a chunk in one piece of its map.
pub(crate) const PIECE_BLOCKS: u32 = 64;

/// Unit of places on the disk, in bytes: the smallest block.
pub(crate) const UNIT: u64 = BlockSize::MIN.bytes() as u64;

/// Where a block begins in the data file, in units of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct Place(#[n(0)] pub(crate) u64);

impl Place {
    /// The place of the block behind this one.
    pub(crate) const fn after(self, block: BlockSize) -> Self {
        Self(self.0 + units(block))
    }

    pub(crate) const fn offset(self) -> DiskOffset {
        DiskOffset(self.0 * UNIT)
    }
}

/// How many units a block has.
pub(crate) const fn units(block: BlockSize) -> u64 {
    block.bytes() as u64 / UNIT
}

/// A block on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) place: Place,
    /// Of the whole block: what lies behind the chunk's end in it is zeros.
    pub(crate) sum: Crc32c,
}

/// 64 blocks of a chunk's map: 768 bytes, as each block that changes makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// [`NOWHERE`] where there is no block.
    places: [Place; PIECE_BLOCKS as usize],
    /// Nothing where there is no block.
    sums: [Crc32c; PIECE_BLOCKS as usize],
}

/// No block has this place: it would end behind all files.
const NOWHERE: Place = Place(u64::MAX);

impl Piece {
    pub(crate) const EMPTY: Self =
        Self { places: [NOWHERE; PIECE_BLOCKS as usize], sums: [Crc32c(0); PIECE_BLOCKS as usize] };

    /// Which piece holds a block.
    pub(crate) const fn of(number: u32) -> u32 {
        number / PIECE_BLOCKS
    }

    /// The block of this number, counted through the chunk; the caller has the right piece.
    pub(crate) fn get(&self, number: u32) -> Option<Block> {
        let at = (number % PIECE_BLOCKS) as usize;
        let (place, sum) = (self.places[at], self.sums[at]);
        (place != NOWHERE).then_some(Block { place, sum })
    }

    pub(crate) fn set(&mut self, number: u32, block: Option<Block>) {
        let at = (number % PIECE_BLOCKS) as usize;
        let Block { place, sum } = block.unwrap_or(Block { place: NOWHERE, sum: Crc32c(0) });
        (self.places[at], self.sums[at]) = (place, sum);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.iter().all(|place| *place == NOWHERE)
    }

    /// The blocks of piece `piece` with their numbers.
    pub(crate) fn blocks(&self, piece: u32) -> impl Iterator<Item = (u32, Block)> + Clone + '_ {
        let numbers = piece * PIECE_BLOCKS..(piece + 1) * PIECE_BLOCKS;
        numbers.filter_map(|number| Some((number, self.get(number)?)))
    }
}

/// Blocks behind each other in the chunk and on the disk, as they are read.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
pub(crate) struct Run {
    /// Number of the first.
    #[n(0)]
    first: u32,
    /// Where it lies.
    #[n(1)]
    place: Place,
    /// Four bytes each, little-endian.
    #[cbor(n(2), with = "minicbor::bytes")]
    sums: Vec<u8>,
}

/// Blocks in the order of their numbers, which are written down as [`Run`]s, straight from where they are: a map that
/// was written at random has as many runs as blocks, and is written down for each block that changes.
#[derive(Clone, Debug)]
pub(crate) struct Runs<I> {
    pub(crate) blocks: I,
    pub(crate) size: BlockSize,
}

impl<I: Iterator<Item = (u32, Block)> + Clone> Runs<I> {
    /// How many blocks belong to the run with which `from` begins; `None` at the end.
    fn run(&self, mut from: I) -> Option<usize> {
        let mut last = from.next()?;
        let is_next = |found: &(u32, Block)| {
            let (number, block) = std::mem::replace(&mut last, *found);
            (number + 1, block.place.after(self.size)) == (found.0, found.1.place)
        };
        Some(1 + from.take_while(is_next).count())
    }

    /// Each run's length, and the blocks from its first on.
    fn runs(&self) -> impl Iterator<Item = (usize, I)> {
        let mut rest = self.blocks.clone();
        std::iter::from_fn(move || {
            let (len, from) = (self.run(rest.clone())?, rest.clone());
            rest.nth(len - 1);
            Some((len, from))
        })
    }
}

impl<C, I: Iterator<Item = (u32, Block)> + Clone> Encode<C> for Runs<I> {
    fn encode<W: Write>(&self, to: &mut Encoder<W>, _: &mut C) -> Result<(), Error<W::Error>> {
        to.array(self.runs().count() as u64)?;
        for (len, from) in self.runs() {
            for (i, (number, Block { place, sum })) in from.take(len).enumerate() {
                if i == 0 {
                    to.array(3)?.u32(number)?.u64(place.0)?.bytes_len(4 * len as u64)?;
                }
                to.writer_mut().write_all(&sum.0.to_le_bytes()).map_err(Error::write)?;
            }
        }
        Ok(())
    }
}

/// What [`Runs`] were written from; `None` for what it never makes: sums cut short, numbers of `limit` or more,
/// places that no file has.
pub(crate) fn blocks(runs: &[Run], size: BlockSize, limit: u32) -> Option<Vec<(u32, Block)>> {
    let mut found = Vec::new();
    for Run { first, place, sums } in runs {
        let (sums, rest) = sums.as_chunks::<4>();
        let count = u32::try_from(sums.len()).ok().filter(|_| rest.is_empty())?;
        let _numbers_fit = first.checked_add(count).filter(|end| *end <= limit)?;
        let _places_fit = place.0.checked_add(u64::from(count) * units(size))?.checked_mul(UNIT)?;
        let mut place = *place;
        for (number, sum) in (*first..).zip(sums) {
            found.push((number, Block { place, sum: Crc32c(u32::from_le_bytes(*sum)) }));
            place = place.after(size);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(blocks: &[(u32, Block)], size: BlockSize) -> Vec<Run> {
        let blocks = blocks.iter().copied();
        let written = minicbor::to_vec(Runs { blocks, size }).expect("memory takes all");
        minicbor::decode(&written).expect("as it was written")
    }

    proptest! {
        #[test]
        fn runs_hold_the_blocks(
            blocks_in in prop::collection::btree_map(0_u32..64, (0_u64..100, any::<u32>()), 0..64),
            large: bool,
        ) {
            let size = BlockSize::new(if large { 16_384 } else { 4096 }).expect("a block size");
            let of = |(number, (place, sum)): (&u32, &(u64, u32))| {
                (*number, Block { place: Place(*place * units(size)), sum: Crc32c(*sum) })
            };
            let expected: Vec<_> = blocks_in.iter().map(of).collect();
            let written = read(&expected, size);
            prop_assert_eq!(blocks(&written, size, 64), Some(expected));
        }
    }

    #[test]
    fn neighbours_share_a_run_and_nonsense_is_refused() {
        let block = |place| Block { place: Place(place), sum: Crc32c(7) };
        let three = [(3, block(10)), (4, block(11)), (5, block(13))];
        let written = read(&three, BlockSize::MIN);
        assert_eq!(written.len(), 2);
        assert_eq!(blocks(&written, BlockSize::MIN, 5), None);
        let cut = [Run { first: 0, place: Place(0), sums: vec![1; 5] }];
        assert_eq!(blocks(&cut, BlockSize::MIN, 64), None);
        let far = [Run { first: 0, place: Place(u64::MAX - 1), sums: vec![1; 4] }];
        assert_eq!(blocks(&far, BlockSize::MIN, 64), None);
    }
}
