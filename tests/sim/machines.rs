//! The servers of a run: how they are laid out, and what passes between them and the members of the metadata group.

use emberfs_chain_replication::target::EndedSessions;
use emberfs_meta_server_consensus::{PeerMessage, Transfer};
use emberfs_wire::cluster::WantedMark;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::metadata::{Act, Plan, Step, place};
use crate::network::{Address, Message, target_of};
use crate::node::Node;
use crate::planted::Planted;
use crate::scenario::Scenario;
use crate::server::{Clock, Server};
use crate::world::{Event, World};

/// Into so many parts the time is cut that an answer may take.
const PARTS: u64 = 3;

impl World {
    pub(crate) fn speak(&mut self, server: usize, process: u64) {
        if !self.servers[server].up || self.servers[server].process != process {
            return;
        }
        let nodes = &self.servers[server].nodes;
        let reports = nodes.iter().filter_map(|node| self.nodes[*node].report()).collect();
        let wanted = nodes.iter().flat_map(|node| self.nodes[*node].marks_wanted());
        let wanted: Vec<WantedMark> = wanted.collect();
        if !wanted.is_empty() {
            self.coverage.count("a server asks for a session's mark");
        }
        let (message, call, wait_ms) = self.servers[server].speak(self.now, reports, wanted);
        let member = Address::Member(self.servers[server].member);
        self.send(Address::Server(server), member, None, message);
        let part = wait_ms / PARTS;
        self.after(part, Event::Patience { server, process, call, left_ms: wait_ms - part });
    }

    /// A server has waited for a part of the time that an answer may take: it turns from a member that is silent to
    /// one that leads instead.
    pub(crate) fn loses_patience(&mut self, server: usize, process: u64, call: u64, left_ms: u64) {
        let waits = &self.servers[server];
        if waits.process != process || !waits.waits(call) {
            return;
        }
        let other = self.metadata.leading().filter(|leader| *leader != waits.member);
        if left_ms > 0 && other.is_none() {
            return self.after(left_ms, Event::Patience { server, process, call, left_ms: 0 });
        }
        if let Some(ms) = self.servers[server].gives_up(call, other) {
            self.after(ms, Event::Speak { server, process });
        }
    }

    /// What a member of the metadata group says to another, if that runs.
    pub(crate) fn tell(&mut self, from: usize, start: u64, message: PeerMessage) {
        let (to, snapshot) = (message.to(), message.snapshot().is_some());
        let (here, there) = (Address::Member(from), Address::Member(place(to)));
        let arrived = self.send(here, there, None, Message::Peer(Box::new(message)));
        let hears = self.rng.random_bool(0.5);
        let act = match arrived {
            _ if snapshot => {
                let became = arrived.map_or(Transfer::NotSent, |_| Transfer::Delivered);
                Act::SnapshotSent { to, became }
            }
            None if hears => Act::Unreachable(to),
            _ => return,
        };
        let ms = arrived.unwrap_or_else(|| self.rng.random_range(1..50)) + 1;
        self.after(ms, Event::Metadata(Step::Of { member: from, start, act }));
    }

    pub(crate) fn server_hears(&mut self, server: usize, message: Message) {
        let process = self.servers[server].process;
        let next = match message {
            Message::NotNow { call, leader } => self.servers[server].gives_up(call, leader),
            Message::Stale { call } => {
                if self.servers[server].gives_up(call, None).is_some() {
                    self.superseded(server);
                }
                None
            }
            Message::TakenIn { call, boot, alive, next } => {
                let gone = EndedSessions::all_but(&alive, next);
                self.servers[server].taken_in(call, boot, gone)
            }
            Message::BeatReply { call, reply } => {
                let answered = self.servers[server].answered(self.now, call, reply);
                answered.map(|(news, ms)| {
                    for node in self.servers[server].nodes.clone() {
                        let Some(chain) = self.servers[server].chain_of(node).cloned() else {
                            continue;
                        };
                        self.check_same(&chain);
                        let wants = self.nodes[node].follow(self.now, chain, &news);
                        self.carry_out(node, wants);
                    }
                    ms
                })
            }
            other => unreachable!("{other:?} to a server"),
        };
        if let Some(ms) = next {
            self.after(ms, Event::Speak { server, process });
        }
    }
}

pub(crate) fn machines(
    rng: &mut StdRng,
    scenario: &Scenario,
    planted: Option<Planted>,
) -> (Vec<Server>, Vec<Node>) {
    let places = scenario.places();
    let servers = (0..scenario.servers()).map(|at| {
        let clock = Clock { pace: rng.random_range(75..=130), began: rng.random_range(0..100_000) };
        let here = (0..places.len()).filter(|node| places[*node].0 == at);
        Server::new(at, here.collect(), clock, planted)
    });
    let servers: Vec<Server> = servers.collect();
    let nodes = places.iter().enumerate().map(|(at, (server, chain))| {
        let mut node =
            Node::new(at, *server, *chain, servers[*server].clock, scenario.limits, planted);
        node.store.blocks_max = scenario.blocks_max[at];
        node
    });
    let nodes = nodes.collect();
    (servers, nodes)
}

pub(crate) fn plans(scenario: &Scenario) -> Vec<Plan> {
    let places = scenario.places();
    let chains = scenario.chains.iter().zip(&scenario.min_serving).enumerate();
    let plan = |(chain, (servers, min_serving)): (usize, (&Vec<usize>, &u8))| {
        let member = |server: &usize| {
            let node = places.iter().position(|place| *place == (*server, chain));
            (*server, target_of(node.expect("each member has a place")))
        };
        Plan { members: servers.iter().map(member).collect(), min_serving: *min_serving }
    };
    chains.map(plan).collect()
}
