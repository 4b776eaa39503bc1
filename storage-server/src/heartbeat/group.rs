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

    /// The member to ask, as soon as it is connected; the next one if it is not within `wait`.
    pub(super) async fn member(&mut self, wait: Duration) -> Result<Member, GroupError> {
        let (address, link) = &self.members[self.current];
        if let Ok(Some((peer, _))) = timeout(wait, link.peer()).await {
            return Ok(Member { address: address.clone(), peer });
        }
        let why = match link.state() {
            LinkState::Down { why: Some(why) } => why,
            _ => format!("none within {} ms", wait.as_millis()),
        };
        let address = address.clone();
        self.turn();
        Err(GroupError::Unreachable { address, why })
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
