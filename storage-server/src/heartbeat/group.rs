//! The members of the metadata group, as this server speaks to them: to the one that answered last.

use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use emberfs_transport::{
    Address, CallError, CallOptions, Dial, Limits, Link, NoService, Peer, Tcp,
};
use emberfs_wire::handshake::Hello;
use emberfs_wire::{Request, WireError};
use thiserror::Error;
use tokio::time::timeout;

use emberfs_transport::link::LinkState;

/// What members say to a server has no payload.
const MEMORY: ByteLen = ByteLen::ZERO;

/// Links to all members, and which of them seems to lead.
#[derive(Debug)]
pub(super) struct MetaGroup {
    members: Vec<(Address, Link)>,
    current: usize,
}

/// Why the group did not answer.
#[derive(Debug, Error)]
pub(super) enum GroupError {
    /// The member cannot be reached.
    #[error("no connection to {address}: {why}")]
    Unreachable { address: Address, why: String },
    /// It was reached, and answered nothing of use.
    #[error("{address}: {source}")]
    Call { address: Address, source: CallError },
}

impl GroupError {
    /// The answer of a member that will not change by asking again.
    pub(super) fn refusal(&self) -> Option<&WireError> {
        match self {
            Self::Call { source: CallError::Failed(error), .. } if !error.is_transient() => {
                Some(error)
            }
            _ => None,
        }
    }
}

impl MetaGroup {
    /// Dials all members, from tasks of the current local set.
    pub(super) fn dial(addresses: &[Address], hello: &Hello) -> Self {
        let link = |address: &Address| {
            let dial = Dial {
                network: Tcp,
                address: address.clone(),
                hello: hello.clone(),
                pool: Pool::new(MEMORY),
                limits: Limits::default(),
            };
            let (link, driver) = Link::new(dial, NoService);
            tokio::task::spawn_local(driver);
            (address.clone(), link)
        };
        Self { members: addresses.iter().map(link).collect(), current: 0 }
    }

    /// The member to ask, as soon as it is connected. Whoever gets no answer of it turns to the next.
    pub(super) async fn member(&self, wait: Duration) -> Result<Member, GroupError> {
        let (address, link) = &self.members[self.current];
        if let Ok(Some((peer, _))) = timeout(wait, link.peer()).await {
            return Ok(Member { address: address.clone(), peer });
        }
        let why = match link.state() {
            LinkState::Down { why: Some(why) } => why,
            _ => format!("none within {} ms", wait.as_millis()),
        };
        Err(GroupError::Unreachable { address: address.clone(), why })
    }

    /// Asks the next member from now on.
    pub(super) fn turn(&mut self) {
        self.current = (self.current + 1) % self.members.len();
    }
}

/// A connected member.
#[derive(Debug)]
pub(super) struct Member {
    address: Address,
    peer: Peer,
}

impl Member {
    pub(super) async fn call<R: Request>(
        &self,
        request: &R,
        wait: Duration,
    ) -> Result<R::Reply, GroupError> {
        let options = CallOptions { wait: Some(wait), ..CallOptions::default() };
        match self.peer.call(request, Bytes::new(), &options).await {
            Ok(reply) => Ok(reply.message),
            Err(source) => Err(GroupError::Call { address: self.address.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use emberfs_wire::handshake::{Identity, Role};
    use emberfs_wire::protocol::{Features, ProtocolRange};
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn each_member_has_its_turn() {
        let hello = Hello {
            protocol: ProtocolRange::OURS,
            features: Features::OURS,
            identity: Identity {
                cluster: None,
                role: Role::Storage,
                node: None,
                boot: None,
                client: None,
            },
            expected_role: Role::Meta,
            expected_node: None,
            shard: None,
        };
        // Nobody listens there.
        let addresses: Vec<Address> =
            ["127.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().expect("an address")).to_vec();
        let asked = async {
            let mut group = MetaGroup::dial(&addresses, &hello);
            let mut asked = Vec::new();
            for _ in 0..4 {
                match group.member(Duration::from_millis(1)).await {
                    Err(GroupError::Unreachable { address, .. }) => asked.push(address),
                    other => panic!("{other:?}"),
                }
                group.turn();
            }
            asked
        };
        let asked = LocalSet::new().run_until(asked).await;
        assert_eq!(asked, [&addresses[..], &addresses[..]].concat());
    }
}
