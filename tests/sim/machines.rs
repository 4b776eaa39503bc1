//! The servers of a run: how they are laid out, and what passes between them and the leader.

use emberfs_chain_replication::target::EndedSessions;
use emberfs_wire::cluster::WantedMark;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::metadata::Plan;
use crate::network::{Address, Message, target_of};
use crate::node::Node;
use crate::planted::Planted;
use crate::scenario::Scenario;
use crate::server::{Clock, Server};
use crate::world::{Event, World};

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
        self.send(Address::Server(server), Address::Metadata, None, message);
        self.after(wait_ms, Event::Patience { server, process, call });
    }

    pub(crate) fn loses_patience(&mut self, server: usize, process: u64, call: u64) {
        if self.servers[server].process == process
            && let Some(ms) = self.servers[server].gives_up(call)
        {
            self.after(ms, Event::Speak { server, process });
        }
    }

    pub(crate) fn server_hears(&mut self, server: usize, message: Message) {
        let process = self.servers[server].process;
        let next = match message {
            Message::NotNow { call } => self.servers[server].gives_up(call),
            Message::Stale { call } => {
                if self.servers[server].gives_up(call).is_some() {
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
