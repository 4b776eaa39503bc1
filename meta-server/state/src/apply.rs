//! From a command to the part that carries it out.

use emberfs_layout::{ClientId, ClusterId};
use emberfs_wire::meta::{Mutate, Time};

use crate::cluster::{self, TablePlan};
use crate::command::{Body, Command, Outcome, PendingTruncation};
use crate::keys::{Kind, key};
use crate::namespace::{self, Mutated};
use crate::sessions::{self, Admission, LastReply};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record};

/// Applies one command. Every member gets the same outcome and writes the same.
///
/// # Errors
/// [`StoreError`]: the member must stop, and what was written until then must not take effect.
pub fn apply(txn: &mut dyn Transaction, command: &Command) -> Result<Outcome, StoreError> {
    let now = command.time;
    match &command.body {
        Body::Mutate(asked) => return mutate(txn, now, command.seed, asked),
        Body::OpenSession(asked) => {
            return Ok(Outcome::SessionOpened(sessions::open(txn, now, asked)?));
        }
        Body::Lead { earlier, own, lease_ms } => {
            for client in earlier {
                end_session(txn, *client)?;
            }
            cluster::raise_lease(txn, *lease_ms)?;
            return Ok(Outcome::SessionOpened(sessions::open(txn, now, own)?));
        }
        Body::EndSession(client) => end_session(txn, *client)?,
        Body::SetLease(ms) => cluster::set_lease(txn, *ms),
        Body::ForgetEnded(to) => sessions::forget_ended(txn, *to)?,
        Body::FinishTruncation { inode, round } => {
            namespace::finish_truncation(txn, *inode, *round)?;
        }
        Body::RecoverLength { inode, end, round } => {
            namespace::recover_length(txn, now, *inode, *end, *round)?;
        }
        Body::UnfoldGarbage { place } => namespace::unfold(txn, now, *place)?,
        Body::FinishRemoval { place } => namespace::finish_removal(txn, *place)?,
        Body::Found { cluster, uid, gid } => {
            if cluster_id(txn)?.is_none() {
                put_record(txn, &cluster_id_key(), cluster);
                namespace::found(txn, now, *uid, *gid)?;
            }
        }
        Body::Register(_)
        | Body::AddDisk { .. }
        | Body::CreateTable { .. }
        | Body::SetChain { .. } => {
            return change_cluster(txn, &command.body);
        }
    }
    Ok(Outcome::Done)
}

fn end_session(txn: &mut dyn Transaction, client: ClientId) -> Result<(), StoreError> {
    if sessions::end(txn, client)? {
        namespace::release(txn, client)?;
    }
    Ok(())
}

fn change_cluster(txn: &mut dyn Transaction, body: &Body) -> Result<Outcome, StoreError> {
    match body {
        Body::Register(asked) => Ok(Outcome::Registered(cluster::register(txn, asked)?)),
        Body::AddDisk { order_id, disk, targets } => {
            cluster::add_disk(txn, *order_id, *disk, *targets).map(Outcome::Administered)
        }
        Body::CreateTable { order_id, chains, replicas, min_serving, chunk_size, is_default } => {
            let plan = TablePlan {
                chains,
                replicas: *replicas,
                min_serving: *min_serving,
                chunk_size: *chunk_size,
                is_default: *is_default,
            };
            cluster::create_table(txn, *order_id, plan).map(Outcome::Administered)
        }
        Body::SetChain { from, chain, boots } => {
            cluster::set_chain(txn, *from, chain, boots)?;
            Ok(Outcome::Done)
        }
        _ => Ok(Outcome::Done),
    }
}

/// Which cluster this store is of; `None` before [`Body::Found`].
///
/// # Errors
/// [`StoreError`].
pub fn cluster_id(view: &dyn View) -> Result<Option<ClusterId>, StoreError> {
    get_record(view, &cluster_id_key())
}

fn cluster_id_key() -> Vec<u8> {
    key(Kind::Cluster, &[b"id"])
}

/// Carries out a mutation once for each slot and number.
fn mutate(
    txn: &mut dyn Transaction,
    now: Time,
    seed: u64,
    asked: &Mutate,
) -> Result<Outcome, StoreError> {
    let (reply, truncation) = match sessions::admit(txn, &asked.slot)? {
        Admission::Refused(why) => (Err(why), None),
        Admission::Again(last) => (last.reply, still_pending(txn, last.truncation)?),
        Admission::New => match namespace::mutate(txn, now, seed, asked)? {
            Mutated::Blocked(by) => return Ok(Outcome::Blocked(by)),
            Mutated::Settled { reply, truncation } => {
                let last = LastReply { sequence: asked.slot.sequence, reply, truncation };
                sessions::keep_reply(txn, &asked.slot, &last);
                (reply, truncation)
            }
        },
    };
    Ok(Outcome::Mutation { reply, truncation })
}

/// What a retry still has to wait for: the file's truncation as it is now, if one stands.
fn still_pending(
    view: &dyn View,
    was: Option<PendingTruncation>,
) -> Result<Option<PendingTruncation>, StoreError> {
    let Some(was) = was else { return Ok(None) };
    let now = namespace::pending_truncation(view, was.inode)?;
    Ok(now.map(|work| PendingTruncation { inode: work.inode, len: work.len }))
}
