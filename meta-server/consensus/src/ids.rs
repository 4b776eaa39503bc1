//! The nouns of the group's log: members, terms, indexes, times.

use std::fmt;

use minicbor::{Decode, Encode};

/// Declares a newtype over u64 of which 0 is "none yet".
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub u64);

        impl $name {
            /// None, or before the first one.
            pub const NONE: Self = Self(0);

            /// The bare number, for codecs and keys.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// Names one member of the metadata group; 0 is nobody.
    MemberId
}
number! {
    /// A term of leadership: at most one member leads in each.
    Term
}
number! {
    /// A place in the log; the first entry stands at 1.
    Index
}

impl Index {
    /// The place behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place in the log and the term of what stands there: equal positions hold equal entries, on every
/// member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Position {
    /// Where.
    #[n(0)]
    pub index: Index,
    /// Of which term.
    #[n(1)]
    pub term: Term,
}

/// Milliseconds of a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// This much later.
    #[must_use]
    pub const fn after(self, by: Self) -> Self {
        Self(self.0 + by.0)
    }
}

/// Names a proposal to whoever made it; the caller chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// Names a question for confirmation; the caller chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfirmId(pub u64);
