//! The group's machine: the metadata of a file system.

use emberfs_meta_server_state::{Body, Command, Outcome, Schema, StoreError, Transaction};

use super::machine::{Machine, Stamp, decode};

/// Requests are [`Body`]s; what comes of them is the state crate's affair.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metadata;

impl Machine for Metadata {
    type Request = Body;
    type Outcome = Outcome;

    fn encode(&self, body: Body, Stamp { time, seed }: Stamp) -> Vec<u8> {
        let command = Command { schema: Schema::OURS, time, seed, body };
        minicbor::to_vec(command).expect("memory takes all that is written to it")
    }

    fn apply(
        &self,
        transaction: &mut dyn Transaction,
        command: &[u8],
    ) -> Result<Outcome, StoreError> {
        emberfs_meta_server_state::apply(transaction, &decode(command, "command")?)
    }
}
