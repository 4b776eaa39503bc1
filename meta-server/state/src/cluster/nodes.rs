//! Nodes: a number for each server, for ever, and one for each of its starts.

use emberfs_layout::{BootNumber, NodeId, RoutingVersion};
use emberfs_wire::cluster::{DomainId, Node, Register};
use emberfs_wire::limits::{DOMAINS_MAX, NAME_BYTES_MAX};

use super::records::{Draft, Item, NodeRecord};
use super::refusal::{Refusal, Stop, ensure};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record, scan_records};

/// Starts of a node that are remembered, so that a late message of an earlier one is not taken for a
/// new start: more than a server makes while a message is under way.
const STARTS_KEPT: usize = 16;

/// One start of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whose it is.
    pub node: NodeId,
    /// Its number.
    pub boot: BootNumber,
}

/// A node of which this would be a new start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// As its latest start registered it.
    pub node: Node,
    /// Whether that start is known to be dead: the new one has its lock.
    pub is_dead: bool,
}

/// Registers a start of a server, which gets its number by the one that it had before or by its name;
/// the same start again is answered as before. The words say why not.
///
/// # Errors
/// [`StoreError`].
pub fn register(
    txn: &mut dyn Transaction,
    asked: &Register,
) -> Result<Result<Start, String>, StoreError> {
    match try_register(txn, asked) {
        Ok(reply) => Ok(Ok(reply)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal.to_string())),
        Err(Stop::Store(error)) => Err(error),
    }
}

/// A node.
///
/// # Errors
/// [`StoreError`].
pub fn node(view: &dyn View, id: NodeId) -> Result<Option<Node>, StoreError> {
    Ok(record(view, id)?.map(|record| record.node))
}

/// All nodes, by number.
///
/// # Errors
/// [`StoreError`].
pub fn nodes(view: &dyn View) -> Result<Vec<Node>, StoreError> {
    Ok(records(view)?.into_iter().map(|record| record.node).collect())
}

/// The node whose new start this would be; `None` if it would be a new node, is refused, or was registered
/// before.
///
/// # Errors
/// [`StoreError`].
pub fn replaced(view: &dyn View, asked: &Register) -> Result<Option<Replaced>, StoreError> {
    match find(view, asked) {
        Ok(known) => {
            let earlier = known.filter(|known| !known.starts.contains(&asked.start));
            Ok(earlier.map(|NodeRecord { node, lock, .. }| Replaced {
                node,
                is_dead: lock.is_some() && lock == asked.lock,
            }))
        }
        Err(Stop::Refused(_)) => Ok(None),
        Err(Stop::Store(error)) => Err(error),
    }
}

pub(super) fn record(view: &dyn View, id: NodeId) -> Result<Option<NodeRecord>, StoreError> {
    get_record(view, &Item::Node(id).key())
}

pub(super) fn records(view: &dyn View) -> Result<Vec<NodeRecord>, StoreError> {
    let all = key(Kind::Node, &[]);
    scan_records(view, &all, &end_of(&all), usize::MAX)
}

fn try_register(txn: &mut dyn Transaction, asked: &Register) -> Result<Start, Stop> {
    check(asked)?;
    let known = find(&*txn, asked)?;
    if let Some(known) = &known
        && let Some(reply) = answered(known, asked.start)?
    {
        return Ok(reply);
    }
    let mut draft = Draft::open(txn)?;
    let mut record = known.unwrap_or_else(|| {
        draft.counters.node = NodeId(draft.counters.node.get() + 1);
        unnamed(draft.counters.node)
    });
    draft.counters.boot = draft.counters.boot.next();
    let node = &mut record.node;
    let (id, boot) = (node.id, draft.counters.boot);
    if node.name != asked.name {
        draft.txn.delete(&name_key(&node.name));
        put_record(draft.txn, &name_key(&asked.name), &id);
    }
    node.name.clone_from(&asked.name);
    node.addresses.clone_from(&asked.addresses);
    node.boot = boot;
    node.domain = asked.domain.unwrap_or(DomainId(DOMAINS_MAX + id.get()));
    record.found.clone_from(&asked.disks);
    record.lock = asked.lock;
    record.starts.push(asked.start);
    let old = record.starts.len().saturating_sub(STARTS_KEPT);
    record.starts.drain(..old);
    draft.put(&mut record);
    draft.close();
    Ok(Start { node: id, boot })
}

fn check(asked: &Register) -> Result<(), Refusal> {
    let (len, max) = (asked.name.len(), NAME_BYTES_MAX);
    ensure((1..=max).contains(&len), Refusal::Name { len, max })?;
    ensure(!asked.addresses.is_empty(), Refusal::NoAddress)?;
    let domain = asked.domain.unwrap_or_default();
    ensure(domain.0 < DOMAINS_MAX, Refusal::DomainReserved { domain, max: DOMAINS_MAX })
}

/// The node that this is a start of, if it was seen before. A server that does not know its number, as
/// it died before it could write it down, is known by its name and any of its disks.
fn find(view: &dyn View, asked: &Register) -> Result<Option<NodeRecord>, Stop> {
    let by_name: Option<NodeId> = get_record(view, &name_key(&asked.name))?;
    let known = |node| -> Result<NodeRecord, Stop> {
        Ok(record(view, node)?.ok_or(Refusal::UnknownNode { node })?)
    };
    let taken = |by: &Node| {
        let (name, at) = (asked.name.clone(), by.addresses.join(", "));
        Refusal::NameTaken { name, by: by.id, at }
    };
    if let Some(node) = asked.node {
        let own = known(node)?;
        return match by_name {
            Some(by) if by != node => Err(taken(&known(by)?.node).into()),
            _ => Ok(Some(own)),
        };
    }
    let Some(by) = by_name else { return Ok(None) };
    let known = known(by)?;
    let same = known.starts.contains(&asked.start)
        || known.found.is_empty()
        || known.found.iter().any(|disk| asked.disks.contains(disk));
    ensure(same, taken(&known.node))?;
    Ok(Some(known))
}

/// What this start was answered before, if it is the latest; an earlier one is refused.
fn answered(known: &NodeRecord, start: u64) -> Result<Option<Start>, Refusal> {
    let node = known.node.id;
    if known.starts.last() == Some(&start) {
        return Ok(Some(Start { node, boot: known.node.boot }));
    }
    ensure(!known.starts.contains(&start), Refusal::Superseded { node })?;
    Ok(None)
}

fn unnamed(id: NodeId) -> NodeRecord {
    let node = Node {
        id,
        name: String::new(),
        addresses: Vec::new(),
        boot: BootNumber::NONE,
        domain: DomainId::default(),
    };
    NodeRecord {
        node,
        starts: Vec::new(),
        found: Vec::new(),
        admitted: Vec::new(),
        changed: RoutingVersion::NONE,
        lock: None,
    }
}

fn name_key(name: &str) -> Vec<u8> {
    key(Kind::NodeName, &[name.as_bytes()])
}
