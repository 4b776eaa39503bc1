//! What the leader remembers of storage servers beside their records: their leases, and what each last
//! reported. It is gone with the leader; a new one takes every server for one that may still serve until a
//! whole lease after its own beginning.
//!
//! # A lease goes with the routing
//! An answer grants a lease only if it carries all changes that end service of the server's members. Its
//! routing is read first, then the lease is granted; between the two a change may be decided, applied and
//! done. So each reader first takes an [`Edition`], and an answer of an older one is not given: it is read
//! again. Whether members are there and who is held back are decided under one lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emberfs_chain_replication::membership::{
    LeaseTerm, Leases, Life, MemberFacts, Outages, next, served_before,
};
use emberfs_chain_replication::target::Millis;
use emberfs_layout::{ChainId, NodeId, Sequence, TargetId};
use emberfs_meta_server_state::cluster::{PlacedChain, PlacedMember};
use emberfs_wire::cluster::{Chain, Heartbeat, NodeStatus};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How long to wait at most for a heartbeat before servers are looked at again: one of them may have been
/// lost, and nothing comes that says so.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The storage servers that were heard of.
#[derive(Debug)]
pub(crate) struct Servers {
    began: Instant,
    state: Mutex<State>,
    /// Told when a heartbeat says something else than the one before.
    news: Notify,
}

#[derive(Debug)]
struct State {
    leases: Leases,
    outages: Outages,
    said: BTreeMap<NodeId, Heartbeat>,
    edition: Edition,
}

/// Counts the changes of chains that were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition(u64);

impl Servers {
    /// None was heard of since `began`.
    pub(crate) fn new(began: Instant, term: LeaseTerm) -> Self {
        let state = State {
            leases: Leases::new(Millis(0), term),
            outages: Outages::default(),
            said: BTreeMap::new(),
            edition: Edition(0),
        };
        Self { began, state: Mutex::new(state), news: Notify::new() }
    }

    /// To be taken before the routing of an answer is read.
    pub(crate) fn edition(&self) -> Edition {
        self.lock().edition
    }

    /// Notes that a heartbeat is answered; says how long a lease the answer grants, in milliseconds (0:
    /// none), or `None` if its routing is to be read again. `informed`: as [`Leases::answer`] has it.
    pub(crate) fn answer(&self, said: &Heartbeat, informed: bool, edition: Edition) -> Option<u32> {
        let mut state = self.lock();
        if state.edition != edition {
            return None;
        }
        let lease = state.leases.answer(said.node, informed, self.now());
        let before = state.said.insert(said.node, said.clone());
        let same = |before: &Heartbeat| {
            (before.boot, before.ended) == (said.boot, said.ended) && before.targets == said.targets
        };
        if !before.as_ref().is_some_and(same) {
            self.news.notify_waiters();
        }
        Some(lease)
    }

    /// What a chain is to become, if anything. Servers whose members it takes out of service get no lease
    /// from now on, until [`Self::applied`].
    pub(crate) fn decide(&self, placed: &PlacedChain) -> Option<Chain> {
        let PlacedChain { chain, places } = placed;
        let mut state = self.lock();
        let now = self.now();
        let members = chain.members.iter().zip(places);
        let facts: Vec<MemberFacts> =
            members.clone().map(|(member, place)| state.facts(member.target, place, now)).collect();
        let tail_first = state.outages.tail_first(chain, now);
        let next = next(chain, &facts, tail_first)?;
        let held: Vec<TargetId> = served_before(chain, &next).collect();
        let held = members.filter(|(member, _)| held.contains(&member.target));
        state.leases.hold(chain.id, held.map(|(_, place)| place.node));
        Some(next)
    }

    /// The change that [`Self::decide`] made is applied, or had no effect.
    pub(crate) fn applied(&self, chain: ChainId) {
        let mut state = self.lock();
        state.edition.0 += 1;
        state.leases.release(chain);
    }

    /// Whether a server may serve, as far as this leader knows.
    pub(crate) fn may_serve(&self, node: NodeId) -> bool {
        self.lock().leases.life(node, self.now()) != Life::Lapsed
    }

    /// Up to where a server has confirmed the list of ended sessions.
    pub(crate) fn confirmed(&self, node: NodeId) -> Sequence {
        self.lock().said.get(&node).map_or(Sequence::NONE, |said| said.ended)
    }

    /// How a server stands.
    pub(crate) fn status(&self, node: NodeId) -> NodeStatus {
        let state = self.lock();
        let ago = state.leases.answered_ms_ago(node, self.now());
        let said = state.said.get(&node);
        NodeStatus {
            node,
            heard_ms_ago: ago.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            disks: said.map_or_else(Vec::new, |said| said.disks.clone()),
            targets: said.map_or_else(Vec::new, |said| said.targets.clone()),
        }
    }

    /// Waits until a server says something new, or for a moment.
    pub(crate) async fn news(&self) {
        // Too late is as good as in time: the caller looks at everything again.
        let _in_time = timeout(LOOK_AGAIN, self.news.notified()).await;
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through an update.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known of a member. A report of an earlier start of its server counts for nothing.
    fn facts(&self, target: TargetId, place: &PlacedMember, now: Millis) -> MemberFacts {
        let said = self.said.get(&place.node).filter(|said| said.boot == place.boot);
        let report = said.and_then(|said| said.targets.iter().find(|r| r.target == target));
        MemberFacts {
            life: self.leases.life(place.node, now),
            restarted: place.restarted(),
            report: report.copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::{BootNumber, ChainVersion, RoutingVersion};
    use emberfs_wire::cluster::{ChainMember, LocalState, PublicState, TargetReport};

    fn said(node: u32, boot: u64, state: LocalState) -> Heartbeat {
        let (target, chain) = (TargetId(node), ChainVersion(1));
        Heartbeat {
            node: NodeId(node),
            boot: BootNumber(boot),
            targets: vec![TargetReport { target, state, chain }],
            disks: Vec::new(),
            routing: RoutingVersion(9),
            ended: Sequence(4),
        }
    }

    /// Node 1 has started anew since its member got its state, node 2 has not.
    fn placed() -> PlacedChain {
        let member = |target| ChainMember { target: TargetId(target), state: PublicState::Serving };
        let place = |node, boot, granted| PlacedMember {
            node: NodeId(node),
            boot: BootNumber(boot),
            granted: BootNumber(granted),
        };
        let members = vec![member(1), member(2)];
        let chain = Chain { id: ChainId(1), version: ChainVersion(1), members, min_serving: 1 };
        PlacedChain { chain, places: vec![place(1, 8, 7), place(2, 5, 5)] }
    }

    #[tokio::test]
    async fn no_lease_is_granted_over_a_change_that_the_answer_lacks() {
        let servers = Servers::new(Instant::now(), LeaseTerm::DEFAULT);
        let granted = Some(LeaseTerm::DEFAULT.granted_ms());
        let (one, two) = (said(1, 8, LocalState::Online), said(2, 5, LocalState::UpToDate));
        let before = servers.edition();
        assert_eq!(servers.answer(&two, true, before), granted);
        assert_eq!(servers.answer(&one, false, before), Some(0), "not informed");
        let next = servers.decide(&placed()).expect("one of two lost what was not durable");
        assert_eq!(next.members[1].target, TargetId(1));
        assert_eq!(servers.answer(&one, true, before), Some(0), "the change is under way");
        assert_eq!(servers.answer(&two, true, before), granted, "it does not concern this one");
        servers.applied(next.id);
        assert_eq!(servers.answer(&one, true, before), None, "read before the change");
        assert_eq!(servers.answer(&one, true, servers.edition()), granted);
    }

    #[tokio::test]
    async fn a_report_of_an_earlier_start_counts_for_nothing() {
        let servers = Servers::new(Instant::now(), LeaseTerm::DEFAULT);
        servers.answer(&said(2, 5, LocalState::UpToDate), true, servers.edition());
        servers.answer(&said(1, 7, LocalState::UpToDate), true, servers.edition());
        let next = servers.decide(&placed()).expect("its process is gone");
        assert_eq!(next.members[1].state, PublicState::Offline);
        assert_eq!(servers.confirmed(NodeId(1)), Sequence(4));
        assert!(servers.may_serve(NodeId(3)), "an earlier leader may have answered it");
    }
}
