//! Chains: changed by the leader, one version at a time.

use std::collections::BTreeMap;

use emberfs_layout::{BootNumber, ChainId, ChainVersion, NodeId, TargetId};
use emberfs_wire::cluster::{Chain, ChainMember, Disk, PublicState};

use super::disks::{disk, disks, place, target_record};
use super::nodes::{self, nodes};
use super::records::{ChainRecord, Draft, Item};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{StoreError, Transaction, View, damaged, get_record, scan_records};

/// A chain, and where its members are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedChain {
    /// The chain.
    pub chain: Chain,
    /// Its members' places, in their order.
    pub places: Vec<PlacedMember>,
}

/// Where a member of a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedMember {
    /// On which node.
    pub node: NodeId,
    /// The latest start of that node.
    pub boot: BootNumber,
    /// The start under which it got its present state.
    pub granted: BootNumber,
}

impl PlacedMember {
    /// Whether its server has started anew since the member got its state.
    #[must_use]
    pub fn restarted(&self) -> bool {
        self.granted != self.boot
    }
}

/// Changes a chain that is at version `from`, to the next one; `boots` are the latest starts of the
/// members' servers that the leader knew of, in the order of members. Says whether it was done: not if the chain
/// or a start is another by now, when the leader looks again, nor if members were exchanged.
///
/// # Errors
/// [`StoreError`].
pub fn set_chain(
    txn: &mut dyn Transaction,
    from: ChainVersion,
    chain: &Chain,
    boots: &[BootNumber],
) -> Result<bool, StoreError> {
    let Some(old) = get_record::<ChainRecord>(&*txn, &Item::Chain(chain.id).key())? else {
        return Ok(false);
    };
    if old.chain.version != from || chain.version != from.next() || !same_members(&old.chain, chain)
    {
        return Ok(false);
    }
    let latest = |member: &ChainMember| Ok(place(&*txn, member.target)?.1);
    let latest = chain.members.iter().map(latest).collect::<Result<Vec<_>, StoreError>>()?;
    if latest != boots {
        return Ok(false);
    }
    // A state that stays is still held by the start that got it.
    let granted = chain.members.iter().zip(boots).map(|(member, boot)| {
        let mut before = old.chain.members.iter().zip(&old.granted);
        before.find(|(known, _)| *known == member).map_or(*boot, |(_, granted)| *granted)
    });
    let granted = granted.collect();
    let mut draft = Draft::open(txn)?;
    draft.put(&mut ChainRecord { chain: chain.clone(), granted, changed: old.changed });
    draft.close();
    Ok(true)
}

/// A chain with its places.
///
/// # Errors
/// [`StoreError`].
pub fn placed_chain(view: &dyn View, id: ChainId) -> Result<Option<PlacedChain>, StoreError> {
    let record: Option<ChainRecord> = get_record(view, &Item::Chain(id).key())?;
    record.map(|record| placed(record, |target| place(view, target))).transpose()
}

/// The version of a chain.
///
/// # Errors
/// [`StoreError`].
pub(super) fn chain_version(
    view: &dyn View,
    id: ChainId,
) -> Result<Option<ChainVersion>, StoreError> {
    let record: Option<ChainRecord> = get_record(view, &Item::Chain(id).key())?;
    Ok(record.map(|record| record.chain.version))
}

/// All chains with their places, by number. They change only with the routing version: whoever needs
/// them often keeps them by it.
///
/// # Errors
/// [`StoreError`].
pub fn placed_chains(view: &dyn View) -> Result<Vec<PlacedChain>, StoreError> {
    let boots = nodes(view)?.into_iter().map(|node| (node.id, node.boot));
    let boots: BTreeMap<NodeId, BootNumber> = boots.collect();
    let mut homes = BTreeMap::new();
    for Disk { node, targets, .. } in disks(view)? {
        homes.extend(targets.into_iter().map(|target| (target, node)));
    }
    let all = key(Kind::Chain, &[]);
    let records: Vec<ChainRecord> = scan_records(view, &all, &end_of(&all), usize::MAX)?;
    let home = |target: TargetId| {
        let node = homes.get(&target).copied();
        let found = node.and_then(|node| Some((node, *boots.get(&node)?)));
        found.ok_or_else(|| damaged::<Disk>(&super::records::target_key(target), "it is nowhere"))
    };
    records.into_iter().map(|record| placed(record, home)).collect()
}

/// Whether no member on this node serves or syncs by what an earlier start of it was given. Until then
/// the leader gives it no lease. What was true once stays so until the node starts again.
///
/// # Errors
/// [`StoreError`].
pub fn settled(view: &dyn View, node: NodeId) -> Result<bool, StoreError> {
    let Some(record) = nodes::record(view, node)? else { return Ok(true) };
    for id in record.admitted {
        for target in disk(view, id)?.map(|disk| disk.targets).unwrap_or_default() {
            let Some(chain) = target_record(view, target)?.chain else { continue };
            let chain: Option<ChainRecord> = get_record(view, &Item::Chain(chain).key())?;
            let holds = |chain: &ChainRecord| holds_by_earlier(chain, target, record.node.boot);
            if chain.as_ref().is_some_and(holds) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn holds_by_earlier(record: &ChainRecord, target: TargetId, boot: BootNumber) -> bool {
    let active = [PublicState::Serving, PublicState::Syncing];
    record.chain.members.iter().zip(&record.granted).any(|(member, granted)| {
        member.target == target && active.contains(&member.state) && *granted != boot
    })
}

fn placed(
    record: ChainRecord,
    home: impl Fn(TargetId) -> Result<(NodeId, BootNumber), StoreError>,
) -> Result<PlacedChain, StoreError> {
    let mut places = Vec::with_capacity(record.granted.len());
    for (member, granted) in record.chain.members.iter().zip(record.granted) {
        let (node, boot) = home(member.target)?;
        places.push(PlacedMember { node, boot, granted });
    }
    Ok(PlacedChain { chain: record.chain, places })
}

/// Whether a change leaves a chain its members and their required number, in any order and state.
fn same_members(old: &Chain, new: &Chain) -> bool {
    let targets = |chain: &Chain| {
        let mut targets: Vec<TargetId> = chain.members.iter().map(|m| m.target).collect();
        targets.sort_unstable();
        targets
    };
    old.min_serving == new.min_serving && targets(old) == targets(new)
}
