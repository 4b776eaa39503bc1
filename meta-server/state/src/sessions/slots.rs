//! Slots of a session: the last reply of each is kept, so that a retry is answered by it.

use emberfs_layout::{ClientId, Sequence};
use emberfs_wire::FsError;
use emberfs_wire::meta::{MutationReply, Slot};
use minicbor::{Decode, Encode};

use super::{SLOTS, session_key};
use crate::command::PendingTruncation;
use crate::keys::{Kind, end_of, key};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record};

/// What came of a slot's last request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastReply {
    /// Its number.
    #[n(0)]
    pub sequence: Sequence,
    /// What it is answered.
    #[n(1)]
    pub reply: Result<MutationReply, FsError>,
    /// The truncation that had to be finished before, whether or not it is by now.
    #[n(2)]
    pub truncation: Option<PendingTruncation>,
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new: carry it out, then [`keep_reply`].
    New,
    /// It was carried out before: answer this.
    Again(Box<LastReply>),
    /// Do nothing and answer this: the session has ended, the slot is none, or the message is so late that
    /// its sender has gone on.
    Refused(FsError),
}

/// Whether the request with this name is to be carried out.
///
/// # Errors
/// [`StoreError`].
pub fn admit(view: &dyn View, slot: &Slot) -> Result<Admission, StoreError> {
    if slot.slot >= SLOTS || slot.sequence == Sequence::NONE {
        return Ok(Admission::Refused(FsError::InvalidArgument));
    }
    if view.get(&session_key(slot.client))?.is_none() {
        return Ok(Admission::Refused(FsError::Stale));
    }
    let Some(last) = get_record::<LastReply>(view, &slot_key(slot))? else {
        return Ok(Admission::New);
    };
    Ok(match slot.sequence.cmp(&last.sequence) {
        std::cmp::Ordering::Less => Admission::Refused(FsError::Stale),
        std::cmp::Ordering::Equal => Admission::Again(Box::new(last)),
        std::cmp::Ordering::Greater => Admission::New,
    })
}

/// Keeps the reply of a request that [`admit`] said is new, in place of the one before.
pub fn keep_reply(txn: &mut dyn Transaction, slot: &Slot, last: &LastReply) {
    debug_assert_eq!(slot.sequence, last.sequence);
    put_record(txn, &slot_key(slot), last);
}

/// Forgets the replies of a session that ends.
pub(super) fn forget(txn: &mut dyn Transaction, client: ClientId) -> Result<(), StoreError> {
    let from = key(Kind::Slot, &[&client.get().to_be_bytes()]);
    let replies = txn.scan(&from, &end_of(&from), usize::from(SLOTS))?;
    replies.iter().for_each(|(key, _)| txn.delete(key));
    Ok(())
}

fn slot_key(slot: &Slot) -> Vec<u8> {
    key(Kind::Slot, &[&slot.client.get().to_be_bytes(), &slot.slot.to_be_bytes()])
}
