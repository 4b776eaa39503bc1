//! For how long leaders lease to storage servers: what whoever leads next must wait for.
//!
//! A leader grants by its own configuration. Before it grants by more than is recorded, the record says so; before the
//! record says less, all that was granted by more has ended. So the record is never less than what may be under way.

use minicbor::{Decode, Encode};

use crate::keys::{Kind, key};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record};

/// The longest lease that may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct LeaseRecord {
    /// T, in milliseconds: a server is granted half of it.
    #[n(0)]
    ms: u32,
}

/// The longest lease by which a leader may have granted, in milliseconds; `None`: no leader has recorded any.
///
/// # Errors
/// [`StoreError`].
pub fn lease_ms(view: &dyn View) -> Result<Option<u32>, StoreError> {
    Ok(get_record::<LeaseRecord>(view, &lease_key())?.map(|record| record.ms))
}

/// Records the lease of a leader that begins, if none as long is recorded.
///
/// # Errors
/// [`StoreError`].
pub fn raise_lease(txn: &mut dyn Transaction, ms: u32) -> Result<(), StoreError> {
    if lease_ms(&*txn)?.is_none_or(|recorded| recorded < ms) {
        set_lease(txn, ms);
    }
    Ok(())
}

/// Records the lease of a leader that has waited for all longer ones.
pub fn set_lease(txn: &mut dyn Transaction, ms: u32) {
    put_record(txn, &lease_key(), &LeaseRecord { ms });
}

fn lease_key() -> Vec<u8> {
    key(Kind::Cluster, &[b"lease"])
}
