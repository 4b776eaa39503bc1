//! A fingerprint of a whole chunk that follows its changes at the cost of the changed blocks.
//!
//! ```text
//!   digest = Σ over the chunk's blocks that are not all zeros:
//!                mix(block's number · 2³² + CRC-32C of the whole block)        mod 2⁶⁴
//!            + mix(not the chunk's length)
//! ```
//!
//! A block's sum is over all of it: what lies behind the chunk's end in its last block is zeros. A block
//! of zeros counts as one that was never written, as it reads the same. So two replicas have the same
//! digest if and, but for one chance in 2⁶⁴ and what CRC-32C itself cannot tell, only if they read the
//! same. A change takes out the old blocks' terms and puts in the new ones'.
//!
//! `mix` is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
//! generators, 2014): a bijection, so that no two blocks have the same term.

use std::fmt;

use emberfs_layout::{BlockSize, ChunkOffset};
use minicbor::{Decode, Encode};

use crate::Crc32c;

/// Fingerprint of a chunk's length and bytes; 0 for one that is absent or empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ChunkDigest(#[n(0)] pub u64);

impl ChunkDigest {
    /// Of no bytes.
    pub const EMPTY: Self = Self(0);

    /// With block `number` (from 0) of this checksum put in.
    #[must_use]
    pub fn with(self, number: u32, sum: Crc32c, block: BlockSize) -> Self {
        Self(self.0.wrapping_add(term(number, sum, block)))
    }

    /// With block `number` of this checksum taken out.
    #[must_use]
    pub fn without(self, number: u32, sum: Crc32c, block: BlockSize) -> Self {
        Self(self.0.wrapping_sub(term(number, sum, block)))
    }

    /// With the chunk's length changed from `old` to `new`.
    #[must_use]
    pub const fn resized(self, old: ChunkOffset, new: ChunkOffset) -> Self {
        Self(self.0.wrapping_sub(length_term(old)).wrapping_add(length_term(new)))
    }
}

fn term(number: u32, sum: Crc32c, block: BlockSize) -> u64 {
    if sum == Crc32c::of_zeros(block.bytes() as usize) {
        return 0;
    }
    mix(u64::from(number) << 32 | u64::from(sum.0))
}

/// Zero for length zero, so that nothing has the digest of nothing.
const fn length_term(len: ChunkOffset) -> u64 {
    if len.0 == 0 { 0 } else { mix(!(len.0 as u64)) }
}

const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl fmt::Display for ChunkDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: BlockSize = BlockSize::MIN;

    #[test]
    fn the_function_is_pinned() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf, "SplitMix64 of seed 0, first output");
        let one = ChunkDigest::EMPTY.with(3, Crc32c(7), BLOCK);
        assert_eq!(one, ChunkDigest(mix(3 << 32 | 7)));
        let sized = ChunkDigest::EMPTY.resized(ChunkOffset(0), ChunkOffset(5));
        assert_eq!(sized, ChunkDigest(mix(!5)));
    }

    #[test]
    fn zeros_count_as_never_written() {
        for block in
            [4096, 16_384, 65_536].map(|bytes| BlockSize::new(bytes).expect("one of three"))
        {
            let zeros = Crc32c::of(&vec![0; block.bytes() as usize]);
            assert_eq!(ChunkDigest::EMPTY.with(9, zeros, block), ChunkDigest::EMPTY);
        }
    }

    proptest! {
        #[test]
        fn the_order_of_changes_is_forgotten(sums in prop::collection::vec(any::<u32>(), 1..20)) {
            let number = |i: usize| u32::try_from(i).expect("few");
            let there = sums.iter().enumerate().fold(ChunkDigest::EMPTY, |digest, (i, sum)| {
                digest.with(number(i), Crc32c(*sum), BLOCK)
            });
            let (old, new) = (Crc32c(sums[0]), Crc32c(!sums[0]));
            let changed = there.without(0, old, BLOCK).with(0, new, BLOCK);
            prop_assert_ne!(changed, there);
            prop_assert_eq!(changed.without(0, new, BLOCK).with(0, old, BLOCK), there);
            let cut = there.resized(ChunkOffset(9), ChunkOffset(7));
            prop_assert_eq!(cut.resized(ChunkOffset(7), ChunkOffset(9)), there);
        }
    }
}
