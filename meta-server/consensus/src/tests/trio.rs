//! Three members whose disks sync at once and whose messages arrive at once, for tests of single rules.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use emberfs_wire::group::{Index, MemberId, MemberMessage, MessageKind, Position, Term};
use minicbor::bytes::ByteVec;

use crate::{
    Config, Effect, Input, Leadership, Limits, Member, Millis, PeerMessage, ProposalId, Restored,
    TICK,
};

/// Of these the log may hold some sixty entries, of which eleven stay; for one that gets a snapshot 130 stay.
const LIMITS: Limits =
    Limits { log_bytes_max: 12_000, keep_bytes: 2000, transfer_bytes_max: 24_000 };

pub(super) struct Trio {
    pub(super) members: Vec<Member>,
    pub(super) now: Millis,
    /// Nothing gets through to these.
    pub(super) deaf: BTreeSet<usize>,
    /// Nothing from these gets through.
    pub(super) mute: BTreeSet<usize>,
    /// What this one appends, is not synced.
    pub(super) stuck: Option<usize>,
}

pub(super) fn config(at: usize) -> Config {
    Config {
        member: MemberId(at as u64 + 1),
        voters: (1..=3).map(MemberId).collect(),
        seed: 0,
        is_new: true,
        must_reach: Index::NONE,
        limits: LIMITS,
    }
}

impl Trio {
    pub(super) fn new() -> Self {
        let member = |at| Member::new(&config(at), Restored::default(), Millis(0)).unwrap();
        let (deaf, mute) = (BTreeSet::new(), BTreeSet::new());
        let members = (0..3).map(member).collect();
        Self { members, now: Millis(0), deaf, mute, stuck: None }
    }

    /// With a leader: that, and the others.
    pub(super) fn led() -> (Self, usize, usize, usize) {
        let mut trio = Self::new();
        let leader = trio.elect();
        (trio, leader, (leader + 1) % 3, (leader + 2) % 3)
    }

    /// Time passes until somebody leads.
    pub(super) fn elect(&mut self) -> usize {
        for _ in 0..100 {
            self.tick();
            let leads =
                |member: &Member| matches!(member.standing().leadership, Leadership::Leader { .. });
            let heard = |at: &usize| !self.deaf.contains(at) && !self.mute.contains(at);
            let found = (0..3).filter(heard).find(|&at| leads(&self.members[at]));
            if let Some(leader) = found {
                return leader;
            }
        }
        panic!("nobody leads");
    }

    pub(super) fn tick(&mut self) -> Vec<(usize, Effect)> {
        self.now = self.now.after(TICK);
        (0..3).flat_map(|at| self.step(at, Input::Tick)).collect()
    }

    pub(super) fn propose(&mut self, at: usize, count: u64) {
        for number in 0..count {
            let data = Bytes::from(vec![1; 120]);
            self.step(at, Input::Propose { id: ProposalId(number), data });
        }
    }

    /// Steps, and all that follows from it; gives what is not for disks, states and other members, and snapshots.
    pub(super) fn step(&mut self, at: usize, input: Input) -> Vec<(usize, Effect)> {
        let (mut left, mut inputs) = (Vec::new(), VecDeque::from([(at, input)]));
        while let Some((at, input)) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.members[at].step(self.now, input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Append(append) if self.stuck != Some(at) => {
                        let installed = append.snapshot();
                        inputs.push_back((at, Input::Durable(append.synced())));
                        let applied = installed.map(|name| Input::Applied(name.position.index));
                        inputs.extend(applied.map(|applied| (at, applied)));
                    }
                    Effect::Apply(batch) => {
                        let last = batch.last().expect("it is not empty").entry.position.index;
                        inputs.push_back((at, Input::Applied(last)));
                    }
                    Effect::Send(message) if message.snapshot().is_none() => {
                        inputs.extend(self.arrival(at, message));
                    }
                    // Of the guard.
                    Effect::Owe(_) | Effect::BroughtUp => {}
                    other => left.push((at, other)),
                }
            }
        }
        left
    }

    fn arrival(&self, from: usize, message: PeerMessage) -> Option<(usize, Input)> {
        let to = usize::try_from(message.to().get()).unwrap() - 1;
        let arrives = !self.mute.contains(&from) && !self.deaf.contains(&to);
        arrives.then_some((to, Input::Message(message)))
    }

    pub(super) fn last(&self, at: usize) -> Index {
        self.members[at].standing().last
    }

    pub(super) fn cut(&self, at: usize) -> Index {
        self.members[at].standing().cut
    }
}

/// A message in which only what is said counts.
pub(super) fn message(kind: MessageKind, from: usize, to: usize, term: Term) -> MemberMessage {
    MemberMessage {
        kind,
        from: MemberId(from as u64 + 1),
        to: MemberId(to as u64 + 1),
        term,
        at: Position::default(),
        committed: Position::default(),
        reject: false,
        reject_hint: Index::NONE,
        context: ByteVec::from(Vec::new()),
        entries: Vec::new(),
        snapshot: None,
    }
}

pub(super) fn say(parts: MemberMessage) -> Input {
    Input::Message(PeerMessage::from_parts(parts, Vec::new()).unwrap())
}

/// Some ticks.
pub(super) fn ticks(trio: &mut Trio) -> Vec<(usize, Effect)> {
    (0..3).flat_map(|_| trio.tick()).collect()
}
