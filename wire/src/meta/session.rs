//! Client sessions: who is there, what makes a retry harmless, what a client still holds.
//!
//! A session is opened before anything is changed, renewed while its client lives, and ended by it or by
//! the leader when it was silent for too long. Its number is never used again.

use emberfs_layout::{ChainId, ClientId, InodeId, Sequence};
use minicbor::{Decode, Encode};

use crate::codec::list;
use crate::limits::{ENTRIES_PAGE_MAX, OPEN_CHAINS_MAX};

/// Names one open file of a session, chosen by the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct HandleId(#[n(0)] pub u64);

/// Makes a retry of a mutation harmless. A session has a few slots, each for one request at a time; the
/// last reply of each is kept, and given again when the same sequence number comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Slot {
    /// The session.
    #[n(0)]
    pub client: ClientId,
    /// Which of its slots, below [`OpenSessionReply::slots`].
    #[n(1)]
    pub slot: u16,
    /// Number of the request in this slot, from 1, one more each time.
    #[n(2)]
    pub sequence: Sequence,
}

/// Opens a session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OpenSession {
    /// Drawn at random by the client: the same request sent again opens the same session.
    #[n(0)]
    pub start: u64,
    /// The client's machine, for people.
    #[n(1)]
    pub host: String,
    /// What the client is, for people: a mount and its path, a program's name.
    #[n(2)]
    pub what: String,
}

/// Answers [`OpenSession`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OpenSessionReply {
    /// The session.
    #[n(0)]
    pub client: ClientId,
    /// How many mutations it may have under way.
    #[n(1)]
    pub slots: u16,
    /// After how long without a sign of life it is ended, in milliseconds.
    #[n(2)]
    pub lease_ms: u32,
}

/// A session's sign of life, with its low-water marks: for servers that hear of none while it writes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RenewSession {
    /// The session.
    #[n(0)]
    pub client: ClientId,
    /// The mark of all chains but those of [`Self::open`].
    #[n(1)]
    pub others: Sequence,
    /// Chains to which it has writes under way, those with the lowest marks: no other waits for what is open to them.
    #[cbor(n(2), decode_with = "list::<OPEN_CHAINS_MAX, _, _>")]
    pub open: Vec<OpenChain>,
}

/// A chain to which a session has writes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OpenChain {
    /// Which chain.
    #[n(0)]
    pub chain: ChainId,
    /// Its mark, which is the first of them.
    #[n(1)]
    pub low_water: Sequence,
}

impl RenewSession {
    /// The mark of a chain: the session's writes to it below this are settled.
    #[must_use]
    pub fn low_water(&self, chain: ChainId) -> Sequence {
        let open = self.open.iter().find(|open| open.chain == chain);
        open.map_or(self.others, |open| open.low_water)
    }
}

/// Answers [`RenewSession`]. A session that was ended gets
/// [`FsError::Stale`](crate::FsError::Stale) instead: its client opens a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RenewSessionReply {
    /// As in [`OpenSessionReply`].
    #[n(0)]
    pub lease_ms: u32,
}

/// Ends a session: all that it wrote was reported. Answered like a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EndSession {
    /// The session.
    #[n(0)]
    pub client: ClientId,
}

/// The leader asks a client which of these removed inodes it still has open.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskHeld {
    /// The inodes.
    #[cbor(n(0), decode_with = "list::<ENTRIES_PAGE_MAX, _, _>")]
    pub inodes: Vec<InodeId>,
}

/// Answers [`AskHeld`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskHeldReply {
    /// Those of them that are open.
    #[cbor(n(0), decode_with = "list::<ENTRIES_PAGE_MAX, _, _>")]
    pub held: Vec<InodeId>,
}
