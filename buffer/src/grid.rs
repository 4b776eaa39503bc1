//! The pieces into which a chunk's block grid cuts a range of it.
//!
//! ```text
//!   blocks   |--------|--------|--------|
//!   range         [============]
//!   pieces        [---|--------]           one checksum each: 2
//! ```

use std::ops::Range;

use emberfs_layout::{BlockSize, ChunkOffset};

/// How many pieces a range of `len` bytes from `start` has.
#[must_use]
pub fn piece_count(block: BlockSize, start: ChunkOffset, len: usize) -> usize {
    let into = inside(block, start);
    if len == 0 { 0 } else { (into + len).div_ceil(block.bytes() as usize) }
}

/// The pieces, as byte ranges counted from `start`.
pub fn pieces(
    block: BlockSize,
    start: ChunkOffset,
    len: usize,
) -> impl Iterator<Item = Range<usize>> + Clone {
    let (into, size) = (inside(block, start), block.bytes() as usize);
    (0..piece_count(block, start, len)).map(move |i| {
        let begin = (i * size).saturating_sub(into);
        begin..((i + 1) * size - into).min(len)
    })
}

/// How far inside its block `start` lies.
fn inside(block: BlockSize, start: ChunkOffset) -> usize {
    (start.get() % block.bytes()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_is_cut_at_block_boundaries() {
        let block = BlockSize::MIN;
        let cut: Vec<_> = pieces(block, ChunkOffset(4000), 4200).collect();
        assert_eq!(cut, [0..96, 96..4192, 4192..4200]);
        assert_eq!(pieces(block, ChunkOffset(5), 0).count(), 0);
        assert!(pieces(block, ChunkOffset(8192), 4096).eq(std::iter::once(0..4096)));
    }

    proptest! {
        #[test]
        fn pieces_tile_the_range_and_lie_in_one_block(start in 0_u32..1 << 26, len in 0_usize..1 << 18) {
            let block = BlockSize::MIN;
            let mut at = 0;
            for piece in pieces(block, ChunkOffset(start), len) {
                prop_assert!(piece.start == at && piece.end > piece.start);
                let first = (start as usize + piece.start) / 4096;
                let last = (start as usize + piece.end - 1) / 4096;
                prop_assert_eq!(first, last);
                at = piece.end;
            }
            prop_assert_eq!(at, len);
        }
    }
}
