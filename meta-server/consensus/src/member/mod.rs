//! One member: `raft`, fed and emptied by [`Member::step`].

mod cutting;
mod electing;
mod guarding;
mod hearing;
mod leading;
mod ready;
mod saying;
mod standing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use emberfs_wire::group::{Index, MemberId, SnapshotName, Term};
use raft::eraftpb;
use raft::{RawNode, ReadOnlyOption, StateRole};

use crate::chance::{Chance, ELECTION_TICKS};
use crate::effect::{Effect, Input, Leadership, Refusal};
use crate::entry::Vote;
use crate::ids::{Millis, ProposalId};
use crate::lease::{SILENCE, TICK};
use crate::questions::Questions;
use crate::start::{Config, ConfigError, Limits, Restored, check};
use crate::tail::Tail;

pub use standing::{MemberStanding, Standing};

/// Most entries, by size, in one message or one [`Effect::Apply`].
const BATCH_BYTES: u64 = 4 << 20;

/// Most messages with entries that are under way to one member.
const MESSAGES_IN_FLIGHT: usize = 64;

/// One member of the group.
pub struct Member {
    raft: RawNode<Tail>,
    me: MemberId,
    voters: Vec<MemberId>,
    limits: Limits,
    chance: Chance,
    election_ticks: usize,
    /// The time of the last step.
    now: Millis,
    next_tick: Millis,
    /// Until then it elects nobody but whom a leader hands over to; see [`crate::lease`].
    bound_until: Millis,
    /// Before it knows that this is committed and has it, it elects nobody at all: the log held this much and
    /// has lost it.
    must_reach: Index,
    /// What of that its guard knows.
    owed: Index,
    /// No leader has brought it up to date since its directory was made; see [`electing`].
    is_new: bool,
    /// Its guard has it so.
    guarded_new: bool,
    /// A new member must reach this: how far a leader's log did after it began, in which term.
    aim: Option<(u64, Index)>,
    /// Votes that do not count yet.
    ballot: Vec<eraftpb::Message>,
    /// The latest term in which all members elected it, and none held anything.
    founding: u64,
    vote: Vote,
    /// The appends whose sync is under way.
    appends: VecDeque<Pending>,
    /// Messages that wait until all up to their ready number is durable.
    held: VecDeque<(u64, Vec<eraftpb::Message>)>,
    last_ready: u64,
    applied: Index,
    /// A snapshot up to here takes the place of the state.
    installing: Option<Index>,
    led: Option<Led>,
    leadership: Leadership,
    /// Who leads, as `raft` has it: the questions that wait are for that leader.
    asked_leader: MemberId,
    /// What this member proposed in the term that it leads in, by place.
    proposals: BTreeMap<Index, ProposalId>,
    questions: Questions,
    /// A snapshot is made, or stands ready: nothing behind this place is cut.
    held_for_snapshot: Option<Index>,
    /// A snapshot was asked for, and has not come yet.
    making: bool,
    /// To whom snapshots are under way, and which.
    sending: BTreeMap<MemberId, SnapshotName>,
    /// For whom one is made or was sent, and who has not caught up behind it.
    bringing: BTreeSet<MemberId>,
    /// Up to here the state is on stable storage, as far as was told since the start.
    durable: Index,
}

/// An append whose sync is under way.
struct Pending {
    /// Of the ready that it came with.
    number: u64,
    /// The vote or its term is new.
    votes: bool,
}

/// What a member has as long as it leads.
struct Led {
    term: Term,
    /// The term's first entry.
    first: Index,
    /// Until when its lease lasts.
    lease: Millis,
    /// A round is due for the lease.
    renew: bool,
    /// Ticks since it hands over, if it does.
    hands_over: Option<usize>,
    /// When each follower was heard last.
    heard: BTreeMap<MemberId, Millis>,
    /// How many snapshots in a row each refused.
    untaken: BTreeMap<MemberId, u32>,
}

impl Member {
    /// A member as it was left. One that is alone campaigns with the first step.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: &Config, restored: Restored, now: Millis) -> Result<Self, ConfigError> {
        check(config, &restored)?;
        let Restored { vote, cut, entries, applied } = restored;
        // What was applied is committed; how much more is, the first leader finds out.
        let mut tail = Tail::new(vote, &config.voters, applied, cut);
        tail.append(&entries);
        let several = config.voters.len() > 1;
        let bound = !config.is_new && several;
        let is_new = several && (config.is_new || tail.last().index == Index::NONE);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&raft_config(config.member, applied), tail, &logger)
            .expect("the settings are constants and the voters were checked");
        let mut chance = Chance(config.seed ^ config.member.get());
        let mut member = Self {
            raft,
            me: config.member,
            voters: config.voters.clone(),
            limits: config.limits,
            election_ticks: chance.election_ticks(),
            questions: Questions::new(config.member, chance.draw()),
            chance,
            now,
            next_tick: now.after(TICK),
            bound_until: if bound { now.after(SILENCE) } else { now },
            must_reach: config.must_reach,
            owed: config.must_reach,
            is_new,
            guarded_new: is_new,
            aim: None,
            ballot: Vec::new(),
            founding: 0,
            vote,
            appends: VecDeque::new(),
            held: VecDeque::new(),
            last_ready: 0,
            applied,
            installing: None,
            led: None,
            leadership: Leadership::Nobody,
            asked_leader: MemberId::NONE,
            proposals: BTreeMap::new(),
            held_for_snapshot: None,
            making: false,
            sending: BTreeMap::new(),
            bringing: BTreeSet::new(),
            durable: Index::NONE,
        };
        member.see_reached();
        if member.alone() {
            member.raft.campaign().expect("a voter may campaign");
        }
        Ok(member)
    }

    /// No other member votes: nobody else can lead as long as this one runs.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.voters.len() == 1
    }

    /// When to step by [`Input::Tick`], at the latest.
    #[must_use]
    pub fn next_tick(&self) -> Millis {
        self.next_tick
    }

    /// How many appends wait for their sync.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.appends.len()
    }

    /// What the entries behind the cut count for; see [`Entry::cost`](crate::Entry::cost).
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.raft.store().cost()
    }

    /// Takes one input in; what must be done comes out. `now` was read when the input was at hand.
    pub fn step(&mut self, now: Millis, input: Input, out: &mut Vec<Effect>) {
        self.now = now;
        self.pass_time(out);
        match input {
            Input::Tick => {}
            Input::Propose { id, data } => self.propose(id, &data, out),
            Input::Confirm(id) => self.question(id, out),
            Input::Durable(durable) => {
                while self.appends.front().is_some_and(|append| append.number <= durable.number) {
                    self.appends.pop_front();
                }
                self.release(out);
            }
            Input::Applied(index) => {
                assert!(index >= self.applied, "a state never forgets");
                self.applied = index;
                self.see_applied();
            }
            Input::StateDurable(index) => self.state_durable(index, out),
            Input::Message(message) => self.hear(message, out),
            Input::SnapshotMade(name) => self.snapshot_made(Some(name)),
            Input::SnapshotGone => self.snapshot_gone(out),
            Input::SnapshotSent { to, became } => self.snapshot_sent(to, became, out),
            Input::Unreachable(to) => self.raft.report_unreachable(to.get()),
            Input::HandOver => self.hand_over(out),
        }
        self.settle(out);
    }

    /// A pause counts as one tick: whatever waits to be heard comes first.
    fn pass_time(&mut self, out: &mut Vec<Effect>) {
        if self.now < self.next_tick {
            return;
        }
        self.next_tick = self.now.after(TICK);
        // Patience counts from the start, so nobody campaigns while it is bound: that is no longer.
        if self.led.is_some() || self.electable() {
            self.raft.tick();
        }
        self.ask_again(out);
        self.ask_aim();
        self.press_on();
        self.see_brought(out);
    }

    fn propose(&mut self, id: ProposalId, data: &Bytes, out: &mut Vec<Effect>) {
        assert!(!data.is_empty(), "only a leader's first entry is empty");
        let leader = self.leadership.other();
        let why = if !matches!(self.leadership, Leadership::Leader { .. }) {
            Refusal::NotLeader { leader }
        } else if self.log_is_full() {
            Refusal::Full
        } else if self.raft.propose(Vec::new(), data.to_vec()).is_err() {
            Refusal::NotLeader { leader }
        } else {
            self.proposals.insert(Index(self.raft.raft.raft_log.last_index()), id);
            return;
        };
        out.push(Effect::Refused { id, why });
    }

    /// Brings everything that follows from the last input to an end.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        self.tell_guard(out);
        loop {
            self.watch_leader(out);
            self.ask();
            if !self.raft.has_ready() {
                break;
            }
            self.take_ready(out);
        }
        self.wish_snapshot(out);
        if !matches!(self.raft.raft.state, StateRole::PreCandidate | StateRole::Candidate) {
            self.ballot.clear();
        }
        self.see_reached();
        self.see_brought_up();
        self.tell_guard(out);
        self.raft.raft.set_randomized_election_timeout(self.election_ticks);
        let now = self.who_leads();
        if now != self.leadership {
            self.leadership = now;
            out.push(Effect::Leadership(now));
        }
    }

    /// What was proposed or asked under another lead is no longer answered.
    fn watch_leader(&mut self, out: &mut Vec<Effect>) {
        let raft = &self.raft.raft;
        let leader = MemberId(raft.leader_id);
        let leads = (raft.state == StateRole::Leader).then_some(Term(raft.term));
        let led = self.led.as_ref().map(|led| led.term);
        if leads != led {
            let first = Index(raft.raft_log.last_index());
            self.led = leads.map(|term| Led::new(term, first));
            let unknown = |id| Effect::Refused { id, why: Refusal::Unknown };
            out.extend(std::mem::take(&mut self.proposals).into_values().map(unknown));
        }
        if leads != led || leader != self.asked_leader {
            self.asked_leader = leader;
            let known = leader != MemberId::NONE && leader != self.me;
            self.give_up_questions(known.then_some(leader), out);
        }
    }

    fn who_leads(&self) -> Leadership {
        match (&self.led, MemberId(self.raft.raft.leader_id)) {
            (Some(led), _) if self.applied >= led.first && led.hands_over.is_none() => {
                Leadership::Leader { term: led.term }
            }
            (Some(_), _) | (None, MemberId::NONE) => Leadership::Nobody,
            (None, leader) => Leadership::Follower { leader },
        }
    }

    /// Tells `raft` what is applied, as far as it can know of it, and ends the taking over of a snapshot.
    fn see_applied(&mut self) {
        let log = &self.raft.raft.raft_log;
        let known = self.applied.get().min(log.committed).min(log.persisted);
        if known > log.applied {
            self.raft.advance_apply_to(known);
        }
        self.installing = self.installing.filter(|index| index.get() > known);
    }
}

impl Led {
    fn new(term: Term, first: Index) -> Self {
        let (lease, heard, untaken) = (Millis(0), BTreeMap::new(), BTreeMap::new());
        Self { term, first, lease, renew: true, hands_over: None, heard, untaken }
    }
}

fn raft_config(member: MemberId, applied: Index) -> raft::Config {
    raft::Config {
        id: member.get(),
        election_tick: ELECTION_TICKS,
        heartbeat_tick: 1,
        applied: applied.get(),
        max_size_per_msg: BATCH_BYTES,
        max_committed_size_per_ready: BATCH_BYTES,
        max_inflight_msgs: MESSAGES_IN_FLIGHT,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        ..raft::Config::default()
    }
}
