//! What the copies of a chunk say when they are held against each other, and against the file.

use std::mem::discriminant;

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{ByteLen, ChunkIndex, ChunkOffset, ChunkVersion, TargetId};
use emberfs_wire::cluster::PublicState;
use emberfs_wire::meta::inode::FileData;

/// One member's copy of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkCopy {
    /// Each of its blocks matches its checksum.
    Whole {
        /// Which version it is.
        version: ChunkVersion,
        /// How long it is.
        len: ChunkOffset,
        /// What tells it from others.
        digest: ChunkDigest,
    },
    /// The member has no such chunk.
    Absent,
    /// It does not match its checksums.
    Corrupt,
    /// The member does not serve, and was not asked.
    NotServing {
        /// How it stands.
        state: PublicState,
    },
    /// The member serves, and asked each time to be asked again: mostly as the chunk changed while it was read.
    Busy {
        /// What the last try said.
        last: String,
    },
    /// The member serves, as far as is known, and gave no answer.
    Silent {
        /// What the last try said.
        last: String,
    },
}

/// What is to be said of a chunk; ordered from harmless to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkFault {
    /// The copies that could be read agree; some could not be read.
    Unread,
    /// It changed all the time: nothing can be said.
    Unsettled,
    /// A copy is corrupt, is missing, or differs from the others; there are bytes to be had.
    Damaged,
    /// No copy that could be read has all that was written, or all of them are corrupt.
    Lost,
}

/// What the file has of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Bytes of the chunk that lie below the file's end.
    covered: ChunkOffset,
    /// Those of them, from the chunk's start, that were written without a gap.
    dense: ChunkOffset,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) fault: Option<ChunkFault>,
    /// Of each copy, whether it is at fault.
    pub(super) odd: Vec<bool>,
}

impl Part {
    pub(super) fn of(index: ChunkIndex, size: ByteLen, data: &FileData) -> Self {
        let chunk = data.layout.chunk_size;
        let covered = chunk.covered(index, size);
        Self { covered, dense: chunk.covered(index, data.dense_to).min(covered) }
    }
}

impl ChunkCopy {
    /// How many bytes of it were read and found to be whole.
    #[must_use]
    pub fn len(&self) -> u32 {
        if let Self::Whole { len, .. } = self { len.get() } else { 0 }
    }

    /// Whether it has no bytes that could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it has, if it answered with something: absent is version 0.
    fn answered(&self) -> Option<(ChunkVersion, ChunkOffset, ChunkDigest)> {
        match self {
            Self::Whole { version, len, digest } => Some((*version, *len, *digest)),
            Self::Absent => Some((ChunkVersion::NONE, ChunkOffset(0), ChunkDigest::EMPTY)),
            Self::Corrupt | Self::NotServing { .. } | Self::Busy { .. } | Self::Silent { .. } => {
                None
            }
        }
    }

    /// What is to be said of it if it could not be read.
    fn unread(&self) -> Option<ChunkFault> {
        match self {
            Self::NotServing { .. } | Self::Silent { .. } => Some(ChunkFault::Unread),
            Self::Busy { .. } => Some(ChunkFault::Unsettled),
            Self::Whole { .. } | Self::Absent | Self::Corrupt => None,
        }
    }

    /// Whether both say the same of the chunk: whatever the words are in which a member gave none.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other) && self.answered() == other.answered()
    }
}

/// Holds the copies against each other: what most of those have that are newest is what all should have.
/// A chunk that lies behind the end of the file is its garbage, and what is of it on which replica is no
/// fault but where a checksum says so.
pub(super) fn judge(copies: &[(TargetId, ChunkCopy)], part: Part) -> Judged {
    let answered: Vec<_> = copies.iter().filter_map(|(_, copy)| copy.answered()).collect();
    let newest = answered.iter().map(|(version, ..)| *version).max();
    let among = || answered.iter().filter(|copy| Some(copy.0) == newest);
    let votes = |copy: &(_, _, _)| among().filter(|other| *other == copy).count();
    let right = among().max_by_key(|copy| votes(copy)).copied();
    let tied = right
        .is_some_and(|right| among().any(|other| *other != right && votes(other) == votes(&right)));
    let beyond = part.covered == ChunkOffset(0);
    let is_odd = |copy: &ChunkCopy| match copy.answered() {
        None => *copy == ChunkCopy::Corrupt,
        Some(has) => !beyond && (tied || Some(has) != right),
    };
    let odd: Vec<bool> = copies.iter().map(|(_, copy)| is_odd(copy)).collect();
    let unread: Vec<_> = copies.iter().filter_map(|(_, copy)| copy.unread()).collect();
    let longest = answered.iter().map(|(_, len, _)| *len).max();
    let fault = if unread.len() == copies.len() {
        unread.into_iter().max() // nothing is known, and nothing called lost
    } else if longest.unwrap_or_default() < part.dense || (longest.is_none() && !beyond) {
        Some(ChunkFault::Lost)
    } else if odd.contains(&true) {
        Some(ChunkFault::Damaged)
    } else {
        unread.into_iter().max()
    };
    Judged { fault, odd }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part { covered: ChunkOffset(100), dense: ChunkOffset(80) };
    const BEYOND: Part = Part { covered: ChunkOffset(0), dense: ChunkOffset(0) };
    const HOLE: Part = Part { covered: ChunkOffset(100), dense: ChunkOffset(0) };

    fn whole(version: u64, len: u32, digest: u64) -> ChunkCopy {
        let (version, len) = (ChunkVersion(version), ChunkOffset(len));
        ChunkCopy::Whole { version, len, digest: ChunkDigest(digest) }
    }

    fn syncing() -> ChunkCopy {
        ChunkCopy::NotServing { state: PublicState::Syncing }
    }

    fn said(copies: &[ChunkCopy], part: Part) -> (Option<ChunkFault>, Vec<usize>) {
        let copies: Vec<_> = (1..).map(TargetId).zip(copies.iter().cloned()).collect();
        let Judged { fault, odd } = judge(&copies, part);
        (fault, (0..odd.len()).filter(|place| odd[*place]).collect())
    }

    #[test]
    fn each_case_is_told_from_the_others() {
        use ChunkFault::{Damaged, Lost, Unread, Unsettled};
        let good = || whole(3, 90, 7);
        let silent = ChunkCopy::Silent { last: "no answer".into() };
        let busy = ChunkCopy::Busy { last: "try again".into() };
        for (copies, part, fault, odd) in [
            (vec![good(), good(), good()], PART, None, vec![]),
            (vec![good(), ChunkCopy::Corrupt, good()], PART, Some(Damaged), vec![1]),
            (vec![good(), ChunkCopy::Absent, good()], PART, Some(Damaged), vec![1]),
            (vec![good(), whole(3, 90, 8), good()], PART, Some(Damaged), vec![1]),
            (vec![good(), whole(3, 90, 8)], PART, Some(Damaged), vec![0, 1]),
            (vec![whole(2, 90, 7), good(), whole(2, 90, 7)], PART, Some(Damaged), vec![0, 2]),
            (vec![good(), good(), syncing()], PART, Some(Unread), vec![]),
            (vec![good(), silent.clone(), ChunkCopy::Corrupt], PART, Some(Damaged), vec![2]),
            (vec![ChunkCopy::Absent; 3], PART, Some(Lost), vec![]),
            (vec![ChunkCopy::Corrupt; 3], PART, Some(Lost), vec![0, 1, 2]),
            (vec![whole(3, 79, 7); 3], PART, Some(Lost), vec![]),
            (vec![whole(3, 80, 7); 3], PART, None, vec![]),
            (vec![syncing(), silent.clone()], PART, Some(Unread), vec![]),
            (vec![good(), ChunkCopy::Absent], BEYOND, None, vec![]),
            (vec![good(), ChunkCopy::Corrupt], BEYOND, Some(Damaged), vec![1]),
            (vec![ChunkCopy::Corrupt; 2], BEYOND, Some(Damaged), vec![0, 1]),
            (vec![ChunkCopy::Absent; 2], HOLE, None, vec![]),
            (vec![ChunkCopy::Corrupt; 2], HOLE, Some(Lost), vec![0, 1]),
            (vec![ChunkCopy::Corrupt, syncing()], HOLE, Some(Lost), vec![0]),
            (vec![ChunkCopy::Corrupt, ChunkCopy::Absent], HOLE, Some(Damaged), vec![0]),
            (vec![busy.clone(), good(), silent.clone()], PART, Some(Unsettled), vec![]),
            (vec![busy.clone(), silent], PART, Some(Unsettled), vec![]),
            (vec![busy, ChunkCopy::Corrupt, good()], PART, Some(Damaged), vec![1]),
        ] {
            assert_eq!(said(&copies, part), (fault, odd), "{copies:?}");
        }
    }

    #[test]
    fn what_a_silent_member_says_makes_no_difference() {
        let silent = |last: &str| ChunkCopy::Silent { last: last.into() };
        assert!(silent("no answer in time").is_like(&silent("refused")));
        assert!(!silent("refused").is_like(&syncing()) && !syncing().is_like(&ChunkCopy::Absent));
        assert!(whole(3, 90, 7).is_like(&whole(3, 90, 7)));
        assert!(!whole(3, 90, 7).is_like(&whole(3, 90, 8)));
    }
}
