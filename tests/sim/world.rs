//! One run: a queue of events in the order of their times, drawn from one seed.

use std::collections::BTreeMap;

use emberfs_chain_replication::target::{Ask, OpId};
use emberfs_layout::{ChunkId, ChunkVersion};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::checker::Operation;
use crate::client::Client;
use crate::coverage::Coverage;
use crate::machines::{machines, plans};
use crate::metadata::{Errand, Metadata, Step, registration};
use crate::network::{Address, Message, Network, Way, node_of};
use crate::node::{Node, Takes, Want};
use crate::planted::Planted;
use crate::promises::Promises;
use crate::scenario::{Fault, Scenario};
use crate::server::Server;
use crate::trace::Trace;

const TICK_MS: u64 = 50;
/// How much later than other messages a whole chunk comes whose connection broke, in milliseconds: its sender may
/// have sent all anew meanwhile.
const CHUNK_LATE_MS_MAX: u64 = 3_000;
/// Between two signs of life of a client, in milliseconds.
const RENEW_MS: u64 = 700;
/// Between two looks at what must always hold, in milliseconds.
const WATCH_MS: u64 = 25;
/// From the healing of all faults until everything must have converged, in milliseconds: a tail that was
/// given up may have to be waited for before.
const CONVERGE_MS_MAX: u64 = 120_000;

pub(crate) enum Event {
    Deliver {
        to: Address,
        process: u64,
        message: Box<Message>,
    },
    Finished {
        node: usize,
        boot: u64,
        op: OpId,
    },
    Tick {
        node: usize,
    },
    /// A server speaks to the leader, or has waited long enough for its answer.
    Speak {
        server: usize,
        process: u64,
    },
    Patience {
        server: usize,
        process: u64,
        call: u64,
        left_ms: u64,
    },
    Metadata(Step),
    Watch,
    /// A client's sign of life.
    Renew {
        client: usize,
    },
    Think {
        client: usize,
        slot: usize,
    },
    Try {
        client: usize,
        slot: usize,
        attempt: u64,
    },
    Fault(Fault),
    Restart(usize),
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) now: u64,
    queued: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) servers: Vec<Server>,
    pub(crate) metadata: Metadata,
    pub(crate) clients: Vec<Client>,
    pub(crate) next_value: u64,
    /// Requests that clients have still to begin.
    pub(crate) left: usize,
    pub(crate) moment: u64,
    pub(crate) histories: BTreeMap<(usize, ChunkId), Vec<Operation>>,
    /// The latest version of each chunk that was acknowledged.
    pub(crate) acknowledged: BTreeMap<(usize, ChunkId), ChunkVersion>,
    /// At which moment the store of a member of each chain last took no change, where that may refuse it to
    /// clients.
    pub(crate) refused_at: BTreeMap<usize, u64>,
    pub(crate) promises: Promises,
    pub(crate) scenario: Scenario,
    pub(crate) fault: Option<String>,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Option<Planted>, traced: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let scenario = Scenario::draw(&mut rng, planted);
        let (servers, nodes) = machines(&mut rng, &scenario, planted);
        let registrations: Vec<_> =
            servers.iter().map(|server| registration(server.at, server.start_number())).collect();
        let plans = plans(&scenario);
        let sessions = scenario.sessions();
        let mut metadata = Metadata::new(seed, &registrations, &plans, sessions, planted);
        let clients = (0..scenario.clients)
            .map(|at| Client::new(at, metadata.next_session(), scenario.slots, planted))
            .collect();
        let mut world = Self {
            now: 0,
            queued: 0,
            queue: BTreeMap::new(),
            network: Network::new(seed),
            nodes,
            servers,
            promises: Promises::new(&metadata.placed()),
            metadata,
            clients,
            next_value: 0,
            left: scenario.requests,
            moment: 0,
            histories: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            refused_at: BTreeMap::new(),
            scenario,
            fault: None,
            coverage: Coverage::default(),
            trace: Trace::new(traced),
            rng,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        let errands = self.metadata.begin(0);
        self.run_errands(errands);
        for server in 0..self.servers.len() {
            let process = self.servers[server].process;
            self.after(1 + server as u64, Event::Speak { server, process });
        }
        for node in 0..self.nodes.len() {
            self.after(20 + node as u64, Event::Tick { node });
        }
        for client in 0..self.clients.len() {
            self.after(RENEW_MS, Event::Renew { client });
            for slot in 0..self.scenario.slots {
                self.after(300, Event::Think { client, slot });
            }
        }
        for (at, fault) in self.scenario.faults.clone() {
            self.after(at, Event::Fault(fault));
        }
        self.after(10, Event::Watch);
    }

    /// Runs to the end and says what is wrong, if anything is.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let end = self.scenario.heal_at;
        self.run_until(end, |_| false)?;
        self.heal();
        let deadline = self.now + CONVERGE_MS_MAX;
        self.run_until(deadline, Self::converged)?;
        if !self.converged() {
            return Err(format!("no convergence:\n{}", self.standing()));
        }
        self.read_everywhere();
        self.run_until(self.now + CONVERGE_MS_MAX, |world| {
            world.clients.iter().all(Client::is_idle)
        })?;
        if !self.clients.iter().all(Client::is_idle) {
            return Err(format!("requests without an answer:\n{}", self.standing()));
        }
        self.explained()
    }

    fn run_until(&mut self, end: u64, stop: impl Fn(&Self) -> bool) -> Result<(), String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                self.queued += 1;
                self.queue.insert((at, self.queued), event);
                break;
            }
            self.now = at;
            let pause = matches!(event, Event::Watch);
            self.handle(event);
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
            if pause && stop(self) {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + ms, self.queued), event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, process, message } => self.deliver(to, process, *message),
            Event::Finished { node, boot, op } => {
                if self.wakes(self.nodes[node].server, || Event::Finished { node, boot, op })
                    && self.nodes[node].boot == boot
                {
                    let fails = self.rng.random_bool(self.scenario.no_room);
                    let wants = self.nodes[node].finished(self.now, op, fails);
                    if self.nodes[node].refuses() {
                        self.refused_at.insert(self.nodes[node].chain, self.moment);
                    }
                    self.carry_out(node, wants);
                }
            }
            Event::Tick { node } => {
                if self.wakes(self.nodes[node].server, || Event::Tick { node }) {
                    let wants = self.nodes[node].tick(self.now);
                    self.carry_out(node, wants);
                    self.after(TICK_MS, Event::Tick { node });
                }
            }
            Event::Speak { server, process } => {
                if self.wakes(server, || Event::Speak { server, process }) {
                    self.speak(server, process);
                }
            }
            Event::Patience { server, process, call, left_ms } => {
                if self.wakes(server, || Event::Patience { server, process, call, left_ms }) {
                    self.loses_patience(server, process, call, left_ms);
                }
            }
            Event::Metadata(step) => {
                let until = self.metadata.sleeps(&step);
                if until > self.now {
                    return self.after(until - self.now, Event::Metadata(step));
                }
                let errands = self.metadata.take(self.now, step);
                self.run_errands(errands);
            }
            Event::Watch => {
                self.watch();
                self.after(WATCH_MS, Event::Watch);
            }
            Event::Renew { client } => {
                self.renews(client);
                self.after(RENEW_MS, Event::Renew { client });
            }
            Event::Think { client, slot } => self.think(client, slot),
            Event::Try { client, slot, attempt } => self.tries_again(client, slot, attempt),
            Event::Fault(fault) => self.strike(&fault),
            Event::Restart(server) => self.restart(server),
        }
    }

    /// Whether the server does not hang; if it does, the event comes when it wakes.
    fn wakes(&mut self, server: usize, event: impl FnOnce() -> Event) -> bool {
        let until = self.servers[server].paused_until;
        if until <= self.now {
            return true;
        }
        self.after(until - self.now, event());
        false
    }

    /// The machine that has an address.
    fn machine(&self, address: Address) -> Address {
        match address {
            Address::Node(node) => Address::Server(self.nodes[node].server),
            other => other,
        }
    }

    /// Sends a message, to a certain process of a machine or to the present one; says after how many milliseconds it
    /// comes, if it does.
    pub(crate) fn send(
        &mut self,
        from: Address,
        to: Address,
        process: Option<u64>,
        message: Message,
    ) -> Option<u64> {
        let (runs, present) = match to {
            Address::Node(node) => (self.nodes[node].runs(), self.nodes[node].boot),
            Address::Server(server) => (self.servers[server].up, self.servers[server].process),
            Address::Member(member) => {
                (self.metadata.is_up(member), self.metadata.start_of(member))
            }
            Address::Client(_) => (true, 0),
        };
        let way = match runs {
            true => self.network.send(self.now, self.machine(from), self.machine(to)),
            false => Way::Lost,
        };
        if let Way::Torn { .. } | Way::Lost = way {
            self.broke(from, &message);
        }
        let ms = match way {
            Way::Comes { ms, overtakes } => {
                if overtakes {
                    self.coverage.count("a message overtakes another on another connection");
                }
                ms
            }
            Way::Torn { ms } => {
                self.coverage.count("a message comes although its connection broke");
                let chunk = matches!(message, Message::Ask { ask: Ask::Install { .. }, .. });
                if chunk { ms + self.rng.random_range(0..CHUNK_LATE_MS_MAX) } else { ms }
            }
            Way::Lost => {
                self.coverage.count("a message is lost with its connection");
                return None;
            }
        };
        let process = process.unwrap_or(present);
        self.after(ms, Event::Deliver { to, process, message: Box::new(message) });
        Some(ms)
    }

    /// The connection of a message breaks: whoever called may hear of it, or wait in vain.
    fn broke(&mut self, from: Address, message: &Message) {
        let (Message::Ask { call, boot, .. }, Address::Node(_)) = (message, from) else { return };
        if self.rng.random_bool(0.5) {
            self.coverage.count("a caller hears that a call failed");
            let message = Box::new(Message::failed(*call));
            let (ms, process) = (self.rng.random_range(1..50), *boot);
            self.after(ms, Event::Deliver { to: from, process, message });
        }
    }

    fn deliver(&mut self, to: Address, process: u64, message: Message) {
        let (there, until) = match to {
            Address::Node(node) => {
                let node = &self.nodes[node];
                (node.runs() && node.boot == process, self.servers[node.server].paused_until)
            }
            Address::Server(server) => {
                let server = &self.servers[server];
                (server.up && server.process == process, server.paused_until)
            }
            Address::Member(member) => {
                let there = (self.metadata.is_up(member), self.metadata.start_of(member));
                (there == (true, process), self.metadata.paused_until(member))
            }
            Address::Client(_) => (true, 0),
        };
        if !there {
            return;
        }
        if until > self.now {
            let message = Box::new(message);
            return self.after(until - self.now, Event::Deliver { to, process, message });
        }
        self.trace.line(self.now, || format!("{to:?} <- {message:?}"));
        match to {
            Address::Node(node) => {
                let wants = self.nodes[node].receive(self.now, message);
                self.carry_out(node, wants);
            }
            Address::Client(client) => self.client_hears(client, message),
            Address::Server(server) => self.server_hears(server, message),
            Address::Member(member) => {
                let errands = self.metadata.hears(self.now, member, message);
                self.run_errands(errands);
            }
        }
    }

    pub(crate) fn run_errands(&mut self, errands: Vec<Errand>) {
        for errand in errands {
            match errand {
                Errand::Later(ms, step) => self.after(ms, Event::Metadata(step)),
                Errand::Send { from, to, process, message } => {
                    self.send(Address::Member(from), to, process, *message);
                }
                Errand::Tell { from, start, message } => self.tell(from, start, *message),
                Errand::Led => self.note_clocks(),
                Errand::Count(event) => self.coverage.count(event),
                Errand::Changed { before, after } => self.changed(&before, &after),
            }
        }
    }

    /// How long the disk of a node takes for something, in milliseconds.
    fn disk_takes(&mut self, node: usize, takes: Takes) -> u64 {
        let slow = self.nodes[node].slow_until > self.now || self.rng.random_bool(0.02);
        let delay = self.rng.random_range(1..=self.scenario.disk_ms);
        let delay = if slow { delay * 50 } else { delay };
        match self.scenario.whole_chunk_ms {
            Some(ms) if takes == Takes::WholeChunk => {
                self.coverage.count("a whole chunk takes longer than its sender waits");
                delay.max(self.rng.random_range(ms..ms + ms / 2))
            }
            _ => delay,
        }
    }

    pub(crate) fn carry_out(&mut self, node: usize, wants: Vec<Want>) {
        for want in wants {
            match want {
                Want::Send { to, boot, message } => {
                    self.trace.line(self.now, || format!("node {node} -> {to:?} {message:?}"));
                    if let Message::Ask { ask: Ask::Finish(ask), .. } = &*message
                        && self.nodes[node_of(ask.replica.target)].is_told(ask.replica.version)
                    {
                        self.refused_at.insert(self.nodes[node].chain, self.moment);
                    }
                    self.send(Address::Node(node), to, boot, *message);
                }
                Want::Finish { op, takes } => {
                    let delay = self.disk_takes(node, takes);
                    let boot = self.nodes[node].boot;
                    self.after(delay, Event::Finished { node, boot, op });
                }
                Want::Count(event) => self.coverage.count(event),
                Want::Fault(text) => self.fault = Some(text),
            }
        }
    }
}
