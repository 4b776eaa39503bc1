//! What drives a member: it feeds the core, carries its effects out, and takes the steps of the threads that sync,
//! apply and flush, each in its own time.

use std::rc::Rc;

use emberfs_meta_server_consensus::{
    self as consensus, Committed, Config, Effect, Index, Input, Leadership, Limits, PeerMessage,
};
use emberfs_meta_server_state::apply;
use rand::RngExt;

use super::storage::Write;
use super::{Act, Errand, MEMBERS, Metadata, agreed, member};
use crate::planted::Planted;

/// A few entries stay for the others when the log is cut; it is never full.
const LIMITS: Limits =
    Limits { log_bytes_max: 1 << 20, keep_bytes: 700, transfer_bytes_max: 1 << 20 };

/// Between two times that a state is made durable, in milliseconds.
const FLUSH_MS: (u64, u64) = (200, 2_500);

impl Metadata {
    /// A member starts from its storages.
    pub(super) fn start(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        if self.is_up(at) {
            return;
        }
        let (seed, pause) = (self.rng.random(), self.rng.random_range(FLUSH_MS.0..=FLUSH_MS.1));
        let member = &mut self.members[at];
        let had = member.state.applied.index.min(member.storage.last());
        member.state = (*member.storage.flushed).clone();
        let flushed = member.state.applied.index;
        if had > flushed {
            out.push(Errand::Count("a member takes in again what its state has lost"));
        }
        let forgets = self.planted == Some(Planted::StateForgotten);
        let (restored, must_reach) = member.storage.restored(if forgets { had } else { flushed });
        let config = Config {
            member: member::id(at),
            voters: (0..MEMBERS).map(member::id).collect(),
            seed,
            is_new: member.storage.is_new(),
            must_reach,
            limits: LIMITS,
        };
        member.starts += 1;
        let core = consensus::Member::new(&config, restored, member.now(now));
        member.core = Some(core.expect("sound storages"));
        self.tick(now, at, out);
        out.push(self.later(at, pause, Act::Flush));
    }

    pub(super) fn act(&mut self, now: u64, at: usize, act: Act, out: &mut Vec<Errand>) {
        match act {
            Act::Tick => self.tick(now, at, out),
            Act::Synced => self.synced(now, at, out),
            Act::Apply => self.apply(now, at, out),
            Act::Flush => self.flush(now, at, out),
            Act::MakeSnapshot => self.make_snapshot(now, at, out),
            Act::SnapshotSent { to, became } => {
                self.members[at].sending -= 1;
                self.input(now, at, Input::SnapshotSent { to, became }, out);
            }
            Act::Unreachable(to) => self.input(now, at, Input::Unreachable(to), out),
            Act::Follow => self.follow(now, at, out),
            Act::Route { client, chain, index } => {
                self.route(at, client, chain, Index(index), out);
            }
            Act::Lead { leader, work } => self.work(now, leader, work, out),
        }
    }

    fn tick(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        self.input(now, at, Input::Tick, out);
        let member = &self.members[at];
        let next = member.core.as_ref().expect("it runs").next_tick();
        let ms = member.until(now, next);
        out.push(self.later(at, ms, Act::Tick));
    }

    /// Another member says something.
    pub(super) fn told(&mut self, now: u64, at: usize, said: PeerMessage, out: &mut Vec<Errand>) {
        self.input(now, at, Input::Message(said), out);
    }

    pub(super) fn input(&mut self, now: u64, at: usize, input: Input, out: &mut Vec<Errand>) {
        let member = &mut self.members[at];
        let time = member.now(now);
        let core = member.core.as_mut().expect("it runs");
        let mut effects = Vec::new();
        core.step(time, input, &mut effects);
        // Before anything leaves that lets another lead, or that tells others what is committed.
        (member.lease, member.committed) = (core.lease_until(), core.committed());
        effects.into_iter().for_each(|effect| self.carry_out(now, at, effect, out));
        if self.planted == Some(Planted::LeadsTooEarly) {
            self.lead_too_early(at, out);
        }
    }

    /// Leads as soon as it is elected.
    fn lead_too_early(&mut self, at: usize, out: &mut Vec<Errand>) {
        let standing = self.members[at].core.as_ref().expect("it runs").standing();
        let leads = Leadership::Leader { term: standing.term };
        let elected = standing.members.iter().any(|member| member.matched.is_some());
        if elected && self.members[at].leadership != leads {
            self.members[at].leadership = leads;
            out.push(self.later(at, 0, Act::Follow));
        }
    }

    fn carry_out(&mut self, now: u64, at: usize, effect: Effect, out: &mut Vec<Errand>) {
        match effect {
            Effect::Append(append) => self.write(now, at, Write::Append(append), out),
            Effect::Owe(to) => self.write(now, at, Write::Owe(to), out),
            Effect::BroughtUp => self.write(now, at, Write::BroughtUp, out),
            Effect::Diverged(divergence) => panic!("members differ: {divergence}"),
            Effect::Cut(position) => self.members[at].storage.cut(position),
            Effect::Send(message) => {
                let start = self.start_of(at);
                self.members[at].sending += usize::from(message.snapshot().is_some());
                out.push(Errand::Tell { from: at, start, message: Box::new(message) });
            }
            Effect::MakeSnapshot => {
                let ms = self.moment();
                out.push(self.later(at, ms, Act::MakeSnapshot));
            }
            Effect::Apply(batch) => {
                self.members[at].to_apply.extend(batch);
                let ms = self.moment();
                out.push(self.later(at, ms, Act::Apply));
            }
            Effect::Confirmed { ids, index } => {
                for id in ids {
                    let asked = self.members[at].asked.remove(&id).expect("asked once");
                    self.confirmed(at, asked, index, out);
                }
            }
            Effect::Unconfirmed { id, .. } => {
                let asked = self.members[at].asked.remove(&id).expect("asked once");
                self.unconfirmed(at, asked, out);
            }
            Effect::Refused { id, .. } => {
                let then = self.members[at].proposed.remove(&id).expect("proposed once");
                self.refused(at, then, out);
            }
            Effect::Leadership(leadership) => {
                self.members[at].leadership = leadership;
                if let Some(term) = self.members[at].leads() {
                    self.agreed.led(term, at);
                }
                let ms = self.moment();
                out.push(self.later(at, ms, Act::Follow));
            }
        }
    }

    fn write(&mut self, now: u64, at: usize, write: Write, out: &mut Vec<Errand>) {
        let takes = self.moment();
        let member = &mut self.members[at];
        member.unsynced.push_back(write);
        member.synced_at = member.synced_at.max(now + takes);
        let ms = member.synced_at - now;
        out.push(self.later(at, ms, Act::Synced));
    }

    /// The oldest write is on stable storage.
    fn synced(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        let member = &mut self.members[at];
        let append = match member.unsynced.pop_front().expect("one for each step") {
            Write::Append(append) => append,
            Write::Owe(to) => return member.storage.owe(to),
            Write::BroughtUp => {
                member.storage.brought_up();
                return out.push(Errand::Count("a member that was new is up to date"));
            }
        };
        let snapshot = append.snapshot().map(|name| self.install(at, name, out));
        self.members[at].storage.write(&append, snapshot);
        let installed = append.snapshot().is_some();
        self.input(now, at, Input::Durable(append.synced()), out);
        if installed {
            let applied = self.members[at].state.applied.index;
            self.input(now, at, Input::Applied(applied), out);
        }
    }

    fn apply(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        if self.take_in(at, out) {
            let applied = self.members[at].state.applied.index;
            self.input(now, at, Input::Applied(applied), out);
        }
    }

    /// The state takes in what is committed; whether that was anything.
    pub(super) fn take_in(&mut self, at: usize, out: &mut Vec<Errand>) -> bool {
        let batch = std::mem::take(&mut self.members[at].to_apply);
        let any = !batch.is_empty();
        for Committed { entry, proposal } in batch {
            if let Some((before, after)) = self.agreed.taken_in(&entry) {
                out.push(Errand::Changed { before, after });
            }
            let state = &mut self.members[at].state;
            state.applied = entry.position;
            let Some(command) = agreed::read(&entry) else { continue };
            let outcome = apply(&mut state.store, &command).expect("memory");
            let waits = proposal.and_then(|id| self.members[at].proposed.remove(&id));
            if let Some(then) = waits {
                self.carried_out(at, then, &outcome, out);
            }
        }
        any
    }

    fn flush(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        self.make_durable(at);
        let index = self.members[at].state.applied.index;
        self.input(now, at, Input::StateDurable(index), out);
        self.let_snapshot_go(now, at, out);
        let pause = self.rng.random_range(FLUSH_MS.0..=FLUSH_MS.1);
        out.push(self.later(at, pause, Act::Flush));
    }

    pub(super) fn make_durable(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.storage.flushed.applied != member.state.applied {
            member.storage.flushed = Rc::new(member.state.clone());
        }
    }
}
