//! Inodes, names and what is to be removed: every operation on the tree of files.
//!
//! ```text
//!   walk ── permission      a Place becomes an inode, by Linux's rules
//!    └─► open, node, remove, rename, set_attributes, set_layout, writer    one file for each kind of mutation
//!          └─► entry, inode, counters                            the records
//!   truncation, recovery, garbage                                what the leader must carry on
//!   query                                                        what changes nothing
//! ```
//! # For the leader
//! * [`ask`] answers a question; [`Answer::After`] says what must be finished first.
//! * [`pending_truncations`]: cut the chunk at `len`, remove those behind, then
//!   [`FinishTruncation`](crate::Body::FinishTruncation). A mutation that was blocked, or whose caller waits, is
//!   about one file: [`pending_truncation`].
//! * [`length_recoveries`]: ask the chains for the last chunk, then
//!   [`RecoverLength`](crate::Body::RecoverLength); for one file [`length_recovery`].
//! * [`garbage`]: a directory with entries is unfolded; what has none, is not open for writing and no session
//!   holds: remove its chunks, then [`FinishRemoval`](crate::Body::FinishRemoval).
//!
//! # Invariants
//! * An operation that is refused writes nothing: it works on an [`Overlay`].
//! * Each entry names an inode that is there; an inode has as many entries as links (a directory one).
//! * An inode without links is in the garbage queue, and its directory takes no names.
//! * Ids are given once.

mod counters;
mod entry;
mod garbage;
mod inode;
mod node;
mod open;
mod operation;
mod permission;
mod query;
mod recovery;
mod remove;
mod rename;
mod set_attributes;
mod set_layout;
mod stop;
mod truncation;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use emberfs_wire::FsError;
use emberfs_wire::meta::{Mutate, Mutation, MutationReply, Time};

use crate::command::{PendingTruncation, Unfinished};
use crate::transaction::{Overlay, StoreError, Transaction, View};

use open::{How, New};
use operation::{Done, Operation};
use stop::Stop;

pub use garbage::{GarbageWork, finish as finish_removal, garbage, unfold};
pub use inode::ROOT;
pub use node::found;
pub use query::{Answer, ask, inode_count};
pub use recovery::{LengthWork, finish as recover_length, length_recoveries, length_recovery};
pub use truncation::{
    TruncationWork, finish as finish_truncation, pending_truncation, pending_truncations,
};
pub use writer::{open_count, release};

/// What came of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutated {
    /// It is done, or refused without a trace.
    Settled {
        /// What to answer.
        reply: Result<MutationReply, FsError>,
        /// What the chains must do before.
        truncation: Option<PendingTruncation>,
    },
    /// Nothing was done: finish this, then do the same again.
    Blocked(Unfinished),
}

/// Carries out a mutation that was not carried out before.
///
/// # Errors
/// [`StoreError`].
pub fn mutate(
    txn: &mut dyn Transaction,
    now: Time,
    seed: u64,
    asked: &Mutate,
) -> Result<Mutated, StoreError> {
    let mut overlay = Overlay::new(&*txn);
    let (caller, client) = (&asked.caller, asked.slot.client);
    let mut operation = Operation { txn: &mut overlay, caller, client, now, seed };
    let done = carry_out(&mut operation, &asked.mutation)
        .and_then(|done| answerable(&*operation.txn, &asked.mutation, done));
    let changes = overlay.into_changes();
    let (reply, truncation) = match done {
        Ok(done) => {
            changes.apply(txn);
            (Ok(done.reply), done.truncation)
        }
        Err(Stop::Refused(why)) => (Err(why), None),
        Err(Stop::GroupsNeeded) => (Ok(MutationReply::GroupsNeeded), None),
        Err(Stop::Blocked(by)) => return Ok(Mutated::Blocked(by)),
        Err(Stop::Store(error)) => return Err(error),
    };
    Ok(Mutated::Settled { reply, truncation })
}

fn carry_out(operation: &mut Operation<'_>, mutation: &Mutation) -> Result<Done, Stop> {
    match mutation {
        Mutation::Create { parent, name, mode, exclusive, truncate, read, write, chunk_size } => {
            let new = New { mode: *mode, exclusive: *exclusive, chunk_size: *chunk_size };
            let how = How { read: *read, write: *write, truncate: *truncate };
            open::create(operation, parent, name, new, how)
        }
        Mutation::MakeNode { parent, name, mode, node } => {
            node::make(operation, parent, name, *mode, node)
        }
        Mutation::Link { file, parent, name } => node::link(operation, file, parent, name),
        Mutation::Remove { parent, name, kind } => remove::remove(operation, parent, name, *kind),
        Mutation::Rename { parent, name, new_parent, new_name, flags } => {
            rename::rename(operation, (parent, name), (new_parent, new_name), *flags)
        }
        Mutation::SetAttributes { of, follow, change } => {
            set_attributes::set(operation, of, *follow, change)
        }
        Mutation::Open { file, read, write, truncate } => {
            let how = How { read: *read, write: *write, truncate: *truncate };
            open::open(operation, file, how)
        }
        Mutation::Report { inode, handle, written, close } => {
            writer::report(operation, *inode, *handle, *written, *close)
        }
        Mutation::Reserve { inode, handle, len } => {
            writer::reserve(operation, *inode, *handle, *len)
        }
        Mutation::SetLayout { of, change } => set_layout::set(operation, of, change),
    }
}

/// What may be answered: no length that is in doubt. A report is: who wrote must be able to close its file
/// also while a chain is away.
fn answerable(view: &dyn View, mutation: &Mutation, mut done: Done) -> Result<Done, Stop> {
    let (MutationReply::Inode { attributes, .. } | MutationReply::Reserved { attributes, .. }) =
        &mut done.reply
    else {
        return Ok(done);
    };
    if done.truncation.is_some() {
        truncation::tell_ahead(view, attributes)?;
        return Ok(done);
    }
    let in_doubt = attributes.data.is_some_and(|data| !data.exact);
    if in_doubt && !matches!(mutation, Mutation::Report { .. }) {
        recovery::check_settled(view, attributes.inode)?;
    }
    Ok(done)
}
