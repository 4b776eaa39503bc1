//! One newtype for each version and counter. All start at 0, "none yet", and only ever grow.

use std::fmt;

use minicbor::{Decode, Encode};

/// Declares a counter that only grows.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[repr(transparent)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $repr);

        impl $name {
            /// Before the first one.
            pub const NONE: Self = Self(0);

            /// The bare number, for codecs and keys.
            #[must_use]
            pub const fn get(self) -> $repr {
                self.0
            }

            /// The one after this.
            ///
            /// # Panics
            /// When the counter is exhausted, which no cluster lives to see.
            #[must_use]
            pub const fn next(self) -> Self {
                match self.0.checked_add(1) {
                    Some(next) => Self(next),
                    None => panic!("a version counter is exhausted"),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter! {
    /// Version of one chunk: grows by one with each write, truncation or removal that its chain
    /// orders.
    ChunkVersion(u64)
}
counter! {
    /// Version of one chain: grows with each change of its members or their states. Messages between
    /// replicas carry it, and one of another version is refused.
    ChainVersion(u64)
}
counter! {
    /// Version of one chain table: grows when chains are added.
    TableVersion(u32)
}
counter! {
    /// Version of all that says where data lives: grows with each change of a node, disk, chain or table.
    RoutingVersion(u64)
}
counter! {
    /// Version of an inode: grows with each change of its attributes, bytes or entries. Caches are keyed
    /// by it.
    ChangeNumber(u64)
}
counter! {
    /// Start of one server process: a restarted server is a new one to its cluster.
    BootNumber(u64)
}
counter! {
    /// Number of a request within its session. With the session it is the tag that makes a retry
    /// harmless.
    Sequence(u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_one_more_and_greater() {
        assert_eq!(ChunkVersion::NONE.next(), ChunkVersion(1));
        assert!(ChainVersion(4).next() > ChainVersion(4));
    }
}
