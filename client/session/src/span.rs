//! How a range of a file is cut into requests, and what bytes mean that did not come.

use emberfs_layout::{
    ByteLen, ChunkIndex, ChunkOffset, ChunkSize, ChunkSpan, FileOffset, SpanError, chunk_spans,
};

/// Bytes of one request: large enough to stream, small enough that several are on their way and that a
/// server's memory is shared fairly. A multiple of every block size.
pub const PART_MAX: u32 = 4 << 20;

/// Cuts a range at chunk boundaries, and larger chunks every [`PART_MAX`].
///
/// # Errors
/// When the range reaches past the largest file of this chunk size.
pub fn parts(
    size: ChunkSize,
    offset: FileOffset,
    len: ByteLen,
) -> Result<impl Iterator<Item = ChunkSpan> + Clone, SpanError> {
    Ok(chunk_spans(size, offset, len)?.flat_map(|span| {
        let mut done = 0;
        std::iter::from_fn(move || {
            let start = span.start.get() + done;
            let len = (span.len - done).min(PART_MAX - start % PART_MAX);
            let at = ByteLen(span.at.get() + u64::from(done));
            let part = ChunkSpan { index: span.index, start: ChunkOffset(start), len, at };
            done += len;
            (len > 0).then_some(part)
        })
    }))
}

/// What bytes are that a chunk does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is missing.
    None,
    /// They were never written: zeros.
    Zeros,
    /// They were written: this replica lost them.
    Lost,
}

/// Judges a part of which the first `have` bytes came. Up to `dense_to` every byte of the file was written.
#[must_use]
pub fn missing(size: ChunkSize, part: &ChunkSpan, have: u32, dense_to: ByteLen) -> Missing {
    if have >= part.len {
        return Missing::None;
    }
    let first = file_offset(size, part.index, part.start).get() + u64::from(have);
    if first < dense_to.get() { Missing::Lost } else { Missing::Zeros }
}

/// Where in the file a place of a chunk is.
#[must_use]
pub fn file_offset(size: ChunkSize, index: ChunkIndex, at: ChunkOffset) -> FileOffset {
    FileOffset((u64::from(index.get()) << size.log2()) + u64::from(at.get()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_tile_the_range(log2 in 16_u8..=26, offset in 0_u64..1 << 40, len in 0_u64..1 << 28) {
            let size = ChunkSize::from_log2(log2).expect("in range");
            let mut at = 0;
            for part in parts(size, FileOffset(offset), ByteLen(len)).expect("in range") {
                prop_assert!(part.len > 0 && part.len <= PART_MAX);
                prop_assert!(part.start.get() + part.len <= size.bytes());
                prop_assert_eq!(part.at, ByteLen(at));
                prop_assert_eq!(file_offset(size, part.index, part.start), FileOffset(offset + at));
                at += u64::from(part.len);
            }
            prop_assert_eq!(at, len);
        }
    }

    #[test]
    fn what_is_missing_is_a_hole_only_above_the_dense_part() {
        let size = ChunkSize::MIN;
        let (start, at) = (ChunkOffset(100), ByteLen(0));
        let part = ChunkSpan { index: ChunkIndex(2), start, len: 50, at };
        let first = 2 * 65_536 + 100;
        let judged = |have, dense_to| missing(size, &part, have, ByteLen(dense_to));
        assert_eq!(judged(50, u64::MAX), Missing::None);
        assert_eq!(judged(0, first), Missing::Zeros);
        assert_eq!(judged(0, first + 1), Missing::Lost);
        assert_eq!(judged(49, first + 49), Missing::Zeros);
        assert_eq!(judged(49, first + 50), Missing::Lost);
    }

    #[test]
    fn a_range_past_the_largest_file_is_refused() {
        assert!(parts(ChunkSize::MIN, FileOffset(u64::MAX - 1), ByteLen(1)).is_err());
        assert_eq!(PART_MAX % ChunkSize::MAX.block_size().bytes(), 0);
    }
}
