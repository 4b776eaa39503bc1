//! Sizes of chunks, and of the blocks into which each is divided for its checksums.
//!
//! A chunk size is a power of two between 64 KiB and 64 MiB, kept as its logarithm. The block size
//! follows from it by one table, so that it needs no place in an inode or a message:
//!
//! | chunk size | block size | blocks a chunk |
//! | --- | --- | --- |
//! | 64 KiB to 1 MiB | 4 KiB | 16 to 256 |
//! | 2 MiB to 8 MiB | 16 KiB | 128 to 512 |
//! | 16 MiB to 64 MiB | 64 KiB | 256 to 1,024 |
//!
//! 4 KiB is the smallest unit of direct I/O, and so of a random read without amplification; larger
//! chunks hold streamed data, where fewer checksums make smaller records. The table is part of the
//! format: it is pinned by a test and changes only with a new layout version.

use std::fmt;

use crate::{ByteLen, ChunkIndex, ChunkOffset};

/// Size of the chunks of a file: a power of two from 64 KiB to 64 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkSize {
    log2: u8,
}

/// Size of the unit that has a checksum of its own: 4, 16 or 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize {
    log2: u8,
}

/// A size that no chunk can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSizeError {
    /// The size that was asked for, in bytes (or its logarithm, from [`ChunkSize::from_log2`]).
    pub asked: u64,
}

impl fmt::Display for ChunkSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not a chunk size: expected a power of two from 64 KiB to 64 MiB",
            self.asked
        )
    }
}

impl std::error::Error for ChunkSizeError {}

impl ChunkSize {
    /// 64 KiB.
    pub const MIN: Self = Self { log2: 16 };
    /// 64 MiB.
    pub const MAX: Self = Self { log2: 26 };
    /// 1 MiB: large enough to stream, small enough that a 110 KiB file is one request.
    pub const DEFAULT: Self = Self { log2: 20 };

    /// The chunk size of `bytes` bytes.
    ///
    /// # Errors
    /// When `bytes` is no power of two between [`Self::MIN`] and [`Self::MAX`].
    pub fn new(bytes: u64) -> Result<Self, ChunkSizeError> {
        let power = bytes.is_power_of_two();
        u8::try_from(bytes.trailing_zeros())
            .ok()
            .filter(|_| power)
            .and_then(|log2| Self::from_log2(log2).ok())
            .ok_or(ChunkSizeError { asked: bytes })
    }

    /// The inverse of [`Self::log2`], for codecs.
    ///
    /// # Errors
    /// When `log2` is not between 16 and 26.
    pub fn from_log2(log2: u8) -> Result<Self, ChunkSizeError> {
        if (Self::MIN.log2..=Self::MAX.log2).contains(&log2) {
            Ok(Self { log2 })
        } else {
            Err(ChunkSizeError { asked: u64::from(log2) })
        }
    }

    /// The logarithm to base two: what formats store.
    #[must_use]
    pub const fn log2(self) -> u8 {
        self.log2
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        1 << self.log2
    }

    /// The size of this chunk's checksum blocks (the table in the module's head).
    #[must_use]
    pub const fn block_size(self) -> BlockSize {
        match self.log2 {
            ..=20 => BlockSize { log2: 12 },
            21..=23 => BlockSize { log2: 14 },
            24.. => BlockSize { log2: 16 },
        }
    }

    /// How many blocks a full chunk has.
    #[must_use]
    pub const fn blocks(self) -> u32 {
        self.bytes() / self.block_size().bytes()
    }

    /// The largest file with such chunks: an index has 32 bits, an `off_t` 63.
    #[must_use]
    pub const fn max_file_len(self) -> ByteLen {
        let indexed = 1_u64 << (32 + self.log2);
        if indexed < ByteLen::MAX_FILE.0 { ByteLen(indexed) } else { ByteLen::MAX_FILE }
    }

    /// How many chunks a file of `len` bytes has, the last one perhaps short; `None` if `len` is
    /// past [`Self::max_file_len`].
    #[must_use]
    pub fn chunks_in(self, len: ByteLen) -> Option<u64> {
        (len <= self.max_file_len()).then(|| len.0.div_ceil(u64::from(self.bytes())))
    }

    /// The part of chunk `index` that a file of `len` bytes covers: 0 for one past its end.
    #[must_use]
    pub fn covered(self, index: ChunkIndex, len: ByteLen) -> ChunkOffset {
        let start = u64::from(index.0) << self.log2;
        let covered = len.0.saturating_sub(start).min(u64::from(self.bytes()));
        ChunkOffset(u32::try_from(covered).expect("at most one chunk, which fits 27 bits"))
    }
}

impl Default for ChunkSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for ChunkSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log2 {
            20.. => write!(f, "{} MiB", 1_u32 << (self.log2 - 20)),
            _ => write!(f, "{} KiB", 1_u32 << (self.log2 - 10)),
        }
    }
}

impl BlockSize {
    /// The smallest one, 4 KiB: the alignment that direct I/O needs.
    pub const MIN: Self = Self { log2: 12 };

    /// The block size of `bytes` bytes, if it is one that chunks use.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        match bytes {
            4_096 => Some(Self { log2: 12 }),
            16_384 => Some(Self { log2: 14 }),
            65_536 => Some(Self { log2: 16 }),
            _ => None,
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        1 << self.log2
    }

    /// The block that holds `offset`.
    #[must_use]
    pub const fn index_of(self, offset: ChunkOffset) -> u32 {
        offset.0 >> self.log2
    }

    /// The start of the block that holds `offset`.
    #[must_use]
    pub const fn round_down(self, offset: ChunkOffset) -> ChunkOffset {
        ChunkOffset(offset.0 & !(self.bytes() - 1))
    }

    /// The first block boundary at or after `offset`.
    ///
    /// # Panics
    /// When that lies past 32 bits: offsets are bounded by the largest chunk.
    #[must_use]
    pub const fn round_up(self, offset: ChunkOffset) -> ChunkOffset {
        match offset.0.checked_next_multiple_of(self.bytes()) {
            Some(end) => ChunkOffset(end),
            None => panic!("an offset in a chunk is past the largest chunk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_table_is_pinned() {
        let table: Vec<(u8, u32)> =
            (16..=26).map(|log2| (log2, ChunkSize { log2 }.block_size().bytes() / 1024)).collect();
        let golden = [
            (16, 4),
            (17, 4),
            (18, 4),
            (19, 4),
            (20, 4),
            (21, 16),
            (22, 16),
            (23, 16),
            (24, 64),
            (25, 64),
            (26, 64),
        ];
        assert_eq!(table, golden);
    }

    #[test]
    fn only_powers_of_two_in_range_are_sizes() {
        assert_eq!(ChunkSize::new(1 << 20), Ok(ChunkSize::DEFAULT));
        for bad in [0, 1, 1 << 15, 1 << 27, 3 << 16, u64::MAX] {
            assert_eq!(ChunkSize::new(bad), Err(ChunkSizeError { asked: bad }));
        }
    }

    #[test]
    fn covered_ends_with_the_file() {
        let size = ChunkSize::MIN;
        let len = ByteLen(u64::from(size.bytes()) + 5);
        let covered = [0, 1, 2].map(|i| size.covered(ChunkIndex(i), len).0);
        assert_eq!(covered, [size.bytes(), 5, 0]);
        assert_eq!(size.chunks_in(len), Some(2));
        assert_eq!(size.chunks_in(ByteLen(0)), Some(0));
    }

    #[test]
    fn the_largest_file_has_an_index_for_its_last_chunk() {
        for log2 in 16..=26 {
            let size = ChunkSize { log2 };
            let chunks = size.chunks_in(size.max_file_len()).expect("in range");
            assert!(chunks <= 1 << 32);
            assert_eq!(size.chunks_in(ByteLen(size.max_file_len().0 + 1)), None);
        }
    }

    #[test]
    fn rounding_keeps_to_the_grid() {
        let block = BlockSize::new(4096).expect("a block size");
        assert_eq!(block.round_down(ChunkOffset(4097)), ChunkOffset(4096));
        assert_eq!(block.round_up(ChunkOffset(4097)), ChunkOffset(8192));
        assert_eq!(block.round_up(ChunkOffset(4096)), ChunkOffset(4096));
        assert_eq!(block.index_of(ChunkOffset(8191)), 1);
        assert_eq!(BlockSize::new(512), None);
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(ChunkSize::MIN.to_string(), "64 KiB");
        assert_eq!(ChunkSize::MAX.to_string(), "64 MiB");
    }
}
