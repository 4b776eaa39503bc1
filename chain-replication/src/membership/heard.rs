//! What a leader has heard of servers, and what follows for chains: leases, reports and outages together.
//!
//! ```text
//!   heartbeat ──► answer ──► a lease, if the answer carries all of the routing
//!   a chain ────► decide ──► a change to propose ──► applied
//! ```
//! It is gone with the leader; a new one takes every server for one that may still serve until a whole lease
//! after its own beginning.
//!
//! # A lease goes with the routing
//! An answer grants a lease only if it carries all changes that end service of the server's members. Its
//! routing is read first, then the lease is granted; between the two a change may be decided, applied and
//! done. So each reader first takes an [`Edition`], and an answer of an older one is not given: it is read
//! again.

use std::collections::BTreeMap;

use emberfs_layout::{BootNumber, ChainId, ChainVersion, NodeId, TargetId};
use emberfs_wire::cluster::{Chain, Heartbeat};

use super::chain::{MemberFacts, next, rows, served_before};
use super::leases::{LeaseTerm, Leases};
use super::outages::Outages;
use crate::target::Millis;

/// Where a member of a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// On which node.
    pub node: NodeId,
    /// The latest start of that node.
    pub boot: BootNumber,
    /// The start under which it got its present state.
    pub granted: BootNumber,
}

/// What a chain is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The version that it has.
    pub from: ChainVersion,
    /// The chain as it is to be.
    pub chain: Chain,
    /// The latest start of each member's server, in the order of the changed chain: with any other the change
    /// must have no effect.
    pub boots: Vec<BootNumber>,
}

/// What a heartbeat came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How long a lease the answer grants, in milliseconds; 0: none.
    pub lease_ms: u32,
    /// Whether the server said something else than before: chains may be due for a change.
    pub news: bool,
}

/// Counts the changes of chains that were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edition(u64);

/// What one leader has heard, from its election on.
#[derive(Clone, Debug)]
pub struct Heard {
    leases: Leases,
    outages: Outages,
    said: BTreeMap<NodeId, Heartbeat>,
    edition: Edition,
}

impl Heard {
    /// Nothing yet; `elected` as [`Leases::new`] has it.
    #[must_use]
    pub fn new(elected: Millis, term: LeaseTerm) -> Self {
        Self {
            leases: Leases::new(elected, term),
            outages: Outages::default(),
            said: BTreeMap::new(),
            edition: Edition::default(),
        }
    }

    /// The same, where leaders before granted by `earlier` at most.
    #[must_use]
    pub fn after(self, earlier: LeaseTerm) -> Self {
        Self { leases: self.leases.after(earlier), ..self }
    }

    /// To be taken before the routing of an answer is read.
    #[must_use]
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// Notes that a heartbeat of a server's latest start is answered; `None` if the answer's routing is to be
    /// read again. `informed` and `now`: as [`Leases::answer`] has them.
    pub fn answer(
        &mut self,
        said: &Heartbeat,
        informed: bool,
        edition: Edition,
        now: Millis,
    ) -> Option<Answered> {
        if self.edition != edition {
            return None;
        }
        let lease_ms = self.leases.answer(said.node, informed, now);
        let before = self.said.insert(said.node, said.clone());
        let same = |before: &Heartbeat| {
            (before.boot, before.ended) == (said.boot, said.ended) && before.targets == said.targets
        };
        Some(Answered { lease_ms, news: !before.as_ref().is_some_and(same) })
    }

    /// What a chain is to become, if anything; `places` are of its members, in their order. Servers whose
    /// members it takes out of service get no lease from now on, until [`Self::applied`].
    pub fn decide(&mut self, chain: &Chain, places: &[Place], now: Millis) -> Option<Change> {
        let tail_first = self.outages.tail_first(chain, now);
        let next = next(chain, &self.facts(chain, places, now), tail_first)?;
        let place: BTreeMap<TargetId, Place> =
            chain.members.iter().map(|member| member.target).zip(places.iter().copied()).collect();
        let held = served_before(chain, &next).map(|target| place[&target].node);
        self.leases.hold(chain.id, held);
        let boots = next.members.iter().map(|member| place[&member.target].boot).collect();
        Some(Change { from: chain.version, chain: next, boots })
    }

    /// Which rows of the [table](super::table::ROWS) a decision now would go by, of each member: what a
    /// simulation counts.
    pub fn rows(&mut self, chain: &Chain, places: &[Place], now: Millis) -> Vec<usize> {
        let tail_first = self.outages.tail_first(chain, now);
        rows(chain, &self.facts(chain, places, now), tail_first)
    }

    /// The change that [`Self::decide`] made is applied, or had no effect.
    pub fn applied(&mut self, chain: ChainId) {
        self.edition.0 += 1;
        self.leases.release(chain);
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What a server said last.
    #[must_use]
    pub fn said(&self, node: NodeId) -> Option<&Heartbeat> {
        self.said.get(&node)
    }

    /// What is known of each member. A report of an earlier start of its server counts for nothing. A start that
    /// registered and was not heard of since may be the late word of a process that is gone, overtaken by that
    /// of the one that runs: it says nothing about who serves.
    fn facts(&self, chain: &Chain, places: &[Place], now: Millis) -> Vec<MemberFacts> {
        let pairs = chain.members.iter().zip(places);
        let facts = pairs.map(|(member, place)| {
            let said = self.said.get(&place.node).filter(|said| said.boot == place.boot);
            let report = said.and_then(|s| s.targets.iter().find(|r| r.target == member.target));
            MemberFacts {
                life: self.leases.life(place.node, now),
                restarted: place.granted != place.boot && said.is_some(),
                report: report.copied(),
            }
        });
        facts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::{RoutingVersion, Sequence};
    use emberfs_wire::cluster::{ChainMember, LocalState, PublicState, TargetReport};

    const NOW: Millis = Millis(7);

    fn said(node: u32, boot: u64, state: LocalState) -> Heartbeat {
        let (target, chain) = (TargetId(node), ChainVersion(1));
        Heartbeat {
            node: NodeId(node),
            boot: BootNumber(boot),
            targets: vec![TargetReport { target, state, chain, hindrance: None }],
            disks: Vec::new(),
            routing: RoutingVersion(9),
            ended: Sequence(4),
            marks_wanted: Vec::new(),
            load: None,
        }
    }

    /// Node 1 has started anew since its member got its state, node 2 has not.
    fn placed() -> (Chain, Vec<Place>) {
        let member = |target| ChainMember { target: TargetId(target), state: PublicState::Serving };
        let place = |node, boot, granted| Place {
            node: NodeId(node),
            boot: BootNumber(boot),
            granted: BootNumber(granted),
        };
        let members = vec![member(1), member(2)];
        let chain = Chain { id: ChainId(1), version: ChainVersion(1), members, min_serving: 1 };
        (chain, vec![place(1, 8, 7), place(2, 5, 5)])
    }

    #[test]
    fn no_lease_is_granted_over_a_change_that_the_answer_lacks() {
        let mut heard = Heard::new(Millis(0), LeaseTerm::DEFAULT);
        let granted = Some(LeaseTerm::DEFAULT.granted_ms());
        let lease = |answered: Option<Answered>| answered.map(|answered| answered.lease_ms);
        let (one, two) = (said(1, 8, LocalState::Online), said(2, 5, LocalState::UpToDate));
        let before = heard.edition();
        assert_eq!(lease(heard.answer(&two, true, before, NOW)), granted);
        assert_eq!(lease(heard.answer(&one, false, before, NOW)), Some(0), "not informed");
        let (chain, places) = placed();
        let change = heard.decide(&chain, &places, NOW).expect("one of two lost something");
        assert_eq!(change.chain.members[1].target, TargetId(1));
        assert_eq!(change.boots, [BootNumber(5), BootNumber(8)], "in the new order");
        assert_eq!(lease(heard.answer(&one, true, before, NOW)), Some(0), "a change is under way");
        assert_eq!(lease(heard.answer(&two, true, before, NOW)), granted, "it is another's");
        heard.applied(chain.id);
        assert_eq!(heard.answer(&one, true, before, NOW), None, "read before the change");
        assert_eq!(lease(heard.answer(&one, true, heard.edition(), NOW)), granted);
    }

    #[test]
    fn what_an_earlier_start_said_counts_for_nothing() {
        let mut heard = Heard::new(Millis(0), LeaseTerm::DEFAULT);
        heard.answer(&said(2, 5, LocalState::UpToDate), true, heard.edition(), NOW);
        let first = heard.answer(&said(1, 7, LocalState::UpToDate), true, heard.edition(), NOW);
        assert!(first.is_some_and(|answered| answered.news));
        let again = heard.answer(&said(1, 7, LocalState::UpToDate), true, heard.edition(), NOW);
        assert!(again.is_some_and(|answered| !answered.news));
        assert_eq!(heard.said(NodeId(1)).map(|said| said.ended), Some(Sequence(4)));
        let (chain, places) = placed();
        let mut new = said(1, 8, LocalState::Online);
        new.targets.clear(); // it has not heard yet what it should have
        heard.answer(&new, false, heard.edition(), NOW);
        let change = heard.decide(&chain, &places, NOW).expect("the earlier process is gone");
        assert_eq!(change.chain.members[1].state, PublicState::Offline);
    }

    #[test]
    fn a_start_that_only_registered_may_be_a_late_word_of_one_that_is_gone() {
        let mut heard = Heard::new(Millis(0), LeaseTerm::DEFAULT);
        let (chain, places) = placed();
        heard.answer(&said(1, 7, LocalState::UpToDate), true, heard.edition(), NOW);
        heard.answer(&said(2, 5, LocalState::UpToDate), true, heard.edition(), NOW);
        assert_eq!(heard.decide(&chain, &places, NOW), None, "start 7 may run, and has a lease");
        let lapsed = NOW.after(u64::from(LeaseTerm::DEFAULT.ms()));
        heard.answer(&said(2, 5, LocalState::UpToDate), true, heard.edition(), lapsed);
        let change = heard.decide(&chain, &places, lapsed).expect("its lease is over");
        assert_eq!(change.chain.members[1].state, PublicState::Offline);
    }
}
