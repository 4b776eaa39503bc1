//! The requests that a metadata member serves.
//!
//! A handler turns bytes into a request, hands it to what stands behind, and turns the answer into
//! bytes: it decides nothing. The leader serves all; another member answers what it can from its own state
//! (`follower`), and names the leader for everything else.
//!
//! * `clients`: which there are.
//! * `follower`: what a member answers that does not lead.
//! * `members`: what the members of the group say to each other, and how each stands.
//! * `names`: sessions, changes of the namespace, questions about it.
//! * `servers`: registration, heartbeats, routing, status.
//! * `orders`: what an operator wants done.

mod clients;
mod follower;
mod members;
mod names;
mod orders;
mod servers;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use emberfs_layout::ClusterId;
use emberfs_meta_server_consensus::{Leadership, MemberId};
use emberfs_meta_server_state::{Outcome, StoreError};
use emberfs_transport::{Answer, Handler, IncomingCall, Link};
use emberfs_wire::cluster::{
    Administer, GetClients, GetRouting, GetStatus, Heartbeat, NodeLoad, Register,
};
use emberfs_wire::group::{FetchPiece, GetMember, Install, Tell};
use emberfs_wire::handshake::{Identity, Role};
use emberfs_wire::meta::{Ask, EndSession, Mutate, OpenSession, RenewSession};
use emberfs_wire::{Request, WireError, decode, encode};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::background::Leader;
use crate::group::{Group, GroupError};
use crate::store::StateView;

/// How long a request waits that comes while this member takes over: it does so within some round trips, and
/// whoever is sent away meets nobody else who leads.
const BEGIN_WAIT: Duration = Duration::from_millis(500);

/// Serves one connection; clones serve others.
#[derive(Clone)]
pub(crate) struct Service {
    leader: watch::Receiver<Option<Arc<Leader>>>,
    group: Group,
    around: Arc<Surroundings>,
    /// Which other member the connection is of.
    member: Option<MemberId>,
}

/// Where the member stands.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    /// Which member it is.
    pub(crate) member: MemberId,
    /// Where all members listen, in order, this one among them.
    pub(crate) members: Vec<String>,
    /// The ways to the others.
    pub(crate) links: BTreeMap<MemberId, Link>,
    /// What it did in the last seconds.
    pub(crate) load: watch::Receiver<Option<NodeLoad>>,
}

impl Service {
    /// Serves as the leader while there is one here.
    pub(crate) fn new(
        leader: watch::Receiver<Option<Arc<Leader>>>,
        group: Group,
        around: Surroundings,
    ) -> Self {
        Self { leader, group, around: Arc::new(around), member: None }
    }

    /// The same, for the connection of this peer.
    pub(crate) fn for_peer(&self, peer: &Identity) -> Self {
        let ours = peer.role == Role::Meta && peer.cluster == Some(self.around.cluster);
        let number = peer.node.filter(|_| ours).map(|node| MemberId(u64::from(node.get())));
        let member = number.filter(|number| self.around.links.contains_key(number));
        Self { member, ..self.clone() }
    }

    /// Whether the connection is that of another member of the group.
    pub(crate) fn is_member(&self) -> bool {
        self.member.is_some()
    }

    /// The leader that is here; waited for, if this member is taking over.
    async fn leader(&self) -> Result<Arc<Leader>, WireError> {
        let mut here = self.leader.clone();
        if let Some(leader) = here.borrow_and_update().clone() {
            return Ok(leader);
        }
        let leadership = *self.group.leadership().borrow();
        if matches!(leadership, Leadership::Leader { .. })
            && let Ok(Ok(begun)) = timeout(BEGIN_WAIT, here.wait_for(Option::is_some)).await
            && let Some(leader) = begun.clone()
        {
            return Ok(leader);
        }
        Err(GroupError::NotLeader { leader: self.group.leader() }.into())
    }

    /// Whether another member leads, so that this one answers from its own state.
    fn follows(&self) -> bool {
        self.group.leader().is_some()
    }

    /// Asks the state of this member, whoever leads.
    async fn look<R>(
        &self,
        ask: impl FnOnce(&StateView<'_>) -> Result<R, StoreError>,
    ) -> Result<R, WireError> {
        let asked = match self.follows() {
            true => self.group.read_here(ask).await,
            false => self.leader().await?.group.read(ask).await,
        };
        asked.map_err(WireError::from)
    }
}

impl Handler for Service {
    async fn handle(&self, call: IncomingCall) -> Answer {
        match call.method {
            Tell::METHOD | Install::METHOD | FetchPiece::METHOD | GetMember::METHOD => {
                return members::handle(self, &call).await;
            }
            Ask::METHOD if self.follows() => {
                return answer(&call, |r| follower::ask(&self.group, r)).await;
            }
            GetRouting::METHOD => return answer(&call, |r| servers::routing(self, r)).await,
            _ => {}
        }
        let leader = &self.leader().await?;
        match call.method {
            OpenSession::METHOD => {
                answer(&call, |r| names::open_session(leader, &call.peer, r)).await
            }
            RenewSession::METHOD => {
                answer(&call, |r| names::renew_session(leader, &call.peer, r)).await
            }
            EndSession::METHOD => answer(&call, |r| names::end_session(leader, r)).await,
            Mutate::METHOD => answer(&call, |r| names::mutate(leader, r)).await,
            Ask::METHOD => answer(&call, |r| names::ask(leader, r)).await,
            Register::METHOD => answer(&call, |r| servers::register(leader, r)).await,
            Heartbeat::METHOD => answer(&call, |r| servers::heartbeat(leader, r)).await,
            GetStatus::METHOD => {
                let load = *self.around.load.borrow();
                answer(&call, |_: GetStatus| servers::status(leader, load)).await
            }
            GetClients::METHOD => answer(&call, |r| clients::list(leader, r)).await,
            Administer::METHOD => answer(&call, |r| orders::administer(leader, r)).await,
            other => Err(WireError::bug(format!("{other} is not served by a metadata member"))),
        }
    }
}

/// Decodes a request, has it worked on, encodes the reply.
async fn answer<R, F>(call: &IncomingCall, work: impl FnOnce(R) -> F) -> Answer
where
    R: Request,
    F: Future<Output = Result<R::Reply, WireError>>,
{
    let reply = work(request(call)?).await?;
    Ok((bytes_of(&reply), Bytes::new()))
}

/// The request that came.
fn request<R: Request>(call: &IncomingCall) -> Result<R, WireError> {
    decode(&call.message).map_err(|error| WireError::bug(error.to_string()))
}

/// A reply, encoded.
fn bytes_of(reply: &impl minicbor::Encode<()>) -> Vec<u8> {
    let mut message = Vec::new();
    encode(reply, &mut message);
    message
}

/// An outcome of another command than the proposed one.
fn mismatch(outcome: &Outcome) -> WireError {
    tracing::error!(?outcome, "the outcome of another command");
    WireError::bug("the outcome of another command")
}
