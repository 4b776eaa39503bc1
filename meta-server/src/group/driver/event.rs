//! What happens to the group, and where what comes of it goes.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use emberfs_meta_server_consensus::{
    Durable, Index, Leadership, MemberId, PeerMessage, Standing, Term,
};
use tokio::sync::{oneshot, watch};

use crate::group::GroupError;
use crate::group::answer::Answer;
use crate::group::lease::Lease;
use crate::group::machine::Machine;
use crate::group::post::Post;
use crate::group::receive::Delivery;
use crate::group::room::Taken;
use crate::group::threads::{ApplyJob, FlushJob, LogJob};
use crate::group::undelivered::Undelivered;
use crate::store::{Applied, Checkpoint};

/// What happens to the group.
pub(in crate::group) enum Event<M: Machine> {
    Order(Order<M>),
    Confirm(Question),
    /// Somebody wants to know how the member stands.
    Stand(oneshot::Sender<Standing>),
    /// Another member says something; with the state that it names, if it names one.
    Heard(PeerMessage, Option<Delivery>, Taken),
    /// What was said to this member did not arrive.
    Unreachable(MemberId),
    /// A state has arrived at this member, or will not, and why.
    SnapshotSent(MemberId, Result<(), Undelivered>),
    /// Another is to lead.
    HandOver,
    Durable(Durable),
    Applied(Applied),
    Installed(Durable, Applied),
    StateDurable(Index),
    /// `None`: it could not be made.
    SnapshotMade(Option<Checkpoint>),
    Failed(GroupError),
    Stop,
}

impl<M: Machine> Event<M> {
    /// What failed, if this says so.
    pub(in crate::group) fn failure(self) -> Option<GroupError> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// A request and where its outcome goes.
pub(in crate::group) struct Order<M: Machine> {
    pub(in crate::group) request: M::Request,
    /// The term in which it is to be proposed, or not at all.
    pub(in crate::group) term: Option<Term>,
    pub(in crate::group) answer: Answer<M::Outcome>,
}

/// Whether this member leads, and where the answer goes.
pub(in crate::group) struct Question {
    /// The term in which it must lead.
    pub(in crate::group) term: Option<Term>,
    pub(in crate::group) answer: Answer<Index>,
}

/// Where effects go.
pub(in crate::group) struct Outlets<M: Machine> {
    pub(in crate::group) log: Sender<LogJob>,
    pub(in crate::group) apply: Sender<ApplyJob<M>>,
    pub(in crate::group) flush: Sender<FlushJob>,
    pub(in crate::group) post: Post,
    pub(in crate::group) public: Public,
}

/// What everybody may see of the driver.
pub(in crate::group) struct Public {
    pub(in crate::group) leadership: watch::Sender<Leadership>,
    pub(in crate::group) lease: Arc<Lease>,
    pub(in crate::group) snapshot: watch::Sender<Option<Arc<Checkpoint>>>,
}
