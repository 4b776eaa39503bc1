//! Disks: admitted by an operator, each with targets, which are free until a chain takes them.

use emberfs_layout::{BootNumber, DiskId, NodeId, RoutingVersion, TargetId};
use emberfs_wire::cluster::{AdministerReply, Disk, DomainId};
use emberfs_wire::limits::{TARGETS_MAX, TARGETS_PER_DISK_MAX};

use super::nodes;
use super::orders::{self, Done};
use super::records::{DiskRecord, Draft, Item, NodeRecord, TargetRecord, target_key};
use super::refusal::{Refusal, Stop, ensure};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{
    StoreError, Transaction, View, damaged, get_record, put_record, scan_records,
};

/// A disk with targets that no chain has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeDisk {
    /// Which disk.
    pub id: DiskId,
    /// The node that it is on.
    pub node: NodeId,
    /// What it fails with.
    pub domain: DomainId,
    /// Its free targets, at least one.
    pub targets: Vec<TargetId>,
}

/// Admits a disk that a server found at its latest start, and gives it targets.
///
/// # Errors
/// [`StoreError`].
pub fn add_disk(
    txn: &mut dyn Transaction,
    order_id: u64,
    disk: DiskId,
    targets: u16,
) -> Result<AdministerReply, StoreError> {
    orders::once(txn, order_id, |txn| admit(txn, disk, targets))
}

/// A disk, if it was admitted.
///
/// # Errors
/// [`StoreError`].
pub fn disk(view: &dyn View, id: DiskId) -> Result<Option<Disk>, StoreError> {
    Ok(get_record::<DiskRecord>(view, &Item::Disk(id).key())?.map(|record| record.disk))
}

/// All disks, by id.
///
/// # Errors
/// [`StoreError`].
pub fn disks(view: &dyn View) -> Result<Vec<Disk>, StoreError> {
    let all = key(Kind::Disk, &[]);
    let records: Vec<DiskRecord> = scan_records(view, &all, &end_of(&all), usize::MAX)?;
    Ok(records.into_iter().map(|record| record.disk).collect())
}

/// The disks that have free targets: what a table can be made of.
///
/// # Errors
/// [`StoreError`].
pub fn free_disks(view: &dyn View) -> Result<Vec<FreeDisk>, StoreError> {
    let mut free = Vec::new();
    for Disk { id, node, targets } in disks(view)? {
        let domain = domain(view, node)?;
        let mut unused = Vec::new();
        for target in targets {
            if target_record(view, target)?.chain.is_none() {
                unused.push(target);
            }
        }
        if !unused.is_empty() {
            free.push(FreeDisk { id, node, domain, targets: unused });
        }
    }
    Ok(free)
}

/// The record of a target that is known to be there.
pub(super) fn target_record(view: &dyn View, id: TargetId) -> Result<TargetRecord, StoreError> {
    let key = target_key(id);
    get_record(view, &key)?.ok_or_else(|| damaged::<TargetRecord>(&key, "a target is missing"))
}

/// Where a target that is known to be there is: its node, and that node's latest start.
pub(super) fn place(view: &dyn View, id: TargetId) -> Result<(NodeId, BootNumber), StoreError> {
    let key = Item::Disk(target_record(view, id)?.disk).key();
    let record: DiskRecord =
        get_record(view, &key)?.ok_or_else(|| damaged::<DiskRecord>(&key, "a disk is missing"))?;
    let node = record.disk.node;
    Ok((node, node_record(view, node)?.node.boot))
}

/// What a node fails with.
pub(super) fn domain(view: &dyn View, node: NodeId) -> Result<DomainId, StoreError> {
    Ok(node_record(view, node)?.node.domain)
}

fn node_record(view: &dyn View, node: NodeId) -> Result<NodeRecord, StoreError> {
    let missing = || damaged::<NodeRecord>(&Item::Node(node).key(), "a disk's node is missing");
    nodes::record(view, node)?.ok_or_else(missing)
}

fn admit(txn: &mut dyn Transaction, id: DiskId, targets: u16) -> Result<Done, Stop> {
    let max = TARGETS_PER_DISK_MAX;
    let count = usize::from(targets);
    ensure((1..=max).contains(&count), Refusal::TargetCount { asked: targets, max })?;
    if let Some(known) = disk(&*txn, id)? {
        return Err(Refusal::DiskAdmitted { disk: id, node: known.node }.into());
    }
    // A disk that was moved was found by two: the later start has it.
    let finders = nodes::records(&*txn)?.into_iter().filter(|node| node.found.contains(&id));
    let finder = finders.max_by_key(|record| record.node.boot);
    let mut record = finder.ok_or(Refusal::DiskUnknown { disk: id })?;
    let node = record.node.id;
    let mut carried = count;
    for other in &record.admitted {
        carried += disk(&*txn, *other)?.map_or(0, |disk| disk.targets.len());
    }
    let full = Refusal::NodeFull { node, targets: carried, max: TARGETS_MAX };
    ensure(carried <= TARGETS_MAX, full)?;

    let mut draft = Draft::open(txn)?;
    let first = draft.counters.target.get() + 1;
    draft.counters.target = TargetId(draft.counters.target.get() + u32::from(targets));
    let targets: Vec<TargetId> = (first..=draft.counters.target.get()).map(TargetId).collect();
    for target in &targets {
        put_record(draft.txn, &target_key(*target), &TargetRecord { disk: id, chain: None });
    }
    let disk = Disk { id, node, targets };
    draft.put(&mut DiskRecord { disk, changed: RoutingVersion::NONE });
    record.admitted.push(id);
    put_record(draft.txn, &Item::Node(node).key(), &record);
    draft.close();
    Ok(Done::DiskAdded(id))
}
