//! One member: `raft`, fed and emptied by [`Member::step`].

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft::eraftpb::{self, MessageType};
use raft::{RawNode, ReadOnlyOption, ReadState, Ready, StateRole};

use crate::chance::{Chance, ELECTION_TICKS};
use crate::effect::{Append, Committed, Effect, Input, Leadership, PeerMessage, Refusal};
use crate::entry::{Entry, Vote};
use crate::ids::{ConfirmId, Index, MemberId, Millis, ProposalId, Term};
use crate::questions::Questions;
use crate::start::{Config, ConfigError, Restored, check};
use crate::tail::Tail;

/// Length of a tick: a heartbeat is sent with each.
pub const TICK: Millis = Millis(100);

/// For how long a member of several neither votes nor campaigns after it was killed: a leader's lease
/// lasts no longer than a follower's patience.
pub const SILENCE: Millis = Millis(TICK.0 * ELECTION_TICKS as u64);

/// Most that the entries behind the cut may count for. They are kept in memory, and are read and applied
/// again when the member starts.
pub const LOG_BYTES_MAX: usize = 256 << 20;

/// Most entries, by size, in one message or one [`Effect::Apply`].
const BATCH_BYTES: u64 = 4 << 20;

/// Most messages with entries that are under way to one member.
const MESSAGES_IN_FLIGHT: usize = 64;

/// One member of the group.
pub struct Member {
    raft: RawNode<Tail>,
    voters: usize,
    chance: Chance,
    election_ticks: usize,
    next_tick: Millis,
    silent_until: Option<Millis>,
    vote: Vote,
    /// Ready numbers of the appends whose sync is under way.
    appends: VecDeque<u64>,
    /// Messages that wait until all up to their ready number is durable.
    held: VecDeque<(u64, Vec<eraftpb::Message>)>,
    last_ready: u64,
    applied: Index,
    /// The term that this member leads in, and that term's first entry.
    led: Option<(Term, Index)>,
    leadership: Leadership,
    /// What this member proposed in the term that it leads in, by place.
    proposals: BTreeMap<Index, ProposalId>,
    questions: Questions,
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
        let silent = !config.stopped_cleanly && config.voters.len() > 1;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&raft_config(config.member, applied), tail, &logger)
            .expect("the settings are constants and the voters were checked");
        let mut chance = Chance(config.seed ^ config.member.get());
        let mut member = Self {
            raft,
            voters: config.voters.len(),
            election_ticks: chance.election_ticks(),
            chance,
            next_tick: now.after(TICK),
            silent_until: silent.then(|| now.after(SILENCE)),
            vote,
            appends: VecDeque::new(),
            held: VecDeque::new(),
            last_ready: 0,
            applied,
            led: None,
            leadership: Leadership::Nobody,
            proposals: BTreeMap::new(),
            questions: Questions::default(),
        };
        if member.alone() {
            member.raft.campaign().expect("a voter may campaign");
        }
        Ok(member)
    }

    /// No other member votes: nobody else can lead as long as this one runs.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.voters == 1
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

    /// What the entries behind the cut count for; see [`Entry::cost`].
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.raft.store().cost()
    }

    /// Takes one input in; what must be done comes out.
    pub fn step(&mut self, now: Millis, input: Input, out: &mut Vec<Effect>) {
        self.pass_time(now);
        match input {
            Input::Tick => {}
            Input::Propose { id, data } => self.propose(id, &data, out),
            Input::Confirm(id) => self.question(id, out),
            Input::Durable(durable) => {
                while self.appends.front().is_some_and(|&number| number <= durable.number) {
                    self.appends.pop_front();
                }
                self.release(out);
            }
            Input::Applied(index) => {
                assert!(index >= self.applied, "a state never forgets");
                self.applied = index;
                self.raft.advance_apply_to(index.get());
            }
            Input::StateDurable(index) => self.cut(index, out),
            Input::Message(message) => self.hear(message),
        }
        self.settle(out);
    }

    /// A pause counts as one tick: whatever waits to be heard comes first.
    fn pass_time(&mut self, now: Millis) {
        self.silent_until = self.silent_until.filter(|&until| now < until);
        if now < self.next_tick {
            return;
        }
        self.next_tick = now.after(TICK);
        if self.silent_until.is_none() {
            self.raft.tick();
        }
    }

    fn propose(&mut self, id: ProposalId, data: &Bytes, out: &mut Vec<Effect>) {
        assert!(!data.is_empty(), "only a leader's first entry is empty");
        let leader = self.leadership.other();
        let why = if !matches!(self.leadership, Leadership::Leader { .. }) {
            Refusal::NotLeader { leader }
        } else if self.log_bytes() >= LOG_BYTES_MAX {
            Refusal::Full
        } else if self.raft.propose(Vec::new(), data.to_vec()).is_err() {
            Refusal::NotLeader { leader }
        } else {
            self.proposals.insert(Index(self.raft.raft.raft_log.last_index()), id);
            return;
        };
        out.push(Effect::Refused { id, why });
    }

    fn question(&mut self, id: ConfirmId, out: &mut Vec<Effect>) {
        match self.leadership {
            Leadership::Leader { .. } => self.questions.put(id),
            other => out.push(Effect::Unconfirmed { id, leader: other.other() }),
        }
    }

    fn hear(&mut self, message: PeerMessage) {
        let message = *message.0;
        let kind = message.get_msg_type();
        let election = [
            MessageType::MsgRequestVote,
            MessageType::MsgRequestPreVote,
            MessageType::MsgTimeoutNow,
        ];
        let unheard = self.silent_until.is_some() && election.contains(&kind);
        if unheard || kind == MessageType::MsgSnapshot {
            return;
        }
        // What it refuses is from a stranger or late; a lost message is no error either.
        let _ = self.raft.step(message);
    }

    fn cut(&mut self, durable: Index, out: &mut Vec<Effect>) {
        let upto = durable.min(self.applied);
        let tail = self.raft.mut_store();
        let before = tail.cut();
        tail.cut_to(upto);
        if tail.cut() != before {
            out.push(Effect::Cut(tail.cut()));
        }
    }

    /// Brings everything that follows from the last input to an end.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        loop {
            self.watch_term(out);
            self.ask();
            if !self.raft.has_ready() {
                break;
            }
            self.take_ready(out);
        }
        self.raft.raft.set_randomized_election_timeout(self.election_ticks);
        let now = self.who_leads();
        if now != self.leadership {
            self.leadership = now;
            out.push(Effect::Leadership(now));
        }
    }

    /// What was proposed or asked under another term's lead is no longer answered.
    fn watch_term(&mut self, out: &mut Vec<Effect>) {
        let raft = &self.raft.raft;
        let leads = (raft.state == StateRole::Leader).then_some(Term(raft.term));
        if leads == self.led.map(|(term, _)| term) {
            return;
        }
        self.led = leads.map(|term| (term, Index(raft.raft_log.last_index())));
        let leader = Some(MemberId(raft.leader_id)).filter(|&leader| leader != MemberId::NONE);
        let unknown = |id| Effect::Refused { id, why: Refusal::Unknown };
        out.extend(std::mem::take(&mut self.proposals).into_values().map(unknown));
        let open = self.questions.give_up();
        out.extend(open.into_iter().map(|id| Effect::Unconfirmed { id, leader }));
    }

    fn who_leads(&self) -> Leadership {
        match (self.led, MemberId(self.raft.raft.leader_id)) {
            (Some((term, first)), _) if self.applied >= first => Leadership::Leader { term },
            (Some(_), _) | (None, MemberId::NONE) => Leadership::Nobody,
            (None, leader) => Leadership::Follower { leader },
        }
    }

    /// Begins a round of confirmation, if one is wanted.
    fn ask(&mut self) {
        // `raft` drops a question without a word before the term's first entry is committed.
        let may = self.led.is_some() && self.raft.raft.commit_to_current_term();
        if may && let Some(round) = self.questions.begin() {
            self.raft.read_index(round);
        }
    }

    fn take_ready(&mut self, out: &mut Vec<Effect>) {
        let mut ready = self.raft.ready();
        assert!(ready.snapshot().is_empty(), "nobody sends snapshots yet");
        let number = ready.number();
        self.last_ready = number;
        self.confirm(ready.take_read_states(), out);
        out.extend(ready.take_messages().into_iter().map(PeerMessage::new).map(Effect::Send));
        self.append(number, &mut ready, out);
        let held = ready.take_persisted_messages();
        if !held.is_empty() {
            self.held.push_back((number, held));
        }
        self.apply(ready.take_committed_entries(), out);
        self.raft.advance_append_async(ready);
        self.release(out);
    }

    fn append(&mut self, number: u64, ready: &mut Ready, out: &mut Vec<Effect>) {
        let entries: Vec<_> = ready.take_entries().into_iter().map(Entry::from_raft).collect();
        let hard = ready.hs();
        let vote = hard.map(|hard| Vote { term: Term(hard.term), member: MemberId(hard.vote) });
        let vote = vote.filter(|&vote| vote != self.vote);
        if let Some(vote) = vote {
            if vote.term != self.vote.term {
                self.election_ticks = self.chance.election_ticks();
            }
            self.vote = vote;
        }
        if vote.is_some() || !entries.is_empty() {
            self.raft.mut_store().append(&entries);
            self.appends.push_back(number);
            out.push(Effect::Append(Append { number, vote, entries }));
        }
    }

    fn apply(&mut self, entries: Vec<eraftpb::Entry>, out: &mut Vec<Effect>) {
        if entries.is_empty() {
            return;
        }
        let committed = entries.into_iter().map(Entry::from_raft).map(|entry| {
            let proposal = self.proposals.remove(&entry.position.index);
            Committed { entry, proposal }
        });
        out.push(Effect::Apply(committed.collect()));
    }

    fn confirm(&mut self, states: Vec<ReadState>, out: &mut Vec<Effect>) {
        for state in states {
            if let Some(ids) = self.questions.answered(&state.request_ctx) {
                out.push(Effect::Confirmed { ids, index: Index(state.index) });
            }
        }
    }

    /// Tells `raft` how far all is durable, and lets go what was held for it.
    fn release(&mut self, out: &mut Vec<Effect>) {
        let durable = self.appends.front().map_or(self.last_ready, |number| number - 1);
        self.raft.on_persist_ready(durable);
        while self.held.front().is_some_and(|&(number, _)| number <= durable) {
            let (_, messages) = self.held.pop_front().expect("it was just seen");
            out.extend(messages.into_iter().map(PeerMessage::new).map(Effect::Send));
        }
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
