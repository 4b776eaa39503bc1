//! What clients do in a run: they begin requests, try them again, and learn what came of them.

use emberfs_chain_replication::target::Reply;
use emberfs_layout::{ChunkId, ClientId};
use emberfs_wire::FsError;
use rand::RngExt;

use crate::checker::{Action, Answered, OPERATIONS_MAX, Operation};
use crate::client::{Client, Outcome, Tried, chunk};
use crate::metadata::MEMBERS;
use crate::network::{Address, Message};
use crate::world::{Event, World};

/// A client tries again when it has heard nothing for this long, in milliseconds.
const PATIENCE_MS: u64 = 600;

impl World {
    pub(crate) fn client_hears(&mut self, client: usize, message: Message) {
        let (attempt, reply) = match message {
            Message::RouteReply { chain } => {
                self.check_same(&chain);
                return self.clients[client].learn(chain);
            }
            Message::Answered { attempt, reply } => (attempt, reply),
            other => unreachable!("{other:?} to a client"),
        };
        let version = match &reply {
            Ok(Reply::Updated(updated)) => Some(updated.version),
            _ => None,
        };
        match self.clients[client].answered(attempt, reply) {
            Outcome::Done(slot, answered) => {
                let request = self.clients[client].slots[slot].as_ref().expect("it was answered");
                if let Some(version) = version {
                    let place = (request.chain, request.chunk);
                    let known = self.acknowledged.entry(place).or_default();
                    *known = version.max(*known);
                    self.note_lacking(place, version);
                }
                self.done(client, slot, answered);
            }
            Outcome::Again(slot, ms, route) => {
                if route {
                    let chain = self.clients[client].slots[slot].as_ref().expect("open").chain;
                    let route = Message::Route { client, chain };
                    let member = Address::Member(self.rng.random_range(0..MEMBERS));
                    self.send(Address::Client(client), member, None, route);
                }
                self.after(ms.max(5), Event::Try { client, slot, attempt });
            }
            Outcome::Late => {}
            Outcome::Refused(text) => self.fault = Some(format!("client {client}: {text}")),
        }
    }

    fn done(&mut self, client: usize, slot: usize, answered: Answered) {
        self.moment += 1;
        let request = self.clients[client].finish(slot);
        let history = self.histories.get_mut(&(request.chain, request.chunk)).expect("begun");
        if let Answered::Refused(why) = answered {
            self.coverage.count(match why {
                FsError::NoSpace => "a disk is full",
                _ => "a change is refused as the chunk cannot be read",
            });
            let refused_at = self.refused_at.get(&request.chain);
            if refused_at.is_none_or(|refused_at| *refused_at < history[request.place].begin) {
                self.fault = Some(format!("refused by none of the serving members: {client}"));
            }
        }
        history[request.place].end = Some((self.moment, answered));
        let pause = self.rng.random_range(0..self.scenario.think_ms);
        self.after(pause, Event::Think { client, slot });
    }

    /// A client gives a sign of life, and tells what is settled. How it finds the leader is no matter here.
    pub(crate) fn renews(&mut self, client: usize) {
        let asked = self.clients[client].renewal();
        let Some(leader) = self.metadata.leading() else { return };
        self.send(Address::Client(client), Address::Member(leader), None, Message::Renew { asked });
    }

    /// A slot begins its next request, if any is left.
    pub(crate) fn think(&mut self, client: usize, slot: usize) {
        let begins_none = slot >= self.scenario.slots;
        if self.left == 0 || begins_none || self.clients[client].slots[slot].is_some() {
            return;
        }
        self.next_value += 1;
        let action = Client::choose(&mut self.rng, self.next_value);
        let chain = self.rng.random_range(0..self.scenario.chains.len());
        let chunk = chunk(self.rng.random_range(0..self.scenario.chunks));
        if self.begin(client, slot, (chain, chunk), action, None) {
            self.left -= 1;
        } else {
            self.coverage.count("a write waits for an earlier one to its chunk");
            let pause = self.rng.random_range(1..=self.scenario.think_ms);
            self.after(pause, Event::Think { client, slot });
        }
    }

    /// Whether the request need not wait for an earlier one.
    fn begin(
        &mut self,
        client: usize,
        slot: usize,
        place: (usize, ChunkId),
        action: Action,
        from: Option<usize>,
    ) -> bool {
        let history = self.histories.entry(place).or_default();
        if history.len() == OPERATIONS_MAX {
            return true;
        }
        let at = history.len();
        let Ok(write) = self.clients[client].number(place, &action) else {
            return false;
        };
        self.moment += 1;
        history.push(Operation { begin: self.moment, end: None, action: action.clone() });
        self.clients[client].begin(slot, place, action, at, from, write);
        self.attempt(client, slot);
        true
    }

    pub(crate) fn tries_again(&mut self, client: usize, slot: usize, attempt: u64) {
        let current = self.clients[client].slots.get(slot).and_then(Option::as_ref);
        if current.is_some_and(|request| request.attempt == attempt) {
            self.coverage.count("a client sends again what is under way");
            self.attempt(client, slot);
        }
    }

    fn attempt(&mut self, client: usize, slot: usize) {
        let counted = match self.clients[client].attempt(slot, &mut self.rng) {
            Tried::Sent(messages) => {
                for (to, message) in messages {
                    self.trace.line(self.now, || format!("client {client} -> {to:?} {message:?}"));
                    self.send(Address::Client(client), to, None, message);
                }
                let request = self.clients[client].slots[slot].as_ref().expect("just tried");
                let attempt = request.attempt;
                return self.after(PATIENCE_MS, Event::Try { client, slot, attempt });
            }
            Tried::Over => "a read is given up",
            Tried::InDoubt => "a write ends in doubt",
            Tried::GoesOn(slot) => {
                self.attempt(client, slot);
                "a write is given up, and goes on"
            }
        };
        self.coverage.count(counted);
        self.after(1, Event::Think { client, slot });
    }

    /// The client dies: its requests stay open for ever, and a new one takes its place.
    pub(crate) fn end_session(&mut self, client: usize) {
        self.metadata.falls_silent(self.clients[client].id);
        let id = self.metadata.next_session();
        let planted = self.scenario.planted;
        // The numbers of tries go on, so that an answer to the dead one is nobody's.
        self.clients[client] = self.clients[client].reborn(id, planted);
        for slot in 0..self.scenario.slots {
            self.after(100, Event::Think { client, slot });
        }
    }

    /// Reads every chunk from every replica.
    pub(crate) fn read_everywhere(&mut self) {
        let reads: Vec<(usize, u32, usize)> = (0..self.nodes.len())
            .flat_map(|node| {
                let chain = self.nodes[node].chain;
                (0..self.scenario.chunks).map(move |chunk| (chain, chunk, node))
            })
            .collect();
        self.scenario.slots = 0;
        for (chain, number, node) in reads {
            let at = self.clients.len();
            let mut reader = Client::new(at, ClientId(1_000_000 + at as u64), 1, None);
            reader.patient = true;
            self.clients.push(reader);
            self.begin(at, 0, (chain, chunk(number)), Action::Read, Some(node));
        }
    }
}
