//! Joining payloads into one buffer.
//!
//! The parts are copied once, behind each other, and their sums are combined where they share a
//! block. The sums are never computed from the copy, so a copy that went wrong does not match them:
//! the next check finds it.

use emberfs_layout::ChunkOffset;
use thiserror::Error;

use crate::{AlignedBuf, Crc32c, Payload};

/// Parts that do not make one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// There is nothing to join.
    #[error("no parts to join")]
    Empty,
    /// A part does not begin where the one before it ends.
    #[error("a part begins at {found} of the chunk, the one before it ended at {expected}")]
    Gap {
        /// Where the part before ended.
        expected: ChunkOffset,
        /// Where this one begins.
        found: ChunkOffset,
    },
    /// A part has blocks of another size.
    #[error("a part at {at} of the chunk has blocks of another size")]
    OtherBlockSize {
        /// Where that part begins.
        at: ChunkOffset,
    },
    /// The buffer is too small.
    #[error("{needed} bytes do not fit a buffer of {capacity}")]
    NoRoom {
        /// What all parts need, in bytes.
        needed: usize,
        /// What the buffer has.
        capacity: usize,
    },
}

/// Copies `parts`, in order and without gaps, to the start of `into`, and makes one payload of them.
///
/// # Errors
/// [`JoinError`] if the parts do not make one range or do not fit; nothing is copied then.
pub fn join(parts: &[Payload], mut into: AlignedBuf) -> Result<Payload, JoinError> {
    let first = parts.first().ok_or(JoinError::Empty)?;
    check_continuous(parts)?;
    let needed = parts.iter().map(Payload::len).sum();
    if needed > into.capacity() {
        return Err(JoinError::NoRoom { needed, capacity: into.capacity() });
    }
    into.set_len(needed);
    let mut at = 0;
    for part in parts {
        into[at..at + part.len()].copy_from_slice(part.bytes());
        at += part.len();
    }
    Ok(Payload::from_combined(into.freeze(), first.start(), first.block_size(), combine(parts)))
}

fn check_continuous(parts: &[Payload]) -> Result<(), JoinError> {
    for pair in parts.windows(2) {
        let (expected, found) = (pair[0].end(), pair[1].start());
        if expected != found {
            return Err(JoinError::Gap { expected, found });
        }
        if pair[0].block_size() != pair[1].block_size() {
            return Err(JoinError::OtherBlockSize { at: found });
        }
    }
    Ok(())
}

/// The sums of the joined range: a piece that begins inside a block continues the sum before it.
fn combine(parts: &[Payload]) -> Vec<Crc32c> {
    let mut sums: Vec<Crc32c> = Vec::new();
    for part in parts {
        let block = part.block_size().bytes() as usize;
        for (piece, sum) in part.pieces() {
            let at = part.start().get() as usize + piece.start;
            match sums.last_mut() {
                Some(open) if !at.is_multiple_of(block) => {
                    *open = open.followed_by(sum, piece.len());
                }
                _ => sums.push(sum),
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pool, Unchecked};
    use bytes::Bytes;
    use emberfs_layout::{BlockSize, ByteLen};
    use proptest::prelude::*;

    fn payload(start: usize, bytes: &[u8]) -> Payload {
        let start = ChunkOffset(u32::try_from(start).expect("small"));
        Payload::compute(Bytes::copy_from_slice(bytes), start, BlockSize::MIN).expect("fits")
    }

    fn buf(len: usize) -> AlignedBuf {
        Pool::new(ByteLen(1 << 20)).take(len).expect("fits")
    }

    #[test]
    fn parts_must_be_one_range_that_fits() {
        let parts = [payload(0, &[1; 10]), payload(11, &[2; 10])];
        let gap = JoinError::Gap { expected: ChunkOffset(10), found: ChunkOffset(11) };
        assert_eq!(join(&parts, buf(20)).expect_err("gap"), gap);
        assert_eq!(join(&[], buf(1)).expect_err("empty"), JoinError::Empty);
        let large = [payload(0, &[1; 5000])];
        let error = JoinError::NoRoom { needed: 5000, capacity: 4096 };
        assert_eq!(join(&large, buf(1)).expect_err("too large"), error);
    }

    #[test]
    fn parts_of_other_block_sizes_are_refused() {
        let other = BlockSize::new(16_384).expect("a block size");
        let second = Payload::compute(Bytes::from_static(b"x"), ChunkOffset(1), other);
        let parts = [payload(0, b"a"), second.expect("fits")];
        let error = JoinError::OtherBlockSize { at: ChunkOffset(1) };
        assert_eq!(join(&parts, buf(2)).expect_err("mixed"), error);
    }

    proptest! {
        #[test]
        fn joined_sums_match_joined_bytes(
            start in 0_usize..9_000,
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            mut cuts in prop::collection::vec(0_usize..20_000, 0..6),
        ) {
            cuts.iter_mut().for_each(|c| *c = (*c).min(bytes.len()));
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> =
                cuts.windows(2).map(|w| payload(start + w[0], &bytes[w[0]..w[1]])).collect();
            let joined = join(&parts, buf(bytes.len())).expect("one range");
            prop_assert_eq!(joined.bytes(), &bytes);
            let again = Unchecked::new(
                joined.bytes().clone(), joined.start(), BlockSize::MIN, joined.sums().to_vec(),
            );
            prop_assert!(again.expect("well formed").check().is_ok());
        }
    }
}
