//! The replicated state of the model: the chain, the starts of servers, and who was given what.

use std::collections::BTreeMap;

use emberfs_layout::{BootNumber, ChainVersion, TargetId};
use emberfs_wire::cluster::Chain;
use emberfs_wire::cluster::PublicState::{Serving, Syncing};

use super::Guard;
use super::server::{member_state, number};

/// What the members of the metadata group agree on.
pub(super) struct State {
    pub(super) chain: Chain,
    pub(super) granted: BTreeMap<TargetId, BootNumber>,
    /// The same of each version, as it should be whatever is left out.
    pub(super) grants: BTreeMap<ChainVersion, BTreeMap<TargetId, BootNumber>>,
    pub(super) starts: Vec<(u64, BootNumber)>,
    pub(super) last_boot: BootNumber,
}

impl State {
    pub(super) fn boot(&self, server: usize) -> BootNumber {
        self.starts[server].1
    }

    pub(super) fn register(&mut self, server: usize, start: u64) -> Option<BootNumber> {
        let (last, boot) = self.starts[server];
        if start > last {
            self.last_boot = self.last_boot.next();
            self.starts[server] = (start, self.last_boot);
            return Some(self.last_boot);
        }
        (start == last).then_some(boot)
    }

    /// As the cluster's state machine does it.
    pub(super) fn set_chain(
        &mut self,
        from: ChainVersion,
        chain: Chain,
        boots: &[BootNumber],
        without: Option<Guard>,
    ) -> bool {
        let latest = chain.members.iter().map(|m| self.boot(m.target.get() as usize));
        let latest: Vec<BootNumber> = latest.collect();
        let same = without == Some(Guard::Boots) || latest == boots;
        if self.chain.version != from || !same {
            return false;
        }
        let mut grants = self.grants[&from].clone();
        for (member, boot) in chain.members.iter().zip(boots) {
            if !self.chain.members.contains(member) {
                grants.insert(member.target, *boot);
            }
        }
        self.grants.insert(chain.version, grants);
        let given: Vec<BootNumber> = match without {
            Some(Guard::Boots) => latest,
            _ => boots.to_vec(),
        };
        for (member, boot) in chain.members.iter().zip(&given) {
            if !self.chain.members.contains(member) || without == Some(Guard::Granted) {
                self.granted.insert(member.target, *boot);
            }
        }
        self.chain = chain;
        true
    }

    pub(super) fn restarted(&self, server: usize) -> bool {
        self.granted[&TargetId(number(server))] != self.boot(server)
    }

    pub(super) fn settled(&self, server: usize) -> bool {
        let active = matches!(member_state(&self.chain, server), Serving | Syncing);
        !(active && self.restarted(server))
    }
}
