//! Orders of an operator: each is carried out once, and answered again as it was before.

use emberfs_layout::{DiskId, TableId};
use emberfs_wire::cluster::AdministerReply;
use minicbor::{Decode, Encode};

use super::disks;
use super::refusal::{Refusal, Stop};
use super::tables;
use crate::keys::{Kind, key};
use crate::transaction::{StoreError, Transaction, View, damaged, get_record, put_record};

/// Orders that are remembered: more than operators give while one is sent again.
pub const ORDERS_KEPT: usize = 256;

/// What came of an order, also of one that was refused: its operator has been told so.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Done {
    #[n(0)]
    DiskAdded(#[n(0)] DiskId),
    #[n(1)]
    TableCreated(#[n(0)] TableId),
    #[n(2)]
    Refused(#[n(0)] String),
}

/// What a remembered order is answered, so that the leader need not plan it again.
///
/// # Errors
/// [`StoreError`].
pub fn order(view: &dyn View, order_id: u64) -> Result<Option<AdministerReply>, StoreError> {
    let key = order_key(order_id);
    let Some(done) = get_record::<Done>(view, &key)? else { return Ok(None) };
    let gone = || damaged::<Done>(&key, "what the order made is gone");
    Ok(Some(match done {
        Done::DiskAdded(id) => AdministerReply::DiskAdded(disks::disk(view, id)?.ok_or_else(gone)?),
        Done::TableCreated(id) => {
            AdministerReply::TableCreated(tables::table(view, id)?.ok_or_else(gone)?)
        }
        Done::Refused(text) => AdministerReply::Refused { text },
    }))
}

/// Carries an order out, unless it was before.
pub(super) fn once(
    txn: &mut dyn Transaction,
    order_id: u64,
    carry_out: impl FnOnce(&mut dyn Transaction) -> Result<Done, Stop>,
) -> Result<AdministerReply, StoreError> {
    if let Some(reply) = order(&*txn, order_id)? {
        return Ok(reply);
    }
    let done = match carry_out(txn) {
        Ok(done) => done,
        Err(Stop::Refused(refusal)) => refused(&refusal),
        Err(Stop::Store(error)) => return Err(error),
    };
    put_record(txn, &order_key(order_id), &done);
    remember(txn, order_id)?;
    let reply = order(&*txn, order_id)?;
    reply.ok_or_else(|| damaged::<Done>(&order_key(order_id), "an order was not kept"))
}

fn refused(refusal: &Refusal) -> Done {
    Done::Refused(refusal.to_string())
}

/// Puts an order behind the others, and forgets the oldest of too many.
fn remember(txn: &mut dyn Transaction, order_id: u64) -> Result<(), StoreError> {
    let list = key(Kind::Cluster, &[b"orders"]);
    let mut orders: Vec<u64> = get_record(&*txn, &list)?.unwrap_or_default();
    orders.push(order_id);
    let old = orders.len().saturating_sub(ORDERS_KEPT);
    orders.drain(..old).for_each(|order| txn.delete(&order_key(order)));
    put_record(txn, &list, &orders);
    Ok(())
}

fn order_key(order_id: u64) -> Vec<u8> {
    key(Kind::Order, &[&order_id.to_be_bytes()])
}
