//! The leader of the model: what it remembers of servers, and what it decides.

use std::collections::BTreeMap;

use emberfs_layout::{BootNumber, NodeId};
use emberfs_wire::cluster::TargetReport;

use super::messages::Message;
use super::server::number;
use super::{DELAY_MAX, Guard, TERM_MS, TICK_MS, World};
use crate::membership::{LeaseTerm, Leases, MemberFacts, Outages, next, served_before};
use crate::target::Millis;

pub(super) struct Leader {
    pub(super) term: u64,
    pub(super) leases: Leases,
    pub(super) outages: Outages,
    pub(super) reports: BTreeMap<usize, (BootNumber, TargetReport)>,
    pub(super) changing: bool,
}

impl Leader {
    pub(super) fn elected(term: u64, now: u64) -> Self {
        let leases = Leases::new(Millis(now), LeaseTerm::new(TERM_MS).expect("long enough"));
        let (outages, reports) = (Outages::default(), BTreeMap::new());
        Self { term, leases, outages, reports, changing: false }
    }
}

impl World {
    pub(super) fn decide(&mut self) {
        let (now, chain) = (Millis(self.now), &self.state.chain);
        let tail_first = self.leader.outages.tail_first(chain, now);
        if self.leader.changing {
            return;
        }
        let servers: Vec<usize> = chain.members.iter().map(|m| m.target.get() as usize).collect();
        let facts = servers.iter().map(|server| {
            let report = self.leader.reports.get(server);
            let of_now = report.filter(|(boot, _)| *boot == self.state.boot(*server));
            MemberFacts {
                life: self.leader.leases.life(NodeId(number(*server)), now),
                restarted: self.state.restarted(*server),
                report: of_now.map(|(_, report)| *report),
            }
        });
        let Some(new) = next(chain, &facts.collect::<Vec<_>>(), tail_first) else { return };
        let held = served_before(chain, &new).map(|target| NodeId(target.get()));
        let held: Vec<NodeId> = held.filter(|_| self.without != Some(Guard::Hold)).collect();
        self.leader.leases.hold(chain.id, held);
        self.leader.changing = true;
        let boots = new.members.iter().map(|m| self.state.boot(m.target.get() as usize)).collect();
        let apply =
            Message::Apply { term: self.leader.term, from: chain.version, chain: new, boots };
        let slow = self.random.chance(3);
        let ticks = self.random.below(if slow { 10 * DELAY_MAX } else { DELAY_MAX });
        self.under_way.push((self.now + ticks * TICK_MS, apply));
    }
}
