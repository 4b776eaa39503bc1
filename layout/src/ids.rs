//! One newtype for each id, so that no bare integer stands in a signature.
//!
//! Ids are assigned by the metadata leader and are never reused, with exceptions that are drawn at random:
//! [`ClusterId`] and [`DiskId`], because they are needed before any leader can be asked, and [`KernelId`],
//! which a machine's kernel draws.

use std::fmt;

use minicbor::{Decode, Encode};

/// Declares an id over an unsigned integer: transparent, ordered, shown in decimal after a prefix.
macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident($repr:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[repr(transparent)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $repr);

        impl $name {
            /// The bare number, for codecs and keys.
            #[must_use]
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

/// Declares a random 128-bit id, shown as 32 hexadecimal digits and parsed from them.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub u128);

        impl $name {
            /// The bare number, for codecs and keys.
            #[must_use]
            pub const fn get(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match u128::from_str_radix(text, 16) {
                    Ok(id) if hex => Ok(Self(id)),
                    _ => Err(ParseIdError { text: text.to_owned() }),
                }
            }
        }
    };
}

/// A random id is written as exactly 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError {
    /// What was given instead.
    pub text: String,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an id: expected 32 hexadecimal digits", self.text)
    }
}

impl std::error::Error for ParseIdError {}

random_id! {
    /// A cluster, drawn at random by `emberfs cluster init`. Every peer and disk is checked for it.
    ClusterId
}
random_id! {
    /// A disk, drawn at random by `emberfs disk format` and written on it.
    DiskId
}
random_id! {
    /// One start of a machine's kernel, drawn at random by that kernel.
    KernelId
}
numeric_id! {
    /// A server process's place in the cluster: a storage or a metadata node, across restarts.
    NodeId(u32), "node-"
}
numeric_id! {
    /// One replica's home: a part of one disk that belongs to at most one chain.
    TargetId(u32), "target-"
}
numeric_id! {
    /// A list of targets that hold the same chunks, head first.
    ChainId(u32), "chain-"
}
numeric_id! {
    /// A table of chains over which files are striped.
    TableId(u32), "table-"
}
numeric_id! {
    /// A file, directory or other node of the namespace. The top 16 bits name the metadata group
    /// that owns it (0 today).
    InodeId(u64), "inode-"
}
numeric_id! {
    /// The bytes of a file, as chunks know them. It stands in the inode and is never reused, so that
    /// a clone or a new layout can swap it and a late message never hits a stranger.
    DataId(u64), "data-"
}
numeric_id! {
    /// A client session. A client that lost its session gets a new one, never its old number.
    ClientId(u64), "client-"
}
numeric_id! {
    /// Position of a chunk in its file, counted from 0.
    ChunkIndex(u32), ""
}

impl InodeId {
    /// The root directory; 0 is nobody's.
    pub const ROOT: Self = Self(1);

    /// The metadata group that owns this inode.
    #[must_use]
    pub const fn group(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// A chunk: one fixed-size piece of a file's data.
///
/// ```text
///   byte  0        8        12       16
///         | data id | index  | zero   |     big-endian, so that keys sort by file, then position
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ChunkId {
    /// Whose bytes.
    #[n(0)]
    pub data: DataId,
    /// Which piece of them.
    #[n(1)]
    pub index: ChunkIndex,
}

impl ChunkId {
    /// Length of [`Self::to_bytes`].
    pub const BYTES: usize = 16;

    /// The chunk at `index` of `data`.
    #[must_use]
    pub const fn new(data: DataId, index: ChunkIndex) -> Self {
        Self { data, index }
    }

    /// As bytes. The keys of a disk's records have the first twelve: the others are zero today.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.data.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.index.0.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` if the reserved bytes are not zero: such an id was
    /// made by a newer version that gave them a meaning.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [data @ .., i0, i1, i2, i3, r0, r1, r2, r3] = bytes;
        let index = u32::from_be_bytes([i0, i1, i2, i3]);
        let unreserved = [r0, r1, r2, r3] == [0; 4];
        unreserved.then(|| Self::new(DataId(u64::from_be_bytes(data)), ChunkIndex(index)))
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.data, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn chunk_id_bytes_are_pinned() {
        let id = ChunkId::new(DataId(0x0102_0304_0506_0708), ChunkIndex(0x090a_0b0c));
        let golden = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0];
        assert_eq!(id.to_bytes(), golden);
    }

    #[test]
    fn reserved_bytes_must_be_zero() {
        let mut bytes = ChunkId::new(DataId(7), ChunkIndex(9)).to_bytes();
        bytes[15] = 1;
        assert_eq!(ChunkId::from_bytes(bytes), None);
    }

    #[test]
    fn random_ids_parse_what_they_print() {
        let id = ClusterId(0x00ab_cdef);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in
            ["", "ab", "+0000000000000000000000000000001", "g0000000000000000000000000000000"]
        {
            assert!(bad.parse::<ClusterId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn chunk_id_bytes_round_trip_and_sort_like_ids(a: (u64, u32), b: (u64, u32)) {
            let a = ChunkId::new(DataId(a.0), ChunkIndex(a.1));
            let b = ChunkId::new(DataId(b.0), ChunkIndex(b.1));
            prop_assert_eq!(ChunkId::from_bytes(a.to_bytes()), Some(a));
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
        }
    }
}
