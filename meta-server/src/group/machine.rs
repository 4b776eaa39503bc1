//! What the group replicates, as it sees it: requests that become bytes, bytes that become outcomes.

use emberfs_meta_server_state::{StoreError, Transaction};
use emberfs_wire::meta::Time;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// What the leader adds to a request, so that every member gets the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The leader's time; it never goes back.
    pub time: Time,
    /// Randomness.
    pub seed: u64,
}

/// A state machine over the store.
pub trait Machine: Send + Sync + 'static {
    /// What a caller asks for.
    type Request: Send + 'static;
    /// What comes of it.
    type Outcome: Send + 'static;

    /// The command that carries out a request.
    fn encode(&self, request: Self::Request, stamp: Stamp) -> Vec<u8>;

    /// Carries a command out; the same on every member.
    ///
    /// # Errors
    /// [`StoreError`]: the member stops.
    fn apply(
        &self,
        transaction: &mut dyn Transaction,
        command: &[u8],
    ) -> Result<Self::Outcome, StoreError>;
}

/// The data of one entry: commands that share it and its sync.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Batch {
    /// The latest time in the commands.
    #[n(0)]
    pub(super) time: Time,
    #[n(1)]
    pub(super) commands: Vec<ByteVec>,
}

pub(super) fn decode<'b, T: Decode<'b, ()>>(
    bytes: &'b [u8],
    what: &'static str,
) -> Result<T, StoreError> {
    let damaged = |error: minicbor::decode::Error| {
        let (key, text) = (b"log".to_vec(), error.to_string());
        StoreError::Damaged { what, key, text }
    };
    minicbor::decode(bytes).map_err(damaged)
}
