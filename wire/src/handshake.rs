//! The first exchange on a connection: who is there, and what both speak.
//!
//! The side that connected sends [`Hello`], the other answers [`HelloReply`]; nothing else may come
//! before. A peer that does not fit is refused with a [`Refusal`] that says in words what is wrong,
//! and the connection is closed. Afterwards either side may start requests.

use std::fmt;

use emberfs_layout::{BootNumber, ClientId, ClusterId, NodeId, TargetId};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::codec::list;
use crate::limits::{SHARDS_MAX, TARGETS_MAX};
use crate::protocol::{Features, ProtocolRange, ProtocolVersion};

/// What a process is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// A member of the metadata group.
    #[n(0)]
    Meta,
    /// A storage server.
    #[n(1)]
    Storage,
    /// A client library: a mount, a tool, an application.
    #[n(2)]
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Meta => "a metadata server",
            Self::Storage => "a storage server",
            Self::Client => "a client",
        })
    }
}

/// One of a server's shards, numbered from 0: a thread that owns some of its disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ShardIndex(#[n(0)] pub u16);

/// Who a peer says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    /// Its cluster; `None` only for a client that has yet to learn it.
    #[n(0)]
    pub cluster: Option<ClusterId>,
    /// What it is.
    #[n(1)]
    pub role: Role,
    /// Which server, if it is one.
    #[n(2)]
    pub node: Option<NodeId>,
    /// Which start of that server.
    #[n(3)]
    pub boot: Option<BootNumber>,
    /// Which session, if it is a client that has one.
    #[n(4)]
    pub client: Option<ClientId>,
}

/// Opens a connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Versions that the sender speaks.
    #[n(0)]
    pub protocol: ProtocolRange,
    /// What it can do beyond them.
    #[n(1)]
    pub features: Features,
    /// Who it is.
    #[n(2)]
    pub identity: Identity,
    /// What it takes the other side for.
    #[n(3)]
    pub expected_role: Role,
    /// Which server it takes the other side for, if it knows.
    #[n(4)]
    pub expected_node: Option<NodeId>,
    /// Which shard the connection is meant for; `None`: any.
    #[n(5)]
    pub shard: Option<ShardIndex>,
}

/// Where a server keeps its targets.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ShardTargets {
    /// The shard.
    #[n(0)]
    pub shard: ShardIndex,
    /// The targets on its disks.
    #[cbor(n(1), decode_with = "list::<TARGETS_MAX, _, _>")]
    pub targets: Vec<TargetId>,
}

/// Answers a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HelloReply {
    /// The connection stands.
    #[n(0)]
    Welcome(#[n(0)] Welcome),
    /// It does not.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

/// What both sides go by from now on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// The version that both speak.
    #[n(0)]
    pub protocol: ProtocolVersion,
    /// What both can do beyond it.
    #[n(1)]
    pub features: Features,
    /// Who the answering side is.
    #[n(2)]
    pub identity: Identity,
    /// Which of its shards the connection lives on.
    #[n(3)]
    pub shard: ShardIndex,
    /// Which targets live on which shard: a client connects to the right one.
    #[cbor(n(4), decode_with = "list::<SHARDS_MAX, _, _>")]
    pub shards: Vec<ShardTargets>,
}

/// Why a peer is not spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Error)]
pub enum Refusal {
    /// The peer belongs to another cluster.
    #[n(0)]
    #[error("this is cluster {ours}, not {theirs}: check the address or the configuration")]
    OtherCluster {
        /// The answering side's.
        #[n(0)]
        ours: ClusterId,
        /// The asking side's.
        #[n(1)]
        theirs: ClusterId,
    },
    /// No protocol version is known to both.
    #[n(1)]
    #[error(
        "no common protocol version: who listens speaks {ours}, who connects speaks {theirs}: upgrade {}",
        older(*ours, *theirs)
    )]
    NoCommonProtocol {
        /// The answering side's.
        #[n(0)]
        ours: ProtocolRange,
        /// The asking side's.
        #[n(1)]
        theirs: ProtocolRange,
    },
    /// Something else listens here than the peer takes it for.
    #[n(2)]
    #[error("{ours} listens here, not {expected}: check the address")]
    OtherRole {
        /// What it is.
        #[n(0)]
        ours: Role,
        /// What the asking side took it for.
        #[n(1)]
        expected: Role,
    },
    /// Another server listens here.
    #[n(3)]
    #[error("{} listens here, not {expected}: the routing is out of date", shown(*ours))]
    OtherNode {
        /// Which it is, if it has a number yet.
        #[n(0)]
        ours: Option<NodeId>,
        /// Which the asking side took it for.
        #[n(1)]
        expected: NodeId,
    },
    /// The server has no such shard.
    #[n(4)]
    #[error("no shard {} here, there are {count}", asked.0)]
    NoSuchShard {
        /// Which was asked for.
        #[n(0)]
        asked: ShardIndex,
        /// How many there are.
        #[n(1)]
        count: u16,
    },
    /// The server is full or about to stop.
    #[n(5)]
    #[error("not accepting connections: {text}")]
    Unavailable {
        /// Why.
        #[n(0)]
        text: String,
    },
}

fn older(ours: ProtocolRange, theirs: ProtocolRange) -> &'static str {
    if ours.newest < theirs.newest { "the server that listens" } else { "the side that connects" }
}

fn shown(node: Option<NodeId>) -> String {
    node.map_or_else(|| "a server without a number".to_owned(), |node| node.to_string())
}

impl Hello {
    /// Whether a server that is `ours` can speak with the sender, and how. Its shard is the server's
    /// own affair.
    ///
    /// # Errors
    /// The [`Refusal`] to answer with.
    pub fn judge(&self, ours: &Identity) -> Result<(ProtocolVersion, Features), Refusal> {
        let range = ProtocolRange::OURS;
        let protocol = range
            .highest_common(self.protocol)
            .ok_or(Refusal::NoCommonProtocol { ours: range, theirs: self.protocol })?;
        if let (Some(ours), Some(theirs)) = (ours.cluster, self.identity.cluster)
            && ours != theirs
        {
            return Err(Refusal::OtherCluster { ours, theirs });
        }
        if self.expected_role != ours.role {
            return Err(Refusal::OtherRole { ours: ours.role, expected: self.expected_role });
        }
        match self.expected_node {
            Some(expected) if ours.node != Some(expected) => {
                Err(Refusal::OtherNode { ours: ours.node, expected })
            }
            _ => Ok((protocol, Features::OURS.common(self.features))),
        }
    }
}

impl Hello {
    /// Whether the side that answered is who the sender asked for: it may be more trusting, or less
    /// careful, than it should.
    ///
    /// # Errors
    /// The [`Refusal`] that it should have answered with.
    pub fn judge_welcome(&self, welcome: &Welcome) -> Result<(), Refusal> {
        if !self.protocol.contains(welcome.protocol) {
            let only = ProtocolRange { oldest: welcome.protocol, newest: welcome.protocol };
            return Err(Refusal::NoCommonProtocol { ours: only, theirs: self.protocol });
        }
        self.judge(&welcome.identity).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Identity {
        Identity {
            cluster: Some(ClusterId(7)),
            role: Role::Storage,
            node: Some(NodeId(3)),
            boot: Some(BootNumber(1)),
            client: None,
        }
    }

    fn hello() -> Hello {
        let client = ClientId(9);
        Hello {
            protocol: ProtocolRange::OURS,
            features: Features::default(),
            identity: Identity {
                cluster: Some(ClusterId(7)),
                role: Role::Client,
                node: None,
                boot: None,
                client: Some(client),
            },
            expected_role: Role::Storage,
            expected_node: Some(NodeId(3)),
            shard: None,
        }
    }

    /// Versions that no build of this protocol speaks.
    fn future() -> ProtocolRange {
        let next = ProtocolVersion(ProtocolRange::OURS.newest.0 + 1);
        ProtocolRange { oldest: next, newest: ProtocolVersion(next.0 + 1) }
    }

    #[test]
    fn a_peer_that_fits_is_welcome() {
        assert_eq!(hello().judge(&server()), Ok((ProtocolRange::OURS.newest, Features::OURS)));
        let mut unsure = hello();
        unsure.identity.cluster = None;
        unsure.expected_node = None;
        assert!(unsure.judge(&server()).is_ok());
    }

    #[test]
    fn a_welcome_from_somebody_else_is_refused() {
        let ours = ProtocolRange::OURS.newest;
        let welcome = |identity, protocol| Welcome {
            protocol,
            features: Features::default(),
            identity,
            shard: ShardIndex(0),
            shards: Vec::new(),
        };
        assert_eq!(hello().judge_welcome(&welcome(server(), ours)), Ok(()));
        let newer = hello().judge_welcome(&welcome(server(), future().newest)).expect_err("newer");
        assert!(matches!(newer, Refusal::NoCommonProtocol { .. }), "{newer}");
        let other = Identity { cluster: Some(ClusterId(8)), ..server() };
        let other = hello().judge_welcome(&welcome(other, ours)).expect_err("other");
        assert!(matches!(other, Refusal::OtherCluster { .. }), "{other}");
    }

    #[test]
    fn each_misfit_is_refused_in_words() {
        let refused = |edit: fn(&mut Hello)| {
            let mut hello = hello();
            edit(&mut hello);
            hello.judge(&server()).expect_err("refused").to_string()
        };
        let (ours, theirs) = (ProtocolRange::OURS, future());
        let newer = refused(|h| h.protocol = future());
        let words = format!(
            "who listens speaks {ours}, who connects speaks {theirs}: upgrade the server that listens"
        );
        assert!(newer.ends_with(&words), "{newer}");
        let older = Refusal::NoCommonProtocol { ours: theirs, theirs: ours }.to_string();
        let words = format!(
            "who listens speaks {theirs}, who connects speaks {ours}: upgrade the side that connects"
        );
        assert!(older.ends_with(&words), "{older}");
        let cluster = refused(|h| h.identity.cluster = Some(ClusterId(8)));
        assert!(cluster.contains("check the address"), "{cluster}");
        let role = refused(|h| h.expected_role = Role::Meta);
        assert_eq!(role, "a storage server listens here, not a metadata server: check the address");
        let node = refused(|h| h.expected_node = Some(NodeId(4)));
        assert!(node.contains("not node-4"), "{node}");
    }
}
