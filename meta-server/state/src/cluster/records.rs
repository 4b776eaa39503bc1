//! The records of the cluster, and the draft that writes them with their routing versions.

use emberfs_layout::{
    BootNumber, ChainId, DiskId, FileId, NodeId, RoutingVersion, TableId, TargetId,
};
use emberfs_wire::cluster::{Chain, ChainTable, Disk, Node};
use minicbor::{Decode, Encode};

use crate::keys::{Kind, key};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record};

/// The last number of each kind that was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Counters {
    #[n(0)]
    pub(super) routing: RoutingVersion,
    #[n(1)]
    pub(super) node: NodeId,
    #[n(2)]
    pub(super) target: TargetId,
    #[n(3)]
    pub(super) chain: ChainId,
    #[n(4)]
    pub(super) table: TableId,
    #[n(5)]
    pub(super) boot: BootNumber,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct NodeRecord {
    #[n(0)]
    pub(super) node: Node,
    /// Numbers of its last starts, the latest last.
    #[n(1)]
    pub(super) starts: Vec<u64>,
    /// Formatted disks that its latest start found.
    #[n(2)]
    pub(super) found: Vec<DiskId>,
    /// Disks that were admitted on it.
    #[n(3)]
    pub(super) admitted: Vec<DiskId>,
    #[n(4)]
    pub(super) changed: RoutingVersion,
    /// The lock that its latest start holds, as long as it lives.
    #[n(5)]
    pub(super) lock: Option<FileId>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct DiskRecord {
    #[n(0)]
    pub(super) disk: Disk,
    #[n(1)]
    pub(super) changed: RoutingVersion,
}

/// A target: where it is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct TargetRecord {
    #[n(0)]
    pub(super) disk: DiskId,
    /// The chain that has it; `None`: it is free.
    #[n(1)]
    pub(super) chain: Option<ChainId>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct ChainRecord {
    #[n(0)]
    pub(super) chain: Chain,
    /// Of each member, the start of its server when it got its state.
    #[n(1)]
    pub(super) granted: Vec<BootNumber>,
    #[n(2)]
    pub(super) changed: RoutingVersion,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct TableRecord {
    #[n(0)]
    pub(super) table: ChainTable,
    #[n(1)]
    pub(super) changed: RoutingVersion,
}

/// What a change of the routing is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Item {
    #[n(0)]
    Node(#[n(0)] NodeId),
    #[n(1)]
    Disk(#[n(0)] DiskId),
    #[n(2)]
    Chain(#[n(0)] ChainId),
    #[n(3)]
    Table(#[n(0)] TableId),
}

impl Item {
    /// Where its record stands.
    pub(super) fn key(self) -> Vec<u8> {
        match self {
            Self::Node(id) => key(Kind::Node, &[&id.get().to_be_bytes()]),
            Self::Disk(id) => key(Kind::Disk, &[&id.get().to_be_bytes()]),
            Self::Chain(id) => key(Kind::Chain, &[&id.get().to_be_bytes()]),
            Self::Table(id) => key(Kind::Table, &[&id.get().to_be_bytes()]),
        }
    }
}

/// A record that the routing tells of.
pub(super) trait Routed: Encode<()> {
    fn item(&self) -> Item;
    /// Its last change; [`RoutingVersion::NONE`] before the first.
    fn changed(&mut self) -> &mut RoutingVersion;
}

macro_rules! routed {
    ($record:ty, $item:ident, $field:ident) => {
        impl Routed for $record {
            fn item(&self) -> Item {
                Item::$item(self.$field.id)
            }

            fn changed(&mut self) -> &mut RoutingVersion {
                &mut self.changed
            }
        }
    };
}

routed!(NodeRecord, Node, node);
routed!(DiskRecord, Disk, disk);
routed!(ChainRecord, Chain, chain);
routed!(TableRecord, Table, table);

/// A change of the cluster under way; [`Self::close`] writes the counters.
pub(super) struct Draft<'a> {
    pub(super) txn: &'a mut dyn Transaction,
    pub(super) counters: Counters,
}

impl<'a> Draft<'a> {
    pub(super) fn open(txn: &'a mut dyn Transaction) -> Result<Self, StoreError> {
        let counters = counters(&*txn)?;
        Ok(Self { txn, counters })
    }

    /// Writes a record under the next routing version, in place of its change before.
    pub(super) fn put(&mut self, record: &mut impl Routed) {
        let before = *record.changed();
        self.txn.delete(&log_key(before));
        self.counters.routing = self.counters.routing.next();
        *record.changed() = self.counters.routing;
        put_record(self.txn, &record.item().key(), record);
        put_record(self.txn, &log_key(self.counters.routing), &record.item());
    }

    pub(super) fn close(self) {
        put_record(self.txn, &counters_key(), &self.counters);
    }
}

pub(super) fn counters(view: &dyn View) -> Result<Counters, StoreError> {
    Ok(get_record(view, &counters_key())?.unwrap_or_default())
}

pub(super) fn target_key(target: TargetId) -> Vec<u8> {
    key(Kind::Target, &[&target.get().to_be_bytes()])
}

/// Where the log has the change that made this version.
pub(super) fn log_key(version: RoutingVersion) -> Vec<u8> {
    key(Kind::RoutingChange, &[&version.get().to_be_bytes()])
}

fn counters_key() -> Vec<u8> {
    key(Kind::Cluster, &[b"cluster"])
}
