//! One leader of the metadata group: what it keeps beside the replicated state, by a clock of its own. All
//! that it decides, the real membership core decides.

use std::collections::BTreeMap;

use emberfs_chain_replication::membership::{
    Answered, Change, Edition, Heard, LeaseTerm, Life, Place,
};
use emberfs_chain_replication::target::Millis;
use emberfs_layout::{ClientId, RoutingVersion, Sequence};
use emberfs_meta_server_state::cluster::{self, PlacedChain, PlacedMember};
use emberfs_meta_server_state::{StoreError, View};
use emberfs_wire::cluster::{Chain, ChainMember, Heartbeat, PublicState, WantedMark};
use emberfs_wire::meta::RenewSession;

use crate::coverage::Rows;
use crate::planted::Planted;

/// T: how long the leader waits after it last answered a server, in milliseconds.
pub(crate) const TERM_MS: u32 = 1_000;

/// By how much a leader that does not wait for T runs ahead.
const HASTE: u64 = 4;

pub(crate) struct Leader {
    heard: Heard,
    began: u64,
    /// Its clock: hundredths of the true speed.
    pub(crate) pace: u64,
    /// When it has applied what was proposed before it, and answers.
    pub(crate) ready_at: u64,
    pub(crate) paused_until: u64,
    /// The chains of this version of the routing.
    known: RoutingVersion,
    chains: Vec<PlacedChain>,
    /// The latest look at the chains that was set for a time; earlier ones are void.
    pub(crate) look: u64,
    /// Changes that are proposed.
    pub(crate) under_way: usize,
    /// The latest of each session.
    renewals: BTreeMap<ClientId, RenewSession>,
    planted: Option<Planted>,
}

impl Leader {
    pub(crate) fn new(began: u64, ready_at: u64, pace: u64, planted: Option<Planted>) -> Self {
        let term = LeaseTerm::new(TERM_MS).expect("long enough");
        Self {
            heard: Heard::new(Millis(0), term),
            began,
            pace,
            ready_at,
            paused_until: 0,
            known: RoutingVersion::NONE,
            chains: Vec::new(),
            look: 0,
            under_way: 0,
            renewals: BTreeMap::new(),
            planted,
        }
    }

    fn now(&self, now: u64) -> Millis {
        let haste = if self.planted == Some(Planted::ChangedTooEarly) { HASTE } else { 1 };
        Millis((now - self.began) * haste * self.pace / 100)
    }

    pub(crate) fn edition(&self) -> Edition {
        self.heard.edition()
    }

    pub(crate) fn answer(
        &mut self,
        now: u64,
        said: &Heartbeat,
        informed: bool,
        edition: Edition,
    ) -> Option<Answered> {
        let informed = informed || self.planted == Some(Planted::RestartIgnored);
        self.heard.answer(said, informed, edition, self.now(now))
    }

    /// A session that lives gave a sign of life.
    pub(crate) fn renewed(&mut self, renewal: RenewSession) {
        self.renewals.insert(renewal.client, renewal);
    }

    /// Marks of sessions, as far as they were heard.
    pub(crate) fn low_waters(&self, wanted: &[WantedMark]) -> Vec<(WantedMark, Sequence)> {
        if self.planted == Some(Planted::MarksKept) {
            return Vec::new();
        }
        let mark = |&wanted: &WantedMark| {
            Some((wanted, self.renewals.get(&wanted.client)?.low_water(wanted.chain)))
        };
        wanted.iter().filter_map(mark).collect()
    }

    /// Up to where a server has confirmed the list of ended sessions.
    pub(crate) fn confirmed(&self, node: emberfs_layout::NodeId) -> Sequence {
        self.heard.said(node).map_or(Sequence::NONE, |said| said.ended)
    }

    /// Reads the chains, if they have changed.
    pub(crate) fn read(&mut self, view: &dyn View) -> Result<(), StoreError> {
        let version = cluster::routing_version(view)?;
        if version != self.known {
            (self.known, self.chains) = (version, cluster::placed_chains(view)?);
        }
        Ok(())
    }

    /// What the chains that it read are to become.
    pub(crate) fn decide(&mut self, now: u64, rows: &mut Rows) -> Vec<Change> {
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

    pub(crate) fn applied(&mut self, chain: emberfs_layout::ChainId) {
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
