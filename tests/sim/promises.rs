//! What must always hold, and what must hold in the end.
//!
//! * Whoever serves by its own picture and lease serves also by the group's state, and was given that by a
//!   start of its own: no lease outlasts the change that ends it.
//! * Each version of a chain is one chain to all.
//! * Whoever serves, was among the last to, or is about to, holds every version that was acknowledged, on its disk.
//! * A change is refused only where a member that serves or is about to has no room for it, or cannot read the
//!   chunk that it changes.
//! * One order explains the answers of each chunk. As replicas forward before they are durable, only the tail holds
//!   all that was ever read: where it was lost, and then all others failed, or where it was given up after all had,
//!   what was read before may be gone; what was acknowledged is not.
//! * All members of the metadata group take in the same, and one of them leads in a term.
//! * With all faults healed, all serve, hold the same, and every request is answered.

use std::collections::BTreeMap;

use emberfs_chain_replication::membership::well_formed;
use emberfs_layout::{BootNumber, ChainId, ChainVersion, ChunkId, ChunkVersion};
use emberfs_meta_server_state::cluster::PlacedChain;
use emberfs_wire::cluster::PublicState::{LastServing, Serving, Syncing};
use emberfs_wire::cluster::{Chain, ChainMember, Hindrance, LocalState, PublicState};

use crate::checker::{self, Action, Operation};
use crate::client::Client;
use crate::network::{node_of, target_of};
use crate::node::Node;
use crate::world::World;

/// What was decided in a run.
pub(crate) struct Promises {
    /// Every version of every chain, with the start that got each member's state.
    chains: BTreeMap<(ChainId, ChainVersion), PlacedChain>,
    /// At which moment the others last went on without a chain's tail.
    tail_lost: BTreeMap<usize, u64>,
    /// Up to which moment what was read of a chain may have been lost with a tail.
    reads_lost: BTreeMap<usize, u64>,
}

impl Promises {
    pub(crate) fn new(chains: &[PlacedChain]) -> Self {
        let of = |placed: &PlacedChain| ((placed.chain.id, placed.chain.version), placed.clone());
        Self {
            chains: chains.iter().map(of).collect(),
            tail_lost: BTreeMap::new(),
            reads_lost: BTreeMap::new(),
        }
    }
}

fn with(chain: &Chain, state: PublicState) -> impl DoubleEndedIterator<Item = &ChainMember> {
    chain.members.iter().filter(move |member| member.state == state)
}

impl World {
    /// The group has changed a chain.
    pub(crate) fn changed(&mut self, before: &PlacedChain, after: &PlacedChain) {
        let (was, is) = (&before.chain, &after.chain);
        self.trace.line(self.now, || format!("changed {is:?}"));
        if !well_formed(is) {
            self.fault = Some(format!("not well formed: {is:?}"));
        }
        self.promises.chains.insert((is.id, is.version), after.clone());
        for member in with(is, Serving) {
            if with(was, Syncing).any(|before| before.target == member.target) {
                self.coverage.count("a server serves again that the rest went on without");
            }
        }
        self.note_tail(was, is);
        self.watch();
    }

    /// What becomes of reads when a chain's tail changes.
    fn note_tail(&mut self, was: &Chain, is: &Chain) {
        let chain = is.id.0 as usize - 1;
        let Some(first) = with(is, Serving).next() else { return };
        if let Some(tail) = with(was, Serving).next_back() {
            if with(is, Serving).all(|member| member.target != tail.target) {
                self.promises.tail_lost.insert(chain, self.moment);
            }
        } else {
            let tail = with(was, LastServing).next_back();
            let lost = if tail.is_some_and(|tail| tail.target == first.target) {
                self.coverage.count("a last serving tail serves again");
                self.promises.tail_lost.get(&chain).copied().unwrap_or(0)
            } else {
                self.coverage.count("another than the tail serves again");
                self.moment
            };
            let known = self.promises.reads_lost.entry(chain).or_default();
            *known = lost.max(*known);
        }
    }

    /// Somebody was told of a chain.
    pub(crate) fn check_same(&mut self, chain: &Chain) {
        let known = self.promises.chains.get(&(chain.id, chain.version));
        if known.is_none_or(|known| known.chain != *chain) {
            self.fault = Some(format!("{chain:?} is not {known:?}"));
        }
    }

    /// Looks at what must always hold.
    pub(crate) fn watch(&mut self) {
        let no_room = |node: &Node| {
            node.report().is_some_and(|report| report.hindrance == Some(Hindrance::NoRoom))
        };
        if self.nodes.iter().any(no_room) {
            self.coverage.count("a syncing member has no room");
        }
        let broken = self.metadata.placed().iter().find_map(|placed| {
            let mut members = placed.chain.members.iter().zip(&placed.places);
            members.find_map(|(member, place)| self.broken(placed, member, place.granted))
        });
        if self.fault.is_none() {
            self.fault = broken;
        }
    }

    /// Whether a change was acknowledged that a syncing member has no room for.
    pub(crate) fn note_lacking(&mut self, (chain, chunk): (usize, ChunkId), version: ChunkVersion) {
        let placed = self.metadata.placed().swap_remove(chain).chain;
        let lacks = |member: &ChainMember| {
            let node = &self.nodes[node_of(member.target)];
            let hindrance = node.report().and_then(|report| report.hindrance);
            hindrance == Some(Hindrance::NoRoom) && node.store.durable_version(chunk) < version
        };
        if with(&placed, Syncing).any(lacks) {
            self.coverage.count("a change is acknowledged that a syncing member has no room for");
        }
    }

    /// Which promise a member breaks whose state was given to this start of its server. Another start never serves
    /// by it, whatever it says that it has.
    fn broken(
        &self,
        placed: &PlacedChain,
        member: &ChainMember,
        given: BootNumber,
    ) -> Option<String> {
        let node = node_of(member.target);
        let report = self.nodes[node].report();
        let about_to = member.state == Syncing
            && self.servers[self.nodes[node].server].boot == Some(given)
            && report.is_some_and(|report| {
                report.state == LocalState::UpToDate && report.chain == placed.chain.version
            });
        if matches!(member.state, Serving | LastServing) || about_to {
            let chain = placed.chain.id.0 as usize - 1;
            let all = self.acknowledged.iter().filter(|((of, _), _)| *of == chain);
            for ((_, chunk), version) in all {
                let held = self.nodes[node].store.durable_version(*chunk);
                if held < *version {
                    let state = member.state;
                    return Some(format!(
                        "node {node}, {state:?}: {chunk} is at {held}, not {version}"
                    ));
                }
            }
        }
        let (by, granted) = self.serves_by(node)?;
        if member.state != Serving {
            return Some(format!("node {node} serves by {by}, and is {placed:?}"));
        }
        let boot = self.servers[self.nodes[node].server].boot;
        let text = || format!("node {node}, {boot:?}, serves by what {granted} was given, {by}");
        (boot != Some(granted)).then(text)
    }

    /// By which version of its chain a node serves now, and the start that got its state in that.
    fn serves_by(&self, node: usize) -> Option<(ChainVersion, BootNumber)> {
        let server = &self.servers[self.nodes[node].server];
        let report = self.nodes[node].report()?;
        let leased = server.clock.at(self.now) < server.lease_until;
        let complete = report.state == LocalState::UpToDate;
        let chain = server.chain_of(node).filter(|_| leased && complete)?.id;
        let placed = self.promises.chains.get(&(chain, report.chain))?;
        let mut members = placed.chain.members.iter().zip(&placed.places);
        let me = |(member, _): &(&ChainMember, _)| {
            member.target == target_of(node) && member.state == Serving
        };
        members.find(me).map(|(_, place)| (report.chain, place.granted))
    }

    /// All serve, nothing is under way, and all replicas of a chain hold the same.
    pub(crate) fn converged(&self) -> bool {
        let idle = self.clients.iter().all(Client::is_idle);
        let all_serve = |placed: &PlacedChain| {
            placed.chain.members.iter().all(|member| member.state == Serving)
        };
        let alike = |chain: usize| {
            let of = self.nodes.iter().filter(|node| node.chain == chain);
            let stores: Vec<_> = of.map(|node| node.store.summary()).collect();
            stores.iter().all(|(held, pending)| !pending && *held == stores[0].0)
        };
        idle && self.metadata.placed().iter().all(all_serve)
            && (0..self.scenario.chains.len()).all(alike)
            && self.metadata.agrees()
    }

    /// How all stand, for people.
    pub(crate) fn standing(&self) -> String {
        let mut lines: Vec<String> =
            self.metadata.placed().iter().map(|placed| format!("{placed:?}")).collect();
        for node in &self.nodes {
            lines.push(format!("node {}: {:?} {:?}", node.at, node.report(), node.store.summary()));
        }
        lines.push(self.metadata.standing());
        for client in &self.clients {
            lines.push(format!("client {} idle: {}", client.at, client.is_idle()));
        }
        lines.join("\n")
    }

    /// One order explains the answers of each chunk.
    pub(crate) fn explained(&self) -> Result<(), String> {
        for ((chain, chunk), operations) in &self.histories {
            let lost = self.promises.reads_lost.get(chain).copied().unwrap_or(0);
            let counts =
                |operation: &&Operation| operation.action != Action::Read || operation.begin > lost;
            let operations: Vec<Operation> = operations.iter().filter(counts).cloned().collect();
            let verdict = checker::check(&operations);
            verdict.map_err(|why| format!("chain {chain}, chunk {chunk}: {why}"))?;
        }
        Ok(())
    }
}
