//! A simulated group: each member has a clock that runs at its own rate, a disk that loses unsynced appends, a state
//! that loses what was not flushed, and threads that lag behind each other and stand still for a while. Seeded;
//! everything that must never happen is asserted at each step.

mod counts;
mod disk;
mod faults;
mod network;
mod node;
mod promises;
mod scenes;
mod snapshots;
mod threads;

use std::collections::BTreeMap;

use emberfs_wire::group::{Index, MemberId, SnapshotId, SnapshotName};

use self::disk::{State, Write, reached};
use self::network::{Network, Transfer, place, travel};
use self::node::{Clock, Node};
use self::promises::{Promises, order};
use super::dice::Dice;
use crate::effect::{Effect, Input, Leadership};
use crate::ids::{ConfirmId, Millis, ProposalId};
use crate::lease::{LEASE, SILENCE};
use crate::member::Member;
use crate::start::{Config, Limits, Restored};

pub(super) use self::counts::Counts;
pub(super) use self::faults::Bug;

/// The whole group, and what was promised to its users.
pub(super) struct World {
    pub(super) dice: Dice,
    /// By the clock on the wall.
    pub(super) now: Millis,
    pub(super) faults: bool,
    /// The disk of the first member loses what it synced, now and then.
    pub(super) losses: bool,
    pub(super) bug: Option<Bug>,
    /// Time stands still while everything else goes on.
    pub(super) still: bool,
    /// How much time passes at once, at most.
    pace: u64,
    /// Since when nothing goes wrong any more.
    healed: Option<Millis>,
    /// Users want something now and then.
    pub(super) busy: bool,
    limits: Limits,
    nodes: Vec<Node>,
    network: Network,
    promises: Promises,
    /// What each snapshot holds.
    snapshots: BTreeMap<SnapshotId, State>,
    asked: u64,
    pub(super) counts: Counts,
    /// One line for each effect, if wanted: equal seeds give equal lines.
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(members: u64, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let pace = 5 + dice.below(30);
        let mut node = |_| {
            let (rate, offset) = (900 + dice.below(201), dice.below(100_000));
            Node::new(Clock { rate, offset })
        };
        let nodes = (0..members).map(&mut node).collect();
        // A few dozen entries, of which a dozen stays.
        let limits = Limits { log_bytes_max: 6000, keep_bytes: 900, transfer_bytes_max: 9000 };
        let mut world = Self {
            dice,
            now: Millis(0),
            faults: true,
            losses: false,
            bug: None,
            still: false,
            pace,
            healed: None,
            busy: true,
            limits,
            nodes,
            network: Network::default(),
            promises: Promises::default(),
            snapshots: BTreeMap::new(),
            asked: 0,
            counts: Counts::default(),
            trace: None,
        };
        (0..world.nodes.len()).for_each(|at| world.start(at));
        world
    }

    fn start(&mut self, at: usize) {
        let (now, seed) = (self.now, self.dice.below(1 << 40));
        let voters = (1..=self.nodes.len() as u64).map(MemberId).collect();
        let node = &mut self.nodes[at];
        let lost = node.disk.guard > node.disk.last() && self.bug != Some(Bug::LossUntold);
        let config = Config {
            member: MemberId(at as u64 + 1),
            voters,
            seed,
            is_new: node.disk.is_new,
            must_reach: if lost { node.disk.guard } else { Index::NONE },
            limits: self.limits,
        };
        node.starts += 1;
        node.applied = node.disk.flushed.clone();
        let restored = Restored {
            vote: node.disk.vote,
            cut: node.disk.cut,
            entries: node.disk.log.values().cloned().collect(),
            applied: reached(&node.applied).index,
        };
        let now = node.clock.read(now);
        let began = if self.bug == Some(Bug::NoSilence) {
            Millis(now.0.saturating_sub(SILENCE.0))
        } else {
            now
        };
        node.member = Some(Member::new(&config, restored, began).expect("a sound disk"));
        self.input(at, Input::Tick);
    }

    /// A member runs, and takes an input.
    pub(super) fn ready(&self, at: usize) -> bool {
        self.nodes[at].ready(self.now)
    }

    /// A step, whose effects are carried out one by one.
    fn input(&mut self, at: usize, input: Input) {
        let handing = matches!(input, Input::HandOver);
        let node = &mut self.nodes[at];
        assert!(node.todo.is_empty(), "one step after the other");
        let now = node.clock.read(self.now);
        let Some(member) = &mut node.member else { return };
        let mut effects = Vec::new();
        member.step(now, input, &mut effects);
        assert!(
            member.log_bytes()
                < 2 * self.limits.log_bytes_max + self.limits.transfer_bytes_max + 500,
            "a log grows without end"
        );
        let lease = member.lease_until();
        let renewed = lease > std::mem::replace(&mut node.told, lease);
        node.lease = match self.bug {
            Some(Bug::LeaseFromAnswer) if renewed => now.after(LEASE),
            Some(Bug::LeaseFromAnswer) if lease > Millis(0) => node.lease,
            Some(Bug::LeaseKept) if handing || node.handed.is_some() => node.lease,
            _ => lease,
        };
        node.committed = member.committed();
        node.todo.extend(effects);
        self.look_at_lease(at);
        self.carry_on(at);
    }

    /// Carries out what is left of the last step, or some of it.
    fn carry_on(&mut self, at: usize) {
        while let Some(effect) = self.nodes[at].todo.pop_front() {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:?} {at} {effect:?}", self.now));
            }
            self.carry_out(at, effect);
            if self.faults && self.dice.one_in(3000) {
                self.pause(at);
                return;
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        let node = &mut self.nodes[at];
        match effect {
            Effect::Append(append) => node.unsynced.push_back(Write::Append(append)),
            Effect::Owe(to) => node.unsynced.push_back(Write::Owe(to)),
            Effect::BroughtUp => node.unsynced.push_back(Write::BroughtUp),
            Effect::Diverged(divergence) => panic!("members differ: {divergence}"),
            Effect::Cut(position) => node.disk.cut(position),
            Effect::Send(message) if message.snapshot().is_some() => {
                let (message, start) = (travel(message), node.starts);
                self.network.fetch(Transfer { message, start });
            }
            Effect::Send(message) => self.network.send(&mut self.dice, message),
            Effect::MakeSnapshot => node.wished = true,
            Effect::Apply(batch) => {
                let answered = batch.iter().filter_map(|committed| committed.proposal);
                answered.for_each(|id| self.promises.answer(id));
                node.to_apply.extend(batch);
            }
            Effect::Confirmed { ids, index } => {
                let (leads, applied) = (node.lease > Millis(0), reached(&node.applied).index);
                // Whoever has waited until the state is there sees all of it.
                self.promises.show(applied.max(index));
                ids.into_iter().for_each(|id| self.promises.confirm(id, index, leads));
            }
            Effect::Unconfirmed { id, .. } => self.promises.unconfirm(id),
            Effect::Leadership(Leadership::Leader { term }) => {
                assert_ne!(node.handed, Some(term), "it leads on in the term that it gave up");
                self.promises.lead(term, at);
            }
            Effect::Leadership(Leadership::Follower { .. }) => node.handed = None,
            Effect::Refused { id, why } => {
                self.promises.refuse(id, why);
                self.counts.full += usize::from(why == crate::Refusal::Full);
            }
            Effect::Leadership(Leadership::Nobody) => {}
        }
    }

    fn look_at_lease(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.member.is_some() && node.clock.read(self.now) < node.lease {
            self.promises.lease(at, reached(&node.applied).index, node.committed);
        }
    }

    /// Some message arrives, if it may.
    fn deliver(&mut self) {
        if self.network.messages.is_empty() {
            return;
        }
        let chosen = self.dice.place(self.network.messages.len());
        let message = &self.network.messages[chosen];
        let (from, to) = (place(message.from()), place(message.to()));
        let passes = self.network.passes(from, to, self.now);
        let up = self.nodes[to].member.is_some();
        if up && passes && !self.nodes[to].ready(self.now) {
            return;
        }
        if !passes && !self.dice.one_in(4) {
            return;
        }
        let repeat = self.faults && self.dice.one_in(20);
        let message = match repeat {
            true => self.network.messages[chosen].clone(),
            false => self.network.messages.swap_remove(chosen),
        };
        let lost = self.faults && self.dice.one_in(15);
        if up && passes && !lost {
            self.input(to, Input::Message(message));
        } else if self.nodes[from].ready(self.now) && self.dice.one_in(2) {
            self.input(from, Input::Unreachable(message.to()));
        }
    }

    fn ask(&mut self, mut at: usize) {
        // Users look for the leader.
        if self.dice.one_in(2) {
            let leads = |node: &Node| node.lease > Millis(0);
            at = self.nodes.iter().position(leads).unwrap_or(at);
        }
        if !self.busy || !self.nodes[at].ready(self.now) {
            return;
        }
        self.asked += 1;
        let number = self.asked;
        if self.dice.one_in(2) {
            let id = ProposalId(number);
            self.promises.propose(id, at, self.now);
            self.input(at, Input::Propose { id, data: order(id) });
        } else {
            self.promises.ask(ConfirmId(number), at, self.now);
            self.input(at, Input::Confirm(ConfirmId(number)));
        }
    }

    /// Something happens.
    pub(super) fn turn(&mut self) {
        let at = self.dice.place(self.nodes.len());
        match self.dice.below(24) {
            0..9 => (0..3).for_each(|_| self.deliver()),
            9..13 => self.sync(at),
            13..15 => self.ask(at),
            15 if self.dice.one_in(4) => self.flush(at),
            16 => self.see_to_snapshot(at),
            17 => self.transfer(),
            18 if self.faults => self.fail(at),
            15..21 => self.report_applied(at),
            _ if self.still => {}
            _ => self.pass_time(),
        }
    }

    fn pass_time(&mut self) {
        self.now = self.now.after(Millis(self.dice.below(self.pace)));
        self.look_at_questions();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if node.member.is_none() && node.up_at <= self.now {
                self.start(at);
            } else if node.member.is_some() && node.paused_until <= self.now {
                self.carry_on(at);
                let (node, now) = (&self.nodes[at], self.now);
                let due = |member: &Member| member.next_tick() <= node.clock.read(now);
                if node.ready(now) && node.member.as_ref().is_some_and(due) {
                    self.input(at, Input::Tick);
                }
            }
            self.look_at_lease(at);
        }
    }

    /// Where nothing goes wrong, questions are answered soon.
    fn look_at_questions(&self) {
        let Some(healed) = self.healed else { return };
        for question in self.promises.questions.values() {
            let since = question.asked.max(healed);
            assert!(
                self.now < since.after(Millis(4000)),
                "no answer to what {} asked",
                question.at
            );
        }
    }

    /// The faults end: everybody is up, and everything that is under way arrives.
    pub(super) fn heal(&mut self) {
        self.faults = false;
        self.healed = Some(self.now);
        self.network.unblock();
        for node in &mut self.nodes {
            node.paused_until = self.now;
            node.up_at = self.now;
        }
        (0..6000).for_each(|_| self.turn());
        self.busy = false;
        for turn in 0_u64..60_000 {
            self.turn();
            if turn.is_multiple_of(100) && self.settled() {
                return;
            }
        }
        assert!(self.abstains(), "a healed group does not agree");
        self.counts.blocked += 1;
    }

    /// So many members do not vote that none is elected, and only people can tell what to do.
    fn abstains(&self) -> bool {
        let votes =
            |node: &Node| node.member.as_ref().is_some_and(|member| member.abstains().is_none());
        self.nodes.iter().filter(|&node| votes(node)).count() <= self.nodes.len() / 2
    }

    /// Everybody is up and has applied the same, and nobody waits for an answer.
    pub(super) fn settled(&self) -> bool {
        let last = self.promises.agreed.keys().next_back().copied().unwrap_or_default();
        let same = |node: &Node| node.member.is_some() && reached(&node.applied).index == last;
        self.nodes.iter().all(same) && self.promises.idle()
    }

    /// Every acknowledged order stands in every member's state, once.
    pub(super) fn check_kept(&mut self) {
        if self.settled() {
            self.nodes.iter().for_each(|node| self.promises.check_kept(&node.applied));
        }
        let promises = &self.promises;
        self.counts.acknowledged = promises.acknowledged.len();
        self.counts.confirmed = promises.confirmed;
        self.counts.confirmed_by_followers = promises.confirmed_by_followers;
        self.counts.leaders = promises.leaders.len();
        self.counts.leased = promises.leased;
    }
}
