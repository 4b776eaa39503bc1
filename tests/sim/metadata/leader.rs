//! One leader of the metadata group, for one term: what it keeps beside the replicated state, by the clock of its
//! member. All that it decides, the real membership core decides.

use std::collections::BTreeMap;

use emberfs_chain_replication::membership::{
    Answered, Change, Edition, Heard, LeaseTerm, Life, Place,
};
use emberfs_chain_replication::target::Millis;
use emberfs_layout::{ClientId, RoutingVersion, Sequence};
use emberfs_meta_server_consensus::Term;
use emberfs_meta_server_state::cluster::{self, PlacedChain, PlacedMember};
use emberfs_meta_server_state::{StoreError, View};
use emberfs_wire::cluster::{Chain, ChainMember, Heartbeat, PublicState, WantedMark};
use emberfs_wire::meta::RenewSession;

use crate::coverage::Rows;
use crate::planted::Planted;
use crate::server::Clock;

/// By how much a leader that does not wait for T runs ahead.
const HASTE: u64 = 4;

/// How far ahead a leader counts from that does not wait for what earlier ones granted.
const EARLIER_MS: u64 = 10_000;

pub(super) struct Leader {
    heard: Heard,
    /// By what it grants, and the longest that leaders before it may have granted by.
    pub(super) own: LeaseTerm,
    pub(super) longest: LeaseTerm,
    began: u64,
    /// At which member, the how many-th start of it, and in which term.
    pub(super) member: usize,
    pub(super) start: u64,
    pub(super) term: Term,
    /// It does nothing any more, and grants nothing.
    pub(super) ended: bool,
    pub(super) clock: Clock,
    /// It has taken over, and answers.
    pub(super) ready: bool,
    /// There were others before it.
    pub(super) is_later: bool,
    /// The chains of this version of the routing.
    known: RoutingVersion,
    chains: Vec<PlacedChain>,
    /// The latest look at the chains that was set for a time; earlier ones are void.
    pub(super) look: u64,
    /// Changes that are decided and not applied.
    pub(super) under_way: usize,
    /// Up to where the list of ended sessions was shortened.
    pub(super) forgotten: Sequence,
    /// The latest of each session.
    renewals: BTreeMap<ClientId, RenewSession>,
    planted: Option<Planted>,
}

impl Leader {
    pub(super) fn new(
        (member, start): (usize, u64),
        term: Term,
        clock: Clock,
        began: u64,
        own: LeaseTerm,
        planted: Option<Planted>,
    ) -> Self {
        Self {
            heard: Heard::new(Millis(0), own),
            own,
            longest: own,
            began,
            member,
            start,
            term,
            ended: false,
            clock,
            ready: false,
            is_later: false,
            known: RoutingVersion::NONE,
            chains: Vec::new(),
            look: 0,
            under_way: 0,
            forgotten: Sequence::NONE,
            renewals: BTreeMap::new(),
            planted,
        }
    }

    /// Leaders before it granted by the recorded lease at most.
    pub(super) fn follows(&mut self, recorded: Option<u32>) {
        if self.planted != Some(Planted::EarlierLeaseIgnored) {
            self.longest = recorded.and_then(LeaseTerm::new).unwrap_or(self.own);
            self.heard = Heard::new(Millis(0), self.own).after(self.longest);
        }
    }

    /// After how many true milliseconds all has ended that leaders before it granted.
    pub(super) fn outlasts(&self, now: u64) -> u64 {
        let left = u64::from(self.longest.ms()).saturating_sub(self.now(now).0);
        (left * 100).div_ceil(self.clock.pace)
    }

    fn now(&self, now: u64) -> Millis {
        let since = self.clock.at(now).0 - self.clock.at(self.began).0;
        Millis(match self.planted {
            Some(Planted::ChangedTooEarly) => since * HASTE,
            Some(Planted::EarlierGrantsIgnored) if self.is_later => since + EARLIER_MS,
            _ => since,
        })
    }

    /// No change is under way, and it goes on.
    pub(super) fn may_look(&self) -> bool {
        !self.ended && self.under_way == 0
    }

    pub(super) fn edition(&self) -> Edition {
        self.heard.edition()
    }

    pub(super) fn answer(
        &mut self,
        now: u64,
        said: &Heartbeat,
        informed: bool,
        edition: Edition,
    ) -> Option<Answered> {
        if self.ended {
            return Some(Answered { lease_ms: 0, news: false });
        }
        let informed = informed || self.planted == Some(Planted::RestartIgnored);
        self.heard.answer(said, informed, edition, self.now(now))
    }

    /// A session that lives gave a sign of life.
    pub(super) fn renewed(&mut self, renewal: RenewSession) {
        self.renewals.insert(renewal.client, renewal);
    }

    /// Marks of sessions, as far as they were heard.
    pub(super) fn low_waters(&self, wanted: &[WantedMark]) -> Vec<(WantedMark, Sequence)> {
        if self.planted == Some(Planted::MarksKept) {
            return Vec::new();
        }
        let mark = |&wanted: &WantedMark| {
            Some((wanted, self.renewals.get(&wanted.client)?.low_water(wanted.chain)))
        };
        wanted.iter().filter_map(mark).collect()
    }

    /// Up to where a server has confirmed the list of ended sessions.
    pub(super) fn confirmed(&self, node: emberfs_layout::NodeId) -> Sequence {
        self.heard.said(node).map_or(Sequence::NONE, |said| said.ended)
    }

    /// Reads the chains, if they have changed.
    pub(super) fn read(&mut self, view: &dyn View) -> Result<(), StoreError> {
        let version = cluster::routing_version(view)?;
        if version != self.known {
            (self.known, self.chains) = (version, cluster::placed_chains(view)?);
        }
        Ok(())
    }

    /// What the chains that it read are to become.
    pub(super) fn decide(&mut self, now: u64, rows: &mut Rows) -> Vec<Change> {
        let now = self.now(now);
        let mut changes = Vec::new();
        for placed in &self.chains {
            let place = |&PlacedMember { node, boot, granted }: &PlacedMember| Place {
                node,
                boot,
                granted: if self.planted == Some(Planted::RestartIgnored) { boot } else { granted },
            };
            let places: Vec<Place> = placed.places.iter().map(place).collect();
            rows.count(&self.heard.rows(&placed.chain, &places, now));
            let change = self.heard.decide(&placed.chain, &places, now);
            let forged = (self.planted == Some(Planted::StaleTakesOver))
                .then(|| stale(&self.heard, &placed.chain, &places, now));
            changes.extend(forged.flatten().or(change));
        }
        changes
    }

    pub(super) fn applied(&mut self, chain: emberfs_layout::ChainId) {
        self.heard.applied(chain);
        self.under_way -= 1;
    }
}

/// Gives way to any member that is there when none of those that served last is.
fn stale(heard: &Heard, chain: &Chain, places: &[Place], now: Millis) -> Option<Change> {
    let alive = |i: usize| heard.leases().life(places[i].node, now) == Life::Alive;
    let state = |i: usize| chain.members[i].state;
    let all = 0..chain.members.len();
    if all.clone().any(|i| state(i) == PublicState::Serving) {
        return None;
    }
    let stale = all.clone().find(|i| state(*i) != PublicState::LastServing && alive(*i))?;
    let order: Vec<usize> = [stale].into_iter().chain(all.filter(|i| *i != stale)).collect();
    let member = |i: &usize| ChainMember {
        state: if *i == stale { PublicState::Serving } else { PublicState::Offline },
        ..chain.members[*i]
    };
    let members = order.iter().map(member).collect();
    let next = Chain { version: chain.version.next(), members, ..chain.clone() };
    let boots = order.iter().map(|i| places[*i].boot).collect();
    Some(Change { from: chain.version, chain: next, boots })
}
