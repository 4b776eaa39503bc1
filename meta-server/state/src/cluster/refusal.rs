//! Why a change of the cluster is refused, in words that say what to do.

use emberfs_layout::{DiskId, NodeId, TargetId};
use emberfs_wire::cluster::DomainId;
use thiserror::Error;

use crate::transaction::StoreError;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A node needs a name within the limit.
    #[error("a node's name has 1 to {max} bytes, not {len}")]
    Name {
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// Nobody could reach the node.
    #[error("a node needs an address at which others reach it")]
    NoAddress,
    /// The number is none of this cluster.
    #[error("{node} is not a node of this cluster: its data is another cluster's")]
    UnknownNode {
        /// Which.
        node: NodeId,
    },
    /// Another node has the name.
    #[error("the name `{name}` is taken by {by} at {at}, which has other disks: choose another")]
    NameTaken {
        /// Which name.
        name: String,
        /// By whom.
        by: NodeId,
        /// Where that one listens.
        at: String,
    },
    /// The upper half of the numbers is for nodes that are domains of their own.
    #[error("failure domain {} is too large: use numbers below {max}", .domain.0)]
    DomainReserved {
        /// Which.
        domain: DomainId,
        /// The first that is not for operators.
        max: u32,
    },
    /// A message of an earlier start that came late.
    #[error("{node} has started anew since")]
    Superseded {
        /// Which.
        node: NodeId,
    },
    /// No server has found the disk.
    #[error(
        "no server has told of disk {disk}: its server does once it runs, with the formatted disk in its configuration"
    )]
    DiskUnknown {
        /// Which.
        disk: DiskId,
    },
    /// The disk is in already.
    #[error("disk {disk} was admitted before, on {node}")]
    DiskAdmitted {
        /// Which.
        disk: DiskId,
        /// Where.
        node: NodeId,
    },
    /// Targets of one disk are limited.
    #[error("a disk carries 1 to {max} targets, not {asked}")]
    TargetCount {
        /// How many were asked for.
        asked: u16,
        /// How many it may carry.
        max: usize,
    },
    /// Targets of one server are limited.
    #[error("{node} would carry {targets} targets, {max} at most: give its disks fewer")]
    NodeFull {
        /// Which.
        node: NodeId,
        /// How many it would carry.
        targets: usize,
        /// How many it may carry.
        max: usize,
    },
    /// Copies of each chunk are limited.
    #[error("a chain has 1 to {max} replicas, not {replicas}")]
    Replicas {
        /// How many were asked for.
        replicas: u8,
        /// How many it may have.
        max: usize,
    },
    /// Writes would wait for ever, or be acknowledged by nobody.
    #[error("of {replicas} replicas 1 to {replicas} must serve, not {min_serving}")]
    MinServing {
        /// How many must.
        min_serving: u8,
        /// Of how many.
        replicas: u8,
    },
    /// No free targets, or more than a table holds.
    #[error("a table has 1 to {max} chains, the free targets make {chains}: add disks or make two")]
    ChainCount {
        /// How many chains there would be.
        chains: usize,
        /// How many there may be.
        max: usize,
    },
    /// A plan with a chain of another length.
    #[error("a chain of the plan has {members} members instead of {replicas}")]
    ChainLength {
        /// How many it has.
        members: usize,
        /// How many it must have.
        replicas: u8,
    },
    /// A plan with a target that is none, or that a chain has.
    #[error("{target} is not free: make the plan again")]
    TargetTaken {
        /// Which.
        target: TargetId,
    },
    /// A plan with replicas that fail together.
    #[error("two replicas of a chain of the plan share failure domain {}", .domain.0)]
    SharedDomain {
        /// Which.
        domain: DomainId,
    },
}

/// What ends an operation early.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    Store(StoreError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Refuses unless `condition` holds.
pub(super) fn ensure(condition: bool, refusal: Refusal) -> Result<(), Refusal> {
    if condition { Ok(()) } else { Err(refusal) }
}
