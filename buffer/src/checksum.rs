//! CRC-32C, the checksum of every block from the writer to the reader.
//!
//! The Castagnoli polynomial (RFC 3720, appendix B.4), because processors compute it. Of the bytes
//! "123456789" it is `0xe3069283`.

use std::fmt;
use std::sync::LazyLock;

/// The CRC-32C of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Crc32c(pub u32);

impl Crc32c {
    /// The checksum of `bytes`; of none it is 0.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }

    /// The checksum of `len` zeros; remembered for the sizes of blocks.
    #[must_use]
    pub fn of_zeros(len: usize) -> Self {
        static BLOCKS: LazyLock<[(usize, Crc32c); 3]> = LazyLock::new(|| {
            [4 << 10, 16 << 10, 64 << 10].map(|len| (len, Crc32c::of(&vec![0; len])))
        });
        let known = BLOCKS.iter().find(|(known, _)| *known == len);
        known.map_or_else(|| Self::of(&vec![0; len]), |(_, sum)| *sum)
    }

    /// The checksum of these bytes with `next`, `next_len` bytes long, behind them.
    #[must_use]
    pub fn followed_by(self, next: Self, next_len: usize) -> Self {
        Self(crc32c::crc32c_combine(self.0, next.0, next_len))
    }
}

impl fmt::Display for Crc32c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_is_the_published_one() {
        assert_eq!(Crc32c::of(b"123456789"), Crc32c(0xe306_9283));
    }

    proptest! {
        #[test]
        fn parts_combine(bytes: Vec<u8>, cut: prop::sample::Index) {
            let cut = cut.index(bytes.len() + 1);
            let (head, tail) = bytes.split_at(cut);
            let combined = Crc32c::of(head).followed_by(Crc32c::of(tail), tail.len());
            prop_assert_eq!(combined, Crc32c::of(&bytes));
        }
    }
}
