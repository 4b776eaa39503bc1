//! One run: a queue of events in the order of their times, drawn from one seed.

use std::collections::BTreeMap;

use emberfs_chain_replication::target::{EndedSessions, OpId};
use emberfs_layout::{ChunkId, ClientId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::checker::{self, Answered, OPERATIONS_MAX, Operation};
use crate::client::{Client, Outcome, chunk};
use crate::controller::Controller;
use crate::network::{Address, Message, Network};
use crate::node::{Node, Want};
use crate::planted::Planted;
use crate::scenario::{Fault, Scenario};
use crate::trace::Trace;

const BEAT_MS: u64 = 100;
const TICK_MS: u64 = 50;
/// A client tries again when it has heard nothing for this long, in milliseconds.
const PATIENCE_MS: u64 = 600;
/// From the healing of all faults until everything must have converged, in milliseconds.
const CONVERGE_MS_MAX: u64 = 60_000;

enum Event {
    Deliver { to: Address, boot: u64, message: Box<Message> },
    Finished { node: usize, boot: u64, op: OpId },
    Tick { node: usize },
    Beat { node: usize },
    Judge,
    Think { client: usize, slot: usize },
    Try { client: usize, slot: usize, attempt: u64 },
    Fault(Fault),
    Restart(usize),
}

pub(crate) struct World {
    rng: StdRng,
    now: u64,
    queued: u64,
    queue: BTreeMap<(u64, u64), Event>,
    network: Network,
    nodes: Vec<Node>,
    controller: Controller,
    clients: Vec<Client>,
    next_client: u64,
    next_value: u64,
    /// Requests that clients have still to begin.
    left: usize,
    moment: u64,
    histories: BTreeMap<(usize, ChunkId), Vec<Operation>>,
    scenario: Scenario,
    fault: Option<String>,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Option<Planted>, traced: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let scenario = Scenario::draw(&mut rng, planted);
        let mut nodes = Vec::new();
        for (chain, size) in scenario.chains.iter().enumerate() {
            for _ in 0..*size {
                let clock = (rng.random_range(85..=115), rng.random_range(0..100_000));
                nodes.push(Node::new(nodes.len(), chain, clock, planted));
            }
        }
        let controller = Controller::new(&scenario.chains);
        let clients = (0..scenario.clients)
            .map(|at| Client::new(at, ClientId(at as u64 + 1), scenario.slots, planted));
        let mut world = Self {
            now: 0,
            queued: 0,
            queue: BTreeMap::new(),
            network: Network::new(seed),
            nodes,
            controller,
            clients: clients.collect(),
            next_client: scenario.clients as u64 + 1,
            next_value: 0,
            left: scenario.requests,
            moment: 0,
            histories: BTreeMap::new(),
            scenario,
            fault: None,
            trace: Trace::new(traced),
            rng,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for node in 0..self.nodes.len() {
            self.after(1 + node as u64, Event::Beat { node });
            self.after(20 + node as u64, Event::Tick { node });
        }
        for client in 0..self.clients.len() {
            for slot in 0..self.scenario.slots {
                self.after(300, Event::Think { client, slot });
            }
        }
        for (at, fault) in self.scenario.faults.clone() {
            self.after(at, Event::Fault(fault));
        }
        self.after(10, Event::Judge);
    }

    /// Runs to the end and says what is wrong, if anything is.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.run_until(self.scenario.heal_at, |_| false)?;
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
        for ((chain, chunk), operations) in &self.histories {
            let verdict = checker::check(operations);
            verdict.map_err(|why| format!("chain {chain}, chunk {chunk}: {why}"))?;
        }
        Ok(())
    }

    fn run_until(&mut self, end: u64, stop: impl Fn(&Self) -> bool) -> Result<(), String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                self.queued += 1;
                self.queue.insert((at, self.queued), event);
                break;
            }
            self.now = at;
            let pause = matches!(event, Event::Judge);
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

    fn after(&mut self, ms: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + ms, self.queued), event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, boot, message } => self.deliver(to, boot, *message),
            Event::Finished { node, boot, op } => {
                if self.wakes(node, || Event::Finished { node, boot, op })
                    && self.nodes[node].boot == boot
                {
                    let fails = self.rng.random_bool(self.scenario.no_room);
                    let wants = self.nodes[node].finished(self.now, op, fails);
                    self.carry_out(node, wants);
                }
            }
            Event::Tick { node } => {
                if self.wakes(node, || Event::Tick { node }) {
                    let wants = self.nodes[node].tick(self.now);
                    self.carry_out(node, wants);
                    self.after(TICK_MS, Event::Tick { node });
                }
            }
            Event::Beat { node } => {
                if self.wakes(node, || Event::Beat { node }) {
                    let beat = self.nodes[node].heartbeat(self.now);
                    if let Some(message) = beat {
                        self.send(Address::Node(node), Address::Controller, None, &message);
                    }
                    self.after(BEAT_MS, Event::Beat { node });
                }
            }
            Event::Judge => {
                self.controller.judge(self.now);
                self.after(BEAT_MS / 4, Event::Judge);
            }
            Event::Think { client, slot } => self.think(client, slot),
            Event::Try { client, slot, attempt } => {
                let current = self.clients[client].slots[slot].as_ref();
                if current.is_some_and(|request| request.attempt == attempt) {
                    self.attempt(client, slot);
                }
            }
            Event::Fault(fault) => self.strike(&fault),
            Event::Restart(node) => self.restart(node),
        }
    }

    /// Whether the node is not paused; if it is, the event comes when it wakes.
    fn wakes(&mut self, node: usize, event: impl FnOnce() -> Event) -> bool {
        let until = self.nodes[node].paused_until;
        if until <= self.now {
            return true;
        }
        self.after(until - self.now, event());
        false
    }

    fn send(&mut self, from: Address, to: Address, boot: Option<u64>, message: &Message) {
        let boot = match to {
            Address::Node(node) if !self.nodes[node].runs() => return,
            Address::Node(node) => boot.unwrap_or(self.nodes[node].boot),
            Address::Client(_) | Address::Controller => 0,
        };
        for delay in self.network.arrivals(from, to) {
            self.after(delay, Event::Deliver { to, boot, message: Box::new(message.clone()) });
        }
    }

    fn deliver(&mut self, to: Address, boot: u64, message: Message) {
        match to {
            Address::Node(node) => {
                if !self.nodes[node].runs() || self.nodes[node].boot != boot {
                    return;
                }
                if self.nodes[node].paused_until > self.now {
                    let until = self.nodes[node].paused_until - self.now;
                    let message = Box::new(message);
                    return self.after(until, Event::Deliver { to, boot, message });
                }
                self.trace.line(self.now, || format!("node {node} <- {message:?}"));
                let wants = self.nodes[node].receive(self.now, message);
                self.carry_out(node, wants);
            }
            Address::Client(client) => self.client_hears(client, message),
            Address::Controller => self.controller_hears(message),
        }
    }

    fn controller_hears(&mut self, message: Message) {
        match message {
            Message::Beat { node, boot, report, sent, ended } => {
                let chain = self.nodes[node].chain;
                let answer = self.controller.heartbeat(self.now, node, boot, report, chain);
                let Some(chain) = answer else { return };
                self.controller.confirmed(node, ended);
                let (ended, ended_to) =
                    (self.controller.ended(ended), self.controller.ended_count());
                let reply = Message::BeatReply { sent, chain, ended, ended_to };
                self.send(Address::Controller, Address::Node(node), Some(boot), &reply);
            }
            Message::Route { client, chain } => {
                let reply = Message::RouteReply { chain: self.controller.chain(chain).clone() };
                self.send(Address::Controller, Address::Client(client), None, &reply);
            }
            other => unreachable!("{other:?} to the controller"),
        }
    }

    fn carry_out(&mut self, node: usize, wants: Vec<Want>) {
        for want in wants {
            match want {
                Want::Send { to, boot, message } => {
                    self.trace.line(self.now, || format!("node {node} -> {to:?} {message:?}"));
                    self.send(Address::Node(node), to, boot, &message);
                }
                Want::Finish(op) => {
                    let slow = if self.rng.random_bool(0.02) { 20 } else { 1 };
                    let delay = self.rng.random_range(1..=self.scenario.disk_ms) * slow;
                    let boot = self.nodes[node].boot;
                    self.after(delay, Event::Finished { node, boot, op });
                }
                Want::Fault(text) => self.fault = Some(text),
            }
        }
    }

    fn client_hears(&mut self, client: usize, message: Message) {
        let (attempt, reply) = match message {
            Message::RouteReply { chain } => return self.clients[client].learn(chain),
            Message::Answered { attempt, reply } => (attempt, reply),
            other => unreachable!("{other:?} to a client"),
        };
        self.trace.line(self.now, || format!("client {client} <- {attempt} {reply:?}"));
        match self.clients[client].answered(attempt, reply) {
            Outcome::Done(slot, answered) => self.done(client, slot, answered),
            Outcome::Again(slot, ms, route) => {
                if route {
                    let chain = self.clients[client].slots[slot].as_ref().expect("open").chain;
                    let route = Message::Route { client, chain };
                    self.send(Address::Client(client), Address::Controller, None, &route);
                }
                self.after(ms.max(5), Event::Try { client, slot, attempt });
            }
            Outcome::Late => {}
            Outcome::Refused(text) => self.fault = Some(format!("client {client}: {text}")),
        }
    }

    fn done(&mut self, client: usize, slot: usize, answered: Answered) {
        self.moment += 1;
        let request = self.clients[client].slots[slot].take().expect("it was answered");
        let history = self.histories.get_mut(&(request.chain, request.chunk)).expect("begun");
        history[request.place].end = Some((self.moment, answered));
        let pause = self.rng.random_range(0..self.scenario.think_ms);
        self.after(pause, Event::Think { client, slot });
    }

    /// A slot begins its next request, if any is left.
    fn think(&mut self, client: usize, slot: usize) {
        if self.left == 0 || self.clients[client].slots[slot].is_some() {
            return;
        }
        self.left -= 1;
        self.next_value += 1;
        let action = Client::choose(&mut self.rng, self.next_value);
        let chain = self.rng.random_range(0..self.scenario.chains.len());
        let chunk = chunk(self.rng.random_range(0..self.scenario.chunks));
        self.begin(client, slot, (chain, chunk), action, None);
    }

    fn begin(
        &mut self,
        client: usize,
        slot: usize,
        place: (usize, ChunkId),
        action: checker::Action,
        from: Option<usize>,
    ) {
        self.moment += 1;
        let history = self.histories.entry(place).or_default();
        if history.len() == OPERATIONS_MAX {
            return;
        }
        history.push(Operation { begin: self.moment, end: None, action: action.clone() });
        let at = history.len() - 1;
        self.clients[client].begin(slot, place.0, place.1, action, at, from);
        self.attempt(client, slot);
    }

    fn attempt(&mut self, client: usize, slot: usize) {
        match self.clients[client].attempt(slot, &mut self.rng) {
            Some(messages) => {
                for (to, message) in messages {
                    self.trace.line(self.now, || format!("client {client} -> {to:?} {message:?}"));
                    self.send(Address::Client(client), to, None, &message);
                }
                let request = self.clients[client].slots[slot].as_ref().expect("just tried");
                let attempt = request.attempt;
                self.after(PATIENCE_MS, Event::Try { client, slot, attempt });
            }
            None => self.after(1, Event::Think { client, slot }),
        }
    }

    fn strike(&mut self, fault: &Fault) {
        self.trace.line(self.now, || format!("fault {fault:?}"));
        match fault {
            Fault::Crash { node, down_ms } => self.crash(*node, *down_ms),
            Fault::CrashAll { down_ms } => {
                for node in 0..self.nodes.len() {
                    let down_ms = self.rng.random_range(1..=*down_ms);
                    self.crash(node, down_ms);
                }
            }
            Fault::Pause { node, ms } => self.nodes[*node].paused_until = self.now + ms,
            Fault::Cut { node, from } => {
                from.iter().for_each(|other| self.network.cut(Address::Node(*node), *other));
            }
            Fault::Mend => self.network.mend(),
            Fault::SessionEnds { client } => self.end_session(*client),
        }
    }

    fn crash(&mut self, node: usize, down_ms: u64) {
        if self.nodes[node].runs() {
            let rng = &mut self.rng;
            self.nodes[node].crash(|| rng.random_bool(0.5));
            self.after(down_ms, Event::Restart(node));
        }
    }

    fn restart(&mut self, node: usize) {
        if !self.nodes[node].runs() {
            self.trace.line(self.now, || format!("restart {node}"));
            let alive: Vec<ClientId> = self.clients.iter().map(|client| client.id).collect();
            let ended = EndedSessions::all_but(&alive, ClientId(self.next_client));
            self.nodes[node].restart(ended);
        }
    }

    /// The client dies: its requests stay open for ever, and a new one takes its place.
    fn end_session(&mut self, client: usize) {
        self.controller.end_session(self.clients[client].id);
        let id = ClientId(self.next_client);
        self.next_client += 1;
        let planted = self.scenario.planted;
        // The numbers of tries go on, so that an answer to the dead one is nobody's.
        self.clients[client] = self.clients[client].reborn(id, planted);
        for slot in 0..self.scenario.slots {
            self.after(100, Event::Think { client, slot });
        }
    }

    fn heal(&mut self) {
        self.network.heal();
        self.left = 0;
        self.scenario.no_room = 0.0;
        for node in 0..self.nodes.len() {
            self.nodes[node].paused_until = self.now;
            self.restart(node);
        }
        self.clients.iter_mut().for_each(|client| client.patient = true);
    }

    /// All serve, nothing is under way, and all replicas of a chain hold the same.
    fn converged(&self) -> bool {
        let idle = self.clients.iter().all(Client::is_idle);
        let chains = 0..self.scenario.chains.len();
        idle && chains.into_iter().all(|chain| {
            let stores: Vec<_> = self
                .nodes
                .iter()
                .filter(|node| node.chain == chain)
                .map(|node| node.store.summary())
                .collect();
            self.controller.all_serve(chain)
                && stores.iter().all(|(held, pending)| !pending && *held == stores[0].0)
        })
    }

    fn standing(&self) -> String {
        let mut lines = Vec::new();
        for chain in 0..self.scenario.chains.len() {
            lines.push(format!("{:?}", self.controller.chain(chain)));
        }
        for node in &self.nodes {
            lines.push(format!("node {}: {:?}", node.at, node.store.summary()));
        }
        for client in &self.clients {
            lines.push(format!("client {} idle: {}", client.at, client.is_idle()));
        }
        lines.join("\n")
    }

    /// Reads every chunk from every replica.
    fn read_everywhere(&mut self) {
        let reads: Vec<(usize, u32, usize)> = (0..self.nodes.len())
            .flat_map(|node| {
                let chain = self.nodes[node].chain;
                (0..self.scenario.chunks).map(move |chunk| (chain, chunk, node))
            })
            .collect();
        self.scenario.slots = 0;
        for (chain, number, node) in reads {
            let at = self.clients.len();
            let mut reader = Client::new(at, ClientId(1_000 + at as u64), 1, None);
            reader.patient = true;
            self.clients.push(reader);
            self.begin(at, 0, (chain, chunk(number)), checker::Action::Read, Some(node));
        }
    }
}
