//! The metadata group: the real state machines in memory, a log of proposals, and one leader after the
//! other.
//!
//! ```text
//!   heartbeat ──► the leader is confirmed ──► news are read ──► a lease is granted ──► answer
//!   look      ──► chains are read ──► the membership core decides ──► log ──► applied
//! ```
//! Between any two steps time passes, in which the leader may hang, or another be elected. What an old leader
//! had proposed is applied before the new one begins, or never: a prefix of the log survives.

use std::collections::VecDeque;

use emberfs_chain_replication::membership::Edition;
use emberfs_layout::{ChainId, ChunkSize, ClientId, DiskId, NodeId, TargetId};
use emberfs_meta_server_state::cluster::{self, News, PlacedChain};
use emberfs_meta_server_state::{Body, MemoryStore, Outcome, sessions};
use emberfs_wire::cluster::{AdministerReply, Heartbeat, Register};
use emberfs_wire::meta::OpenSession;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::coverage::Rows;
use crate::leader::Leader;
use crate::log::{Proposal, Then};
use crate::network::{Address, Message};
use crate::planted::Planted;

/// The least time between two looks at all chains, and the longest, in milliseconds.
pub(crate) const LOOKS_MS: (u64, u64) = (20, 220);

/// Between two tries to shorten the list of ended sessions, in milliseconds.
pub(crate) const FORGET_MS: u64 = 1_000;

/// Something that the group does later.
pub(crate) enum Step {
    /// The log is committed up to this proposal.
    Apply(u64),
    /// Of this leader, if no other look was set since.
    Read {
        term: usize,
        look: u64,
    },
    Decide {
        term: usize,
        look: u64,
    },
    /// The leader is confirmed.
    Confirmed {
        term: usize,
        beat: Box<Beat>,
    },
    Answer {
        term: usize,
        beat: Box<Beat>,
        edition: Edition,
        news: Box<News>,
    },
    Forget {
        term: usize,
    },
    Elect,
}

/// A heartbeat of one process of a server.
pub(crate) struct Beat {
    pub(crate) server: usize,
    pub(crate) process: u64,
    pub(crate) call: u64,
    pub(crate) said: Heartbeat,
}

/// What the group wants of the world.
pub(crate) enum Errand {
    Later(u64, Step),
    /// To this process of a server, or to a client.
    Send {
        to: Address,
        process: Option<u64>,
        message: Box<Message>,
    },
    /// A chain was changed.
    Changed {
        before: Box<PlacedChain>,
        after: Box<PlacedChain>,
    },
}

pub(crate) struct Metadata {
    pub(crate) rng: StdRng,
    pub(crate) state: MemoryStore,
    pub(crate) leaders: Vec<Leader>,
    /// Whether the latest of them leads.
    pub(crate) leads: bool,
    pub(crate) log: VecDeque<Proposal>,
    pub(crate) proposals: u64,
    /// When the last proposal of the log is applied.
    pub(crate) applied_at: u64,
    pub(crate) planted: Option<Planted>,
    pub(crate) rows: Rows,
}

impl Metadata {
    /// A cluster of servers, and of chains over them, head first.
    pub(crate) fn new(
        seed: u64,
        servers: &[Register],
        chains: &[Plan],
        planted: Option<Planted>,
    ) -> Self {
        let mut metadata = Self {
            rng: StdRng::seed_from_u64(seed ^ 0x0000_6d65_7461),
            state: MemoryStore::default(),
            leaders: Vec::new(),
            leads: false,
            log: VecDeque::new(),
            proposals: 0,
            applied_at: 0,
            planted,
            rows: Rows::default(),
        };
        metadata.found(servers, chains);
        metadata
    }

    fn found(&mut self, servers: &[Register], chains: &[Plan]) {
        for (at, server) in servers.iter().enumerate() {
            self.apply_now(0, Body::Register(Register { node: None, ..server.clone() }));
            let carried = chains.iter().flat_map(|plan| &plan.members);
            let targets = carried.filter(|(server, _)| *server == at).count();
            let targets = u16::try_from(targets).expect("few");
            let order = Body::AddDisk { order_id: at as u64, disk: server.disks[0], targets };
            self.apply_now(0, order);
        }
        for (at, plan) in chains.iter().enumerate() {
            let order = Body::CreateTable {
                order_id: 1_000 + at as u64,
                chains: vec![plan.members.iter().map(|(_, target)| *target).collect()],
                replicas: u8::try_from(plan.members.len()).expect("few"),
                min_serving: plan.min_serving,
                chunk_size: ChunkSize::MIN,
                is_default: false,
            };
            let made = self.apply_now(0, order);
            let is_made = matches!(made, Outcome::Administered(AdministerReply::TableCreated(_)));
            assert!(is_made, "{made:?}");
        }
    }

    /// The first leader begins.
    pub(crate) fn begin(&mut self, now: u64) -> Vec<Errand> {
        let mut out = Vec::new();
        self.elect(now, &mut out);
        out
    }

    // What is true, whoever leads: for checks, and for what is done to the cluster from outside.

    pub(crate) fn placed(&self) -> Vec<PlacedChain> {
        cluster::placed_chains(&self.state).expect("memory")
    }

    /// The leader's clock: hundredths of the true speed.
    pub(crate) fn pace(&self) -> u64 {
        self.leaders.last().map_or(100, |leader| leader.pace)
    }

    pub(crate) fn open_session(&mut self, now: u64) -> ClientId {
        let asked =
            OpenSession { start: self.rng.random(), host: String::new(), what: String::new() };
        match self.apply_now(now, Body::OpenSession(asked)) {
            Outcome::SessionOpened(reply) => reply.client,
            other => unreachable!("{other:?}"),
        }
    }

    pub(crate) fn end_session(&mut self, now: u64, client: ClientId) {
        self.apply_now(now, Body::EndSession(client));
    }

    // What goes wrong.

    /// The leader dies; another, or the same one again, follows.
    pub(crate) fn fail(&mut self, ms: u64) -> Errand {
        self.leads = false;
        Errand::Later(ms, Step::Elect)
    }

    /// The leader hangs; in a group of several another one follows when it is missed.
    pub(crate) fn pause(
        &mut self,
        now: u64,
        ms: u64,
        replaced_after: Option<u64>,
    ) -> Option<Errand> {
        let leader = self.leaders.last_mut().expect("there was one");
        leader.paused_until = leader.paused_until.max(now + ms);
        replaced_after.filter(|after| *after < ms).map(|after| Errand::Later(after, Step::Elect))
    }

    pub(crate) fn heal(&mut self, now: u64) -> Option<Errand> {
        self.leaders.iter_mut().for_each(|leader| leader.paused_until = now);
        (!self.leads).then_some(Errand::Later(1, Step::Elect))
    }

    /// Until when nothing that is sent to the leader is looked at.
    pub(crate) fn paused_until(&self) -> u64 {
        self.leaders.last().map_or(0, |leader| leader.paused_until)
    }

    /// Until when a step has to wait, as who would take it hangs.
    pub(crate) fn sleeps(&self, step: &Step) -> u64 {
        match step {
            Step::Elect => 0,
            Step::Apply(_) => self.paused_until(),
            Step::Read { term, .. }
            | Step::Decide { term, .. }
            | Step::Confirmed { term, .. }
            | Step::Answer { term, .. }
            | Step::Forget { term } => self.leaders[*term].paused_until,
        }
    }

    // What it does.

    pub(crate) fn hears(&mut self, now: u64, message: Message) -> Vec<Errand> {
        let mut out = Vec::new();
        let term = self.leaders.len() - 1;
        let answers = self.leads && self.leaders[term].ready_at <= now;
        match message {
            Message::Register { server, process, call, .. }
            | Message::Beat { server, process, call, .. }
                if !answers =>
            {
                out.push(to_server(server, process, Message::NotNow { call }));
            }
            Message::Register { server, process, call, asked } => {
                let then = Then::Registered { server, process, call };
                self.propose(now, Body::Register(asked), then, &mut out);
            }
            Message::Beat { server, process, call, said } => {
                let beat = Box::new(Beat { server, process, call, said });
                out.push(Errand::Later(self.moment(), Step::Confirmed { term, beat }));
            }
            Message::Route { client, chain } if answers => {
                let id = ChainId(u32::try_from(chain + 1).expect("few"));
                let placed = cluster::placed_chain(&self.state, id).expect("memory");
                let chain = placed.expect("a chain never goes").chain;
                let message = Box::new(Message::RouteReply { chain });
                out.push(Errand::Send { to: Address::Client(client), process: None, message });
            }
            Message::Renew { asked } if answers => {
                let lives = sessions::find(&self.state, asked.client).expect("memory").is_some();
                if lives {
                    self.leaders[term].renewed(asked);
                }
            }
            Message::Route { .. } | Message::Renew { .. } => {}
            other => unreachable!("{other:?} to the metadata group"),
        }
        out
    }

    pub(crate) fn take(&mut self, now: u64, step: Step) -> Vec<Errand> {
        let mut out = Vec::new();
        match step {
            Step::Apply(id) => self.apply_to(now, id, &mut out),
            Step::Elect => self.elect(now, &mut out),
            Step::Answer { term, beat, edition, news } => {
                self.answer(now, term, beat, edition, *news, &mut out);
            }
            // Whoever does not lead any more reads nothing and proposes nothing.
            Step::Read { term, .. }
            | Step::Decide { term, .. }
            | Step::Confirmed { term, .. }
            | Step::Forget { term }
                if !self.leads || term + 1 < self.leaders.len() => {}
            Step::Read { term, look } => {
                let leader = &mut self.leaders[term];
                if leader.look == look {
                    leader.read(&self.state).expect("memory");
                    let pause = self.moment();
                    out.push(Errand::Later(pause, Step::Decide { term, look }));
                }
            }
            Step::Decide { term, look } => self.decide(now, term, look, &mut out),
            Step::Confirmed { term, beat } => self.read_news(term, beat, &mut out),
            Step::Forget { term } => self.forget(now, term, &mut out),
        }
        out
    }

    /// How long a small step takes, in milliseconds: now and then a long time.
    pub(crate) fn moment(&mut self) -> u64 {
        if self.rng.random_bool(0.05) {
            self.rng.random_range(10..=300)
        } else {
            self.rng.random_range(0..=6)
        }
    }
}

/// A chain as it is to be made: its members, each with its server.
pub(crate) struct Plan {
    pub(crate) members: Vec<(usize, TargetId)>,
    pub(crate) min_serving: u8,
}

/// How a server presents itself; `start` names its process.
pub(crate) fn registration(server: usize, start: u64) -> Register {
    let name = format!("server-{server}");
    let disk = DiskId(server as u128 + 1);
    let node = Some(node_of(server));
    Register {
        start,
        node,
        addresses: vec![format!("{name}:1")],
        name,
        domain: None,
        disks: vec![disk],
        lock: None,
    }
}

/// The number of a server, counted from 0.
pub(crate) fn node_of(server: usize) -> NodeId {
    NodeId(u32::try_from(server + 1).expect("few"))
}

pub(crate) fn to_server(server: usize, process: u64, message: Message) -> Errand {
    Errand::Send { to: Address::Server(server), process: Some(process), message: Box::new(message) }
}
