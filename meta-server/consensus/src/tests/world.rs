//! A simulated group: each member has a disk that loses unsynced appends and a state that loses what was
//! not flushed. Seeded; everything that must never happen is asserted at each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::effect::{Append, Effect, Input, Leadership, PeerMessage};
use crate::entry::{Entry, Vote};
use crate::ids::{ConfirmId, Index, MemberId, Millis, Position, ProposalId, Term};
use crate::member::Member;
use crate::start::{Config, Restored};

/// The seeded source of all chance (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// A member's log and state as they are on stable storage.
#[derive(Default)]
struct Disk {
    vote: Vote,
    cut: Position,
    log: BTreeMap<Index, Entry>,
    flushed: Vec<Entry>,
}

impl Disk {
    fn write(&mut self, vote: Option<Vote>, entries: &[Entry]) {
        self.vote = vote.unwrap_or(self.vote);
        if let Some(first) = entries.first() {
            self.log.split_off(&first.position.index);
        }
        self.log.extend(entries.iter().map(|entry| (entry.position.index, entry.clone())));
    }
}

/// One member with its disk.
struct Node {
    member: Option<Member>,
    disk: Disk,
    unsynced: VecDeque<Append>,
    /// What the running state has taken in, in order.
    applied: Vec<Entry>,
    up_at: Millis,
}

/// The whole group, and what was promised to its users.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) now: Millis,
    pub(super) faults: bool,
    /// Disks say that they synced, and did not.
    pub(super) lies: bool,
    nodes: Vec<Node>,
    network: Vec<PeerMessage>,
    leaders: BTreeMap<Term, usize>,
    /// What any member applied at each place: the others must agree.
    agreed: BTreeMap<Index, Entry>,
    /// Data whose outcome some user has seen.
    pub(super) acknowledged: BTreeSet<Bytes>,
    acknowledged_to: Index,
    /// Questions, with what was acknowledged when they were asked.
    questions: BTreeMap<ConfirmId, Index>,
    pub(super) confirmed: usize,
    proposed: u64,
    /// One line for each effect: equal seeds give equal lines.
    pub(super) trace: Vec<String>,
}

impl World {
    pub(super) fn new(members: u64, seed: u64) -> Self {
        let node = |_| Node {
            member: None,
            disk: Disk::default(),
            unsynced: VecDeque::new(),
            applied: Vec::new(),
            up_at: Millis(0),
        };
        let mut world = Self {
            dice: Dice(seed),
            now: Millis(0),
            faults: true,
            lies: false,
            nodes: (0..members).map(node).collect(),
            network: Vec::new(),
            leaders: BTreeMap::new(),
            agreed: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            acknowledged_to: Index::NONE,
            questions: BTreeMap::new(),
            confirmed: 0,
            proposed: 0,
            trace: Vec::new(),
        };
        (0..world.nodes.len()).for_each(|at| world.start(at));
        world
    }

    fn start(&mut self, at: usize) {
        let voters = (1..=self.nodes.len() as u64).map(MemberId).collect();
        let member = MemberId(at as u64 + 1);
        let config =
            Config { member, voters, seed: self.dice.below(1 << 40), stopped_cleanly: false };
        let node = &mut self.nodes[at];
        node.applied = node.disk.flushed.clone();
        let restored = Restored {
            vote: node.disk.vote,
            cut: node.disk.cut,
            entries: node.disk.log.values().cloned().collect(),
            applied: node.applied.last().map_or(Index::NONE, |entry| entry.position.index),
        };
        node.member = Some(Member::new(&config, restored, self.now).expect("a sound disk"));
        self.input(at, Input::Tick);
    }

    /// The power goes: of what was not synced a part from the front may have reached the disk.
    pub(super) fn crash(&mut self, at: usize) {
        let kept = self.dice.below(self.nodes[at].unsynced.len() as u64 + 1);
        let down = Millis(self.dice.below(3000));
        let node = &mut self.nodes[at];
        for append in node.unsynced.drain(..).take(usize::try_from(kept).unwrap()) {
            node.disk.write(append.vote(), append.entries());
        }
        node.member = None;
        node.up_at = self.now.after(down);
    }

    fn input(&mut self, at: usize, input: Input) {
        let now = self.now;
        let mut effects = Vec::new();
        let Some(member) = &mut self.nodes[at].member else { return };
        member.step(now, input, &mut effects);
        for effect in effects {
            self.trace.push(format!("{now:?} {at} {effect:?}"));
            self.carry_out(at, effect);
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Append(append) => self.nodes[at].unsynced.push_back(append),
            Effect::Cut(position) => {
                let disk = &mut self.nodes[at].disk;
                disk.cut = position;
                disk.log = disk.log.split_off(&position.index.next());
            }
            Effect::Send(message) => self.network.push(message),
            Effect::Apply(batch) => {
                for committed in batch {
                    self.apply(at, committed.entry, committed.proposal.is_some());
                }
            }
            Effect::Confirmed { ids, index } => {
                for id in ids {
                    let before =
                        self.questions.remove(&id).expect("each question is answered once");
                    assert!(index >= before, "a confirmed read misses what was acknowledged");
                    self.confirmed += 1;
                }
            }
            Effect::Unconfirmed { id, .. } => {
                self.questions.remove(&id).expect("each question is answered once");
            }
            Effect::Leadership(Leadership::Leader { term }) => {
                let first = *self.leaders.entry(term).or_insert(at);
                assert_eq!(first, at, "two leaders in {term:?}");
            }
            Effect::Refused { .. } | Effect::Leadership(_) => {}
        }
    }

    fn apply(&mut self, at: usize, entry: Entry, answered: bool) {
        let place = entry.position.index;
        let agreed = self.agreed.entry(place).or_insert_with(|| entry.clone());
        assert_eq!(*agreed, entry, "members differ at {place:?}");
        let last = self.nodes[at].applied.last();
        assert_eq!(place, last.map_or(Index(1), |last| last.position.index.next()));
        if answered {
            self.acknowledged.insert(entry.data.clone());
            self.acknowledged_to = self.acknowledged_to.max(place);
        }
        self.nodes[at].applied.push(entry);
    }

    /// One member's disk finishes its oldest appends.
    fn sync(&mut self, at: usize) {
        let waiting = self.nodes[at].unsynced.len() as u64;
        if waiting == 0 {
            return;
        }
        let node = &mut self.nodes[at];
        let mut durable = None;
        for _ in 0..=self.dice.below(waiting) {
            let append = node.unsynced.pop_front().expect("counted");
            if !self.lies {
                node.disk.write(append.vote(), append.entries());
            }
            durable = Some(append.synced());
        }
        self.input(at, Input::Durable(durable.expect("at least one")));
    }

    fn flush(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.member.is_none() {
            return;
        }
        node.disk.flushed = node.applied.clone();
        let index = node.disk.flushed.last().map_or(Index::NONE, |entry| entry.position.index);
        // Without snapshots a group of several cannot cut what another member may need.
        if self.nodes.len() == 1 {
            self.input(at, Input::StateDurable(index));
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let place = usize::try_from(self.dice.below(self.network.len() as u64)).unwrap();
        let repeat = self.faults && self.dice.one_in(20);
        let message = match repeat {
            true => self.network[place].clone(),
            false => self.network.remove(place),
        };
        let lost = self.faults && self.dice.one_in(10);
        let to = usize::try_from(message.to().get()).unwrap() - 1;
        if !lost {
            self.input(to, Input::Message(message));
        }
    }

    fn ask(&mut self, at: usize) {
        if self.nodes[at].member.is_none() {
            return;
        }
        self.proposed += 1;
        let number = self.proposed;
        if self.dice.one_in(2) {
            let data = Bytes::from(format!("order {number}"));
            self.input(at, Input::Propose { id: ProposalId(number), data });
        } else {
            self.questions.insert(ConfirmId(number), self.acknowledged_to);
            self.input(at, Input::Confirm(ConfirmId(number)));
        }
    }

    /// Something happens.
    pub(super) fn turn(&mut self) {
        let at = usize::try_from(self.dice.below(self.nodes.len() as u64)).unwrap();
        match self.dice.below(20) {
            0..8 => self.deliver(),
            8..12 => self.sync(at),
            12..14 => self.ask(at),
            14 => self.flush(at),
            15 if self.faults && self.dice.one_in(40) => self.crash(at),
            15..17 => self.report_applied(at),
            _ => self.pass_time(),
        }
    }

    fn report_applied(&mut self, at: usize) {
        if let Some(last) = self.nodes[at].applied.last() {
            let index = last.position.index;
            self.input(at, Input::Applied(index));
        }
    }

    fn pass_time(&mut self) {
        self.now = self.now.after(Millis(self.dice.below(60)));
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            match &node.member {
                None if node.up_at <= self.now => self.start(at),
                Some(member) if member.next_tick() <= self.now => self.input(at, Input::Tick),
                _ => {}
            }
        }
    }

    /// The faults end: everybody is up, and everything that is under way arrives.
    pub(super) fn heal(&mut self) {
        self.faults = false;
        for turn in 0_u64..60_000 {
            self.turn();
            if turn.is_multiple_of(100) && self.settled() {
                return;
            }
        }
        panic!("a healed group does not agree");
    }

    /// Everybody is up and has applied the same.
    fn settled(&self) -> bool {
        let last = self.agreed.keys().next_back();
        self.nodes.iter().all(|node| {
            node.member.is_some() && node.applied.last().map(|entry| &entry.position.index) == last
        })
    }

    /// Every acknowledged order stands in every member's state, once.
    pub(super) fn check_kept(&self) {
        for node in &self.nodes {
            let mut seen = BTreeSet::new();
            for entry in node.applied.iter().filter(|entry| !entry.data.is_empty()) {
                assert!(seen.insert(entry.data.clone()), "applied twice: {entry:?}");
            }
            let lost: Vec<_> = self.acknowledged.difference(&seen).collect();
            assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        }
    }

    /// In how many terms somebody led.
    pub(super) fn leaders(&self) -> usize {
        self.leaders.len()
    }
}
