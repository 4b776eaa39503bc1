//! The requests that a metadata member serves.
//!
//! A handler turns bytes into a request, hands it to what stands behind, and turns the answer into
//! bytes: it decides nothing. Only a leader serves; another member asks the sender to come again.
//!
//! * `clients`: which there are.
//! * `names`: sessions, changes of the namespace, questions about it.
//! * `servers`: registration, heartbeats, routing, status.
//! * `orders`: what an operator wants done.

mod clients;
mod names;
mod orders;
mod servers;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use emberfs_meta_server_state::Outcome;
use emberfs_transport::{Answer, Handler, IncomingCall};
use emberfs_wire::cluster::{Administer, GetClients, GetRouting, GetStatus, Heartbeat, Register};
use emberfs_wire::meta::{Ask, EndSession, Mutate, OpenSession, RenewSession};
use emberfs_wire::{Request, WireError, decode, encode};
use tokio::sync::watch;

use crate::background::Leader;
use crate::group::GroupError;

/// Serves one connection; clones serve others.
#[derive(Clone)]
pub(crate) struct Service {
    leader: watch::Receiver<Option<Arc<Leader>>>,
}

impl Service {
    /// Serves while there is a leader here.
    pub(crate) fn new(leader: watch::Receiver<Option<Arc<Leader>>>) -> Self {
        Self { leader }
    }

    fn leader(&self) -> Result<Arc<Leader>, WireError> {
        self.leader.borrow().clone().ok_or_else(|| GroupError::NOT_LEADING.into())
    }
}

impl Handler for Service {
    async fn handle(&self, call: IncomingCall) -> Answer {
        let leader = &self.leader()?;
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
            GetRouting::METHOD => answer(&call, |r| servers::routing(leader, r)).await,
            GetStatus::METHOD => answer(&call, |_: GetStatus| servers::status(leader)).await,
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
    let request = decode(&call.message).map_err(|error| WireError::bug(error.to_string()))?;
    let reply = work(request).await?;
    let mut message = Vec::new();
    encode(&reply, &mut message);
    Ok((message, Bytes::new()))
}

/// An outcome of another command than the proposed one.
fn mismatch(outcome: &Outcome) -> WireError {
    tracing::error!(?outcome, "the outcome of another command");
    WireError::bug("the outcome of another command")
}
