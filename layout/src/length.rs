//! Byte lengths and offsets: in a file (64 bits) and in a chunk (32 bits).

use std::fmt;

use minicbor::{Decode, Encode};

/// A number of bytes of a file: its length, or of a range of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(transparent)]
#[cbor(transparent)]
pub struct ByteLen(#[n(0)] pub u64);

/// A position in a file, in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(transparent)]
#[cbor(transparent)]
pub struct FileOffset(#[n(0)] pub u64);

/// A position in a chunk, in bytes from its start; also the length of a part of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(transparent)]
#[cbor(transparent)]
pub struct ChunkOffset(#[n(0)] pub u32);

impl ByteLen {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// The largest file: what an `off_t` can address. A chunk size may set a lower one
    /// ([`ChunkSize::max_file_len`](crate::ChunkSize::max_file_len)).
    pub const MAX_FILE: Self = Self(i64::MAX as u64);

    /// The bare number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FileOffset {
    /// The bare number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The end of a range of `len` bytes that starts here; `None` past the end of 64 bits.
    #[must_use]
    pub const fn checked_add(self, len: ByteLen) -> Option<Self> {
        match self.0.checked_add(len.0) {
            Some(end) => Some(Self(end)),
            None => None,
        }
    }
}

impl ChunkOffset {
    /// The bare number of bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ByteLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ChunkOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_range_does_not_wrap() {
        assert_eq!(FileOffset(3).checked_add(ByteLen(4)), Some(FileOffset(7)));
        assert_eq!(FileOffset(u64::MAX).checked_add(ByteLen(1)), None);
    }
}
