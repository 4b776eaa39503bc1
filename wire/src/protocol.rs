//! Which protocol versions and optional features a build speaks.
//!
//! The version grows when messages change in a way that older builds would misread, or when the table
//! of methods changes. A build speaks a range; two peers use the highest version that both have.
//! Features are bits for what either side may lack without harm; only those that both have are used.

use std::fmt;

use minicbor::{Decode, Encode};

/// Version of the message set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ProtocolVersion(#[n(0)] pub u16);

/// The versions that a build speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProtocolRange {
    /// The oldest.
    #[n(0)]
    pub oldest: ProtocolVersion,
    /// The newest.
    #[n(1)]
    pub newest: ProtocolVersion,
}

/// A set of optional features; none exist yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Features(#[n(0)] pub u64);

impl ProtocolRange {
    /// What this build speaks.
    pub const OURS: Self = Self { oldest: ProtocolVersion(1), newest: ProtocolVersion(1) };

    /// Whether `version` is one of these.
    #[must_use]
    pub fn contains(self, version: ProtocolVersion) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The highest version that both speak.
    #[must_use]
    pub fn highest_common(self, other: Self) -> Option<ProtocolVersion> {
        let highest = self.newest.min(other.newest);
        (highest >= self.oldest && highest >= other.oldest).then_some(highest)
    }
}

impl Features {
    /// What this build can do.
    pub const OURS: Self = Self(0);

    /// What both can do.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ProtocolRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest { write!(f, "{newest}") } else { write!(f, "{oldest} to {newest}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(oldest: u16, newest: u16) -> ProtocolRange {
        ProtocolRange { oldest: ProtocolVersion(oldest), newest: ProtocolVersion(newest) }
    }

    #[test]
    fn peers_meet_at_the_highest_common_version() {
        assert_eq!(range(1, 3).highest_common(range(2, 5)), Some(ProtocolVersion(3)));
        assert_eq!(range(2, 5).highest_common(range(1, 3)), Some(ProtocolVersion(3)));
        assert_eq!(range(1, 2).highest_common(range(3, 4)), None);
        assert!(
            range(1, 2).contains(ProtocolVersion(2)) && !range(1, 2).contains(ProtocolVersion(3))
        );
        assert_eq!(Features(0b110).common(Features(0b011)), Features(0b010));
    }
}
