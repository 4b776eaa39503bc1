//! Chain tables: made over free targets by a plan of the leader, which is checked here.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{
    BootNumber, ChainId, ChainVersion, ChunkSize, RoutingVersion, TableId, TableVersion, TargetId,
};
use emberfs_wire::cluster::{
    AdministerReply, Chain, ChainMember, ChainTable, DomainId, PublicState,
};
use emberfs_wire::limits::{CHAIN_MEMBERS_MAX, TABLE_CHAINS_MAX};
use minicbor::{Decode, Encode};

use super::disks::{free_disks, place, target_record};
use super::orders::{self, Done};
use super::records::{ChainRecord, Draft, Item, TableRecord, TargetRecord, target_key};
use super::refusal::{Refusal, Stop, ensure};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{
    StoreError, Transaction, View, damaged, get_record, put_record, scan_records,
};

/// What the leader planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePlan<'a> {
    /// The members of each chain, head first.
    pub chains: &'a [Vec<TargetId>],
    /// Copies of each chunk.
    pub replicas: u8,
    /// With fewer serving replicas writes wait.
    pub min_serving: u8,
    /// Size of the chunks of files in it that say nothing else.
    pub chunk_size: ChunkSize,
    /// Whether it becomes the default; the first one is in any case.
    pub is_default: bool,
}

/// What files in a table get that say nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Defaults {
    /// Which table.
    #[n(0)]
    pub table: TableId,
    /// Its version now.
    #[n(1)]
    pub version: TableVersion,
    /// How many chains that has.
    #[n(2)]
    pub chains: u32,
    /// Size of the chunks.
    #[n(3)]
    pub chunk_size: ChunkSize,
}

/// Makes a table, of chains whose members all serve: they are empty.
///
/// # Errors
/// [`StoreError`].
pub fn create_table(
    txn: &mut dyn Transaction,
    order_id: u64,
    plan: TablePlan<'_>,
) -> Result<AdministerReply, StoreError> {
    orders::once(txn, order_id, |txn| create(txn, plan))
}

/// A table.
///
/// # Errors
/// [`StoreError`].
pub fn table(view: &dyn View, id: TableId) -> Result<Option<ChainTable>, StoreError> {
    Ok(get_record::<TableRecord>(view, &Item::Table(id).key())?.map(|record| record.table))
}

/// All tables, by number.
///
/// # Errors
/// [`StoreError`].
pub fn tables(view: &dyn View) -> Result<Vec<ChainTable>, StoreError> {
    let all = key(Kind::Table, &[]);
    let records: Vec<TableRecord> = scan_records(view, &all, &end_of(&all), usize::MAX)?;
    Ok(records.into_iter().map(|record| record.table).collect())
}

/// What files get that say nothing else; `None` before the first table: no file can have bytes yet.
///
/// # Errors
/// [`StoreError`].
pub fn defaults(view: &dyn View) -> Result<Option<Defaults>, StoreError> {
    get_record(view, &defaults_key())
}

/// What files get that say no more than a table, or not even that; `None` if it is not there.
///
/// # Errors
/// [`StoreError`].
pub fn given(view: &dyn View, table: Option<TableId>) -> Result<Option<Defaults>, StoreError> {
    match table {
        Some(table) => get_record(view, &given_key(table)),
        None => defaults(view),
    }
}

fn create(txn: &mut dyn Transaction, plan: TablePlan<'_>) -> Result<Done, Stop> {
    check_numbers(plan)?;
    check_members(&*txn, plan)?;
    let mut boots = Vec::new();
    for members in plan.chains {
        let boot = |target: &TargetId| Ok(place(&*txn, *target)?.1);
        boots.push(members.iter().map(boot).collect::<Result<Vec<_>, StoreError>>()?);
    }
    let before = defaults(&*txn)?;
    let mut draft = Draft::open(txn)?;
    let mut chains = Vec::with_capacity(plan.chains.len());
    for (members, granted) in plan.chains.iter().zip(boots) {
        chains.push(make_chain(&mut draft, members, plan.min_serving, granted)?);
    }
    draft.counters.table = TableId(draft.counters.table.get() + 1);
    let id = draft.counters.table;
    let (version, replicas) = (TableVersion::NONE.next(), plan.replicas);
    let length = u32::try_from(chains.len()).expect("within TABLE_CHAINS_MAX");
    let chunk_size = plan.chunk_size;
    let given = Defaults { table: id, version, chains: length, chunk_size };
    put_record(draft.txn, &given_key(id), &given);
    let is_default = plan.is_default || before.is_none();
    if is_default {
        put_record(draft.txn, &defaults_key(), &given);
        step_back(&mut draft, before)?;
    }
    let (lengths, chunk_size) = (vec![length], Some(chunk_size));
    let table = ChainTable { id, version, chains, lengths, replicas, chunk_size, is_default };
    draft.put(&mut TableRecord { table, changed: RoutingVersion::NONE });
    draft.close();
    Ok(Done::TableCreated(id))
}

/// What was the default is so no more.
fn step_back(draft: &mut Draft<'_>, before: Option<Defaults>) -> Result<(), StoreError> {
    let Some(Defaults { table, .. }) = before else { return Ok(()) };
    let key = Item::Table(table).key();
    let missing = || damaged::<TableRecord>(&key, "the default table is missing");
    let mut record: TableRecord = get_record(&*draft.txn, &key)?.ok_or_else(missing)?;
    record.table.is_default = false;
    draft.put(&mut record);
    Ok(())
}

fn make_chain(
    draft: &mut Draft<'_>,
    targets: &[TargetId],
    min_serving: u8,
    granted: Vec<BootNumber>,
) -> Result<ChainId, StoreError> {
    draft.counters.chain = ChainId(draft.counters.chain.get() + 1);
    let id = draft.counters.chain;
    for target in targets {
        let record = target_record(&*draft.txn, *target)?;
        put_record(draft.txn, &target_key(*target), &TargetRecord { chain: Some(id), ..record });
    }
    let serves = |target: &TargetId| ChainMember { target: *target, state: PublicState::Serving };
    let members = targets.iter().map(serves).collect();
    let chain = Chain { id, version: ChainVersion::NONE.next(), members, min_serving };
    draft.put(&mut ChainRecord { chain, granted, changed: RoutingVersion::NONE });
    Ok(id)
}

fn check_numbers(plan: TablePlan<'_>) -> Result<(), Refusal> {
    let TablePlan { replicas, min_serving, .. } = plan;
    let max = CHAIN_MEMBERS_MAX;
    ensure((1..=max).contains(&replicas.into()), Refusal::Replicas { replicas, max })?;
    let serving = (1..=replicas).contains(&min_serving);
    ensure(serving, Refusal::MinServing { min_serving, replicas })?;
    let (chains, max) = (plan.chains.len(), TABLE_CHAINS_MAX);
    ensure((1..=max).contains(&chains), Refusal::ChainCount { chains, max })
}

/// Members are free, each in one place of the plan, and those of a chain do not fail together.
fn check_members(view: &dyn View, plan: TablePlan<'_>) -> Result<(), Stop> {
    let free_disks = free_disks(view)?;
    let targets = free_disks.iter().flat_map(|disk| disk.targets.iter().map(|t| (*t, disk.domain)));
    let mut free: BTreeMap<TargetId, DomainId> = targets.collect();
    for chain in plan.chains {
        let (members, replicas) = (chain.len(), plan.replicas);
        ensure(members == usize::from(replicas), Refusal::ChainLength { members, replicas })?;
        let mut domains = BTreeSet::new();
        for target in chain {
            let domain = free.remove(target).ok_or(Refusal::TargetTaken { target: *target })?;
            ensure(domains.insert(domain), Refusal::SharedDomain { domain })?;
        }
    }
    Ok(())
}

fn defaults_key() -> Vec<u8> {
    key(Kind::Cluster, &[b"defaults"])
}

fn given_key(table: TableId) -> Vec<u8> {
    key(Kind::Cluster, &[b"table", &table.get().to_be_bytes()])
}
