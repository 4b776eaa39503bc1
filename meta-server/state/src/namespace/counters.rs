//! Fresh ids: counters in one record, so that making a file reads and writes it once. Nothing is ever
//! used again.

use emberfs_layout::{DataId, InodeId, Sequence};
use minicbor::{Decode, Encode};

use crate::keys::{Kind, key};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record};

use super::inode::ROOT;

/// Value of [`Kind::Cluster`] at `namespace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Counters {
    /// The last inode id given.
    #[n(0)]
    pub(super) inode: InodeId,
    /// The last data id given.
    #[n(1)]
    pub(super) data: DataId,
    /// The last place in the garbage queue given.
    #[n(2)]
    pub(super) garbage: Sequence,
    /// The last round of asking chains for a length or a cut.
    #[n(3)]
    pub(super) round: Sequence,
    /// How many inodes there are, also those that are being removed.
    #[n(4)]
    pub(super) inodes: u64,
}

impl Default for Counters {
    fn default() -> Self {
        let none = Sequence::NONE;
        Self { inode: ROOT, data: DataId(0), garbage: none, round: none, inodes: 0 }
    }
}

fn counters_key() -> Vec<u8> {
    key(Kind::Cluster, &[b"namespace"])
}

pub(super) fn counters(view: &dyn View) -> Result<Counters, StoreError> {
    Ok(get_record(view, &counters_key())?.unwrap_or_default())
}

/// Changes the counters and gives them as they are then.
pub(super) fn count(
    txn: &mut dyn Transaction,
    change: impl FnOnce(&mut Counters),
) -> Result<Counters, StoreError> {
    let mut counters = counters(txn)?;
    change(&mut counters);
    put_record(txn, &counters_key(), &counters);
    Ok(counters)
}
