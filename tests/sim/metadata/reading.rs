//! Heartbeats are answered by what a leader reads in its term, and clients by what any member has taken in.

use emberfs_meta_server_consensus::Index;
use emberfs_meta_server_state::cluster::{self, News};
use emberfs_meta_server_state::sessions;
use emberfs_wire::cluster::HeartbeatReply;
use rand::RngExt;

use super::leading::{Read, Started, Work};
use super::orders::Asked;
use super::{Act, Beat, Errand, LOOKS_MS, Metadata, chain_id, to_server};
use crate::network::{Address, Message};
use crate::planted::Planted;

/// Between two looks whether a state has taken in what it must, in milliseconds.
const AGAIN_MS: u64 = 2;

impl Metadata {
    /// A leader gets a heartbeat.
    pub(super) fn beats(
        &mut self,
        now: u64,
        leader: usize,
        beat: Box<Beat>,
        out: &mut Vec<Errand>,
    ) {
        if self.is_sure() {
            return out.push(self.lead_later(leader, 0, Work::News(beat)));
        }
        let (at, term) = (self.leaders[leader].member, self.leaders[leader].term);
        self.confirm(now, at, Some(term), Asked::Beat { leader, beat }, out);
    }

    /// Whether a member's state holds what this member knows that anybody may have seen.
    pub(super) fn is_current(&self, at: usize) -> bool {
        let member = &self.members[at];
        member.state.applied.index >= member.committed
    }

    /// Nobody asks whether it leads.
    fn is_sure(&self) -> bool {
        matches!(self.planted, Some(Planted::DeposedGrants | Planted::LeadsTooEarly))
    }

    pub(super) fn news(&mut self, leader: usize, beat: Box<Beat>, out: &mut Vec<Errand>) {
        let at = self.leaders[leader].member;
        if !self.is_current(at) {
            return out.push(self.lead_later(leader, AGAIN_MS, Work::News(beat)));
        }
        let edition = self.leaders[leader].edition();
        let low_waters = self.leaders[leader].low_waters(&beat.said.marks_wanted);
        let store = &self.members[at].state.store;
        let news = cluster::news(store, &beat.said, &low_waters).expect("memory");
        let pause = if self.rng.random_bool(0.8) { 0 } else { self.moment() };
        let read = Box::new(Read { beat: *beat, edition, news });
        out.push(self.lead_later(leader, pause, Work::Vouch(read)));
    }

    /// What was read holds if nobody else has led since this leader began.
    pub(super) fn vouch(
        &mut self,
        now: u64,
        leader: usize,
        read: Box<Read>,
        out: &mut Vec<Errand>,
    ) {
        let (at, term) = (self.leaders[leader].member, self.leaders[leader].term);
        let leads = self.members[at].leads() == Some(term) && self.members[at].lease_holds(now);
        if leads || self.is_sure() {
            let pause = if self.rng.random_bool(0.8) { 0 } else { self.moment() };
            return out.push(self.lead_later(leader, pause, Work::Answer(read)));
        }
        out.push(Errand::Count("a leader's own lease is over, and it asks"));
        self.confirm(now, at, Some(term), Asked::Read { leader, read }, out);
    }

    pub(super) fn answer(
        &mut self,
        now: u64,
        leader: usize,
        read: Box<Read>,
        out: &mut Vec<Errand>,
    ) {
        let at = self.leaders[leader].member;
        let Read { beat, edition, news } = *read;
        let Beat { server, process, call, said } = beat;
        let Some(news) = news else {
            return out.push(to_server(at, server, process, Message::Stale { call }));
        };
        let Some(answered) = self.leaders[leader].answer(now, &said, news.informed, edition) else {
            let beat = Box::new(Beat { server, process, call, said });
            return self.news(leader, beat, out);
        };
        if answered.news && self.leaders[leader].may_look() {
            let pause = self.rng.random_range(1..=LOOKS_MS.0);
            self.look_in(leader, pause, out);
        }
        let News { routing, ended, ended_to, marks, .. } = news;
        let lease_ms = answered.lease_ms;
        let reply = HeartbeatReply { lease_ms, routing, ended, ended_to, marks };
        out.push(to_server(at, server, process, Message::BeatReply { call, reply }));
    }

    /// A server was taken in: it is told which sessions are alive.
    pub(super) fn alive(&mut self, leader: usize, started: Started, out: &mut Vec<Errand>) {
        let Started { server, process, call, boot } = started;
        let at = self.leaders[leader].member;
        let (alive, next) = sessions::alive(&self.members[at].state.store).expect("memory");
        let message = Message::TakenIn { call, boot, alive, next };
        out.push(to_server(at, server, process, message));
    }

    /// A client hears of a chain from any member.
    pub(super) fn route(
        &mut self,
        at: usize,
        client: usize,
        chain: usize,
        index: Index,
        out: &mut Vec<Errand>,
    ) {
        if self.members[at].state.applied.index < index {
            let act = Act::Route { client, chain, index: index.get() };
            return out.push(self.later(at, AGAIN_MS, act));
        }
        let placed = cluster::placed_chain(&self.members[at].state.store, chain_id(chain));
        let chain = placed.expect("memory").expect("a chain never goes").chain;
        let message = Box::new(Message::RouteReply { chain });
        out.push(Errand::Send { from: at, to: Address::Client(client), process: None, message });
    }
}
