//! What the leader of the group does, step by step: it takes over, looks at the chains, and ends sessions, for its term
//! at the longest. The steps are those of the real one, with time between them.

use emberfs_chain_replication::membership::{Change, Edition};
use emberfs_layout::{BootNumber, ChainId, ClientId};
use emberfs_meta_server_state::cluster::{self, News};
use emberfs_meta_server_state::{Body, sessions};
use emberfs_wire::meta::OpenSession;
use rand::RngExt;

use super::leader::Leader;
use super::orders::Then;
use super::{Act, Beat, EXPIRE_MS, Errand, LOOKS_MS, Metadata};
use crate::planted::Planted;

/// A leader that could not go on begins anew after this time, in milliseconds, if it still leads.
const PAUSE_MS: u64 = 500;

/// What the session of a leader says it is.
const LEADER: &str = "a leader";

/// What a leader does.
pub(crate) enum Work {
    /// It reads what leaders before it left.
    Begin,
    /// It ends their sessions, opens its own and records its lease.
    TakeOver(Vec<ClientId>),
    Ready,
    /// All that was granted by a longer lease than its own has ended.
    Shorten,
    /// If no other look was set since.
    Look(u64),
    Decide(u64),
    Propose(Box<Change>),
    /// A change was carried out.
    Changed(ChainId),
    Expire,
    /// A heartbeat is confirmed: what it is answered with is read.
    News(Box<Beat>),
    /// Whether that still holds.
    Vouch(Box<Read>),
    Answer(Box<Read>),
    /// A server that was taken in is told which sessions are alive.
    Alive(Started),
}

/// A new start of a server.
#[derive(Clone, Copy)]
pub(crate) struct Started {
    pub(super) server: usize,
    pub(super) process: u64,
    pub(super) call: u64,
    pub(super) boot: BootNumber,
}

/// What was read for a heartbeat.
pub(crate) struct Read {
    pub(super) beat: Beat,
    pub(super) edition: Edition,
    /// `None`: another start of the server is the latest.
    pub(super) news: Option<News>,
}

impl Metadata {
    /// A member has heard that who leads has changed.
    pub(super) fn follow(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        let leads = self.members[at].leads();
        let at_work = self.members[at].leader.filter(|leader| !self.leaders[*leader].ended);
        let term = at_work.map(|leader| self.leaders[leader].term);
        if term == leads {
            return;
        }
        if let Some(leader) = at_work {
            self.end(leader);
        }
        let Some(term) = leads else { return };
        if self.leaders.last().is_some_and(|last| last.member != at) {
            out.push(Errand::Count("another member takes the lead"));
        }
        let (leader, pause) = (self.leaders.len(), self.moment());
        let member = &self.members[at];
        let who = (at, member.starts);
        let mut begun = Leader::new(who, term, member.clock, now, member.grants, self.planted);
        begun.is_later = leader > 0;
        self.leaders.push(begun);
        self.members[at].leader = Some(leader);
        out.push(Errand::Led);
        let waits = self.planted != Some(Planted::LeadsTooEarly);
        let first = if waits { Work::Begin } else { Work::Ready };
        out.push(self.lead_later(leader, pause, first));
    }

    fn begin_to_lead(&mut self, leader: usize, out: &mut Vec<Errand>) {
        let (at, pause) = (self.leaders[leader].member, self.moment());
        if !self.is_current(at) {
            return out.push(self.lead_later(leader, 1 + pause, Work::Begin));
        }
        let store = &self.members[at].state.store;
        self.leaders[leader].follows(cluster::lease_ms(store).expect("memory"));
        let all = sessions::list(store, ClientId(0), usize::MAX).expect("memory");
        let earlier = all.into_iter().filter(|session| session.what == LEADER);
        let earlier = earlier.map(|session| session.client).collect();
        out.push(self.lead_later(leader, pause, Work::TakeOver(earlier)));
    }

    fn take_over(
        &mut self,
        now: u64,
        leader: usize,
        earlier: Vec<ClientId>,
        out: &mut Vec<Errand>,
    ) {
        let Leader { member, term, own, .. } = self.leaders[leader];
        let (start, host, what) = (self.rng.random(), String::new(), LEADER.to_owned());
        let session = OpenSession { start, host, what };
        let body = Body::Lead { earlier, own: session, lease_ms: own.ms() };
        self.propose(now, member, Some(term), body, Then::Led { leader }, out);
    }

    /// It has taken over.
    fn get_ready(&mut self, now: u64, leader: usize, out: &mut Vec<Errand>) {
        self.leaders[leader].ready = true;
        let Leader { own, longest, .. } = self.leaders[leader];
        if longest.ms() > own.ms() {
            out.push(Errand::Count("a leader waits for longer leases than its own"));
            let ms = self.leaders[leader].outlasts(now);
            out.push(self.lead_later(leader, ms, Work::Shorten));
        }
        self.look_in(leader, 0, out);
        out.push(self.lead_later(leader, EXPIRE_MS, Work::Expire));
    }

    fn shorten_lease(&mut self, now: u64, leader: usize, out: &mut Vec<Errand>) {
        let Leader { member, term, own, .. } = self.leaders[leader];
        out.push(Errand::Count("a leader has outlasted longer leases than its own"));
        self.propose(now, member, Some(term), Body::SetLease(own.ms()), Then::Nobody, out);
    }

    /// A leader cannot go on, and begins anew if it still leads.
    pub(super) fn give_up(&mut self, leader: usize, out: &mut Vec<Errand>) {
        self.end(leader);
        let ended = &self.leaders[leader];
        if ended.start == self.start_of(ended.member) {
            out.push(self.later(ended.member, PAUSE_MS, Act::Follow));
        }
    }

    /// What a leader does ends; who hears of it later may still be under way.
    pub(super) fn end(&mut self, leader: usize) {
        if self.planted == Some(Planted::DeposedGrants) {
            return;
        }
        let ended = &mut self.leaders[leader];
        ended.ended = true;
        let member = &mut self.members[ended.member];
        if member.starts == ended.start && member.leader == Some(leader) {
            member.leader = None;
        }
    }

    pub(super) fn work(&mut self, now: u64, leader: usize, work: Work, out: &mut Vec<Errand>) {
        let ended = self.leaders[leader].ended;
        let at = self.leaders[leader].member;
        match work {
            // Whoever asked waits for its answer, also of a leader that has ended.
            Work::News(beat) => self.news(leader, beat, out),
            Work::Vouch(read) => self.vouch(now, leader, read, out),
            Work::Answer(read) => self.answer(now, leader, read, out),
            Work::Alive(started) => self.alive(leader, started, out),
            Work::Propose(change) => self.propose_change(now, leader, *change, out),
            _ if ended => {}
            Work::Begin => self.begin_to_lead(leader, out),
            Work::TakeOver(earlier) => self.take_over(now, leader, earlier, out),
            Work::Ready => self.get_ready(now, leader, out),
            Work::Shorten => self.shorten_lease(now, leader, out),
            Work::Look(look) => {
                if self.leaders[leader].look != look {
                    return;
                }
                let pause = self.moment();
                if self.is_current(at) {
                    self.leaders[leader].read(&self.members[at].state.store).expect("memory");
                    out.push(self.lead_later(leader, pause, Work::Decide(look)));
                } else {
                    out.push(self.lead_later(leader, 1 + pause, Work::Look(look)));
                }
            }
            Work::Decide(look) => self.decide(now, leader, look, out),
            Work::Changed(chain) => {
                self.leaders[leader].applied(chain);
                if self.leaders[leader].may_look() {
                    self.look_in(leader, LOOKS_MS.0, out);
                }
            }
            Work::Expire => self.expire(now, leader, out),
        }
    }

    /// Looks at the chains after a while, and not at another time.
    pub(super) fn look_in(&mut self, leader: usize, ms: u64, out: &mut Vec<Errand>) {
        self.leaders[leader].look += 1;
        let look = self.leaders[leader].look;
        out.push(self.lead_later(leader, ms, Work::Look(look)));
    }

    fn decide(&mut self, now: u64, leader: usize, look: u64, out: &mut Vec<Errand>) {
        let leads = &mut self.leaders[leader];
        if leads.look != look || !leads.may_look() {
            return;
        }
        let changes = leads.decide(now, &mut self.rows);
        leads.under_way = changes.len();
        if changes.is_empty() {
            let pause = self.rng.random_range(LOOKS_MS.0..=LOOKS_MS.1);
            self.look_in(leader, pause, out);
        }
        for change in changes {
            let pause = self.moment();
            out.push(self.lead_later(leader, pause, Work::Propose(Box::new(change))));
        }
    }

    fn propose_change(&mut self, now: u64, leader: usize, change: Change, out: &mut Vec<Errand>) {
        let Change { from, chain, boots } = change;
        let (member, term) = (self.leaders[leader].member, self.leaders[leader].term);
        let mut then = Then::Changed { leader, chain: chain.id };
        let (mut at, mut term) = (member, Some(term));
        if self.planted == Some(Planted::DecidedBefore) && self.members[at].leads() != term {
            (at, term, then) = (self.leading().unwrap_or(at), None, Then::Nobody);
        }
        self.propose(now, at, term, Body::SetChain { from, chain, boots }, then, out);
    }

    /// Ends the sessions of clients that are gone, and forgets those that all servers know to have ended.
    fn expire(&mut self, now: u64, leader: usize, out: &mut Vec<Errand>) {
        out.push(self.lead_later(leader, EXPIRE_MS, Work::Expire));
        let (at, term) = (self.leaders[leader].member, Some(self.leaders[leader].term));
        let store = &self.members[at].state.store;
        let lives = |client| sessions::find(store, client).expect("memory").is_some();
        let silent = self.silent.iter().copied().filter(|client| lives(*client));
        for client in silent.collect::<Vec<_>>() {
            self.propose(now, at, term, Body::EndSession(client), Then::Nobody, out);
        }
        let nodes = cluster::nodes(&self.members[at].state.store).expect("memory");
        let leader = &mut self.leaders[leader];
        let confirmed = nodes.iter().map(|node| leader.confirmed(node.id)).min();
        if let Some(to) = confirmed.filter(|to| *to > leader.forgotten) {
            leader.forgotten = to;
            self.propose(now, at, term, Body::ForgetEnded(to), Then::Nobody, out);
        }
    }
}
