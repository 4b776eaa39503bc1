//! What makes a retry harmless, and what will say that it is permitted.

use std::fmt;

use emberfs_layout::{ClientId, Sequence};
use minicbor::{Decode, Encode};

/// Name of one request that changes something: the session that made it and its number there. It is
/// kept beside what it changed, so that the same request is applied once however often it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Tag {
    /// The session.
    #[n(0)]
    pub client: ClientId,
    /// The request within it.
    #[n(1)]
    pub sequence: Sequence,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.client, self.sequence)
    }
}

/// Proof that the metadata server lets its holder reach some chunks. The slot is carried by every
/// chunk request; it is empty, and nobody checks it, until authentication exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Capability(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);
