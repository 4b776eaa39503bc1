//! Which pieces of which chunks a byte range of a file touches.

use std::fmt;

use crate::{ByteLen, ChunkIndex, ChunkOffset, ChunkSize, FileOffset};

/// A part of one chunk, and where it lies in the range it was cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    /// Which chunk.
    pub index: ChunkIndex,
    /// Where in the chunk the part begins.
    pub start: ChunkOffset,
    /// How many bytes, at least one, never past the chunk's end.
    pub len: u32,
    /// Where in the caller's range the part begins.
    pub at: ByteLen,
}

/// A range that reaches past the largest file its chunk size allows: EFBIG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanError {
    /// Where the range began.
    pub offset: FileOffset,
    /// How long it was.
    pub len: ByteLen,
    /// The largest file.
    pub max: ByteLen,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, len, max } = self;
        write!(f, "{len} at offset {offset} reach past the largest file, {max}")
    }
}

impl std::error::Error for SpanError {}

/// Cuts the range of `len` bytes at `offset` at chunk boundaries, in order; an empty range gives
/// nothing.
///
/// # Errors
/// When the range ends past [`ChunkSize::max_file_len`].
pub fn chunk_spans(
    size: ChunkSize,
    offset: FileOffset,
    len: ByteLen,
) -> Result<impl Iterator<Item = ChunkSpan> + Clone, SpanError> {
    let max = size.max_file_len();
    let end = offset.checked_add(len).filter(|end| end.0 <= max.0).ok_or(SpanError {
        offset,
        len,
        max,
    })?;
    let mut next = offset.0;
    Ok(std::iter::from_fn(move || {
        let rest = end.0 - next;
        (rest > 0).then(|| {
            let start = next & u64::from(size.bytes() - 1);
            let part = rest.min(u64::from(size.bytes()) - start);
            let span = ChunkSpan {
                index: ChunkIndex(narrow(next >> size.log2())),
                start: ChunkOffset(narrow(start)),
                len: narrow(part),
                at: ByteLen(next - offset.0),
            };
            next += part;
            span
        })
    }))
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).expect("bounded by the largest file and the largest chunk")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_over_three_chunks() {
        let size = ChunkSize::MIN;
        let bytes = u64::from(size.bytes());
        let spans: Vec<_> = chunk_spans(size, FileOffset(bytes - 1), ByteLen(bytes + 2))
            .expect("in range")
            .map(|s| (s.index.0, s.start.0, s.len, s.at.0))
            .collect();
        let golden = [(0, size.bytes() - 1, 1, 0), (1, 0, size.bytes(), 1), (2, 0, 1, bytes + 1)];
        assert_eq!(spans, golden);
    }

    #[test]
    fn past_the_largest_file_is_refused() {
        let size = ChunkSize::MIN;
        let max = size.max_file_len();
        assert!(chunk_spans(size, FileOffset(max.0 - 1), ByteLen(1)).is_ok());
        assert!(chunk_spans(size, FileOffset(max.0 - 1), ByteLen(2)).is_err());
        assert!(chunk_spans(size, FileOffset(u64::MAX), ByteLen(1)).is_err());
        assert_eq!(chunk_spans(size, FileOffset(0), ByteLen(0)).expect("empty").count(), 0);
    }

    proptest! {
        #[test]
        fn spans_tile_the_range(log2 in 16_u8..=26, offset in 0_u64..1 << 44, len in 0_u64..1 << 29) {
            let size = ChunkSize::from_log2(log2).expect("in range");
            let mut at = 0;
            for span in chunk_spans(size, FileOffset(offset), ByteLen(len)).expect("in range") {
                prop_assert!(span.len > 0 && span.start.0 + span.len <= size.bytes());
                prop_assert_eq!(span.at.0, at);
                let begin = (u64::from(span.index.0) << log2) + u64::from(span.start.0);
                prop_assert_eq!(begin, offset + at);
                at += u64::from(span.len);
            }
            prop_assert_eq!(at, len);
        }
    }
}
