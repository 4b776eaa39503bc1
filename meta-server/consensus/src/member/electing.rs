//! Who campaigns and votes, and which votes count.
//!
//! A member is *new* from when its directory is made until a leader has brought it up to date. It cannot tell whether it
//! is there for the first time or has forgotten what it voted for and acknowledged, so its vote is none, as if it were
//! away. Only the first leader of a group is elected by new members: where all members vote for it, and each says that
//! it holds no order, there was nothing to forget. The first entry of such a leader says so, and who voted for it
//! is new no more when it takes that: before anything is acknowledged a majority has votes.
//!
//! A member that joins later, or again, asks the leader how far its log reaches, and is new until as much is known to be
//! committed and is here. All that it may have acknowledged before stands in that log, or was never committed: as long
//! as that leader is the latest. One that was paused, and does not know yet that another led meanwhile, is taken for the
//! latest if the other is away just then.

use emberfs_wire::group::Index;
use raft::eraftpb::{Message, MessageType};
use raft::{CAMPAIGN_TRANSFER, StateRole};

use super::Member;
use super::saying;

impl Member {
    /// It may become leader: it owes nothing, no part of its state is missing, and it has been brought up to date or
    /// holds nothing.
    pub(super) fn electable(&self) -> bool {
        let reaches = self.must_reach == Index::NONE && self.installing.is_none();
        reaches && !(self.is_new && self.holds())
    }

    /// Whether it may vote for a candidate. A leader that hands over has given up what it was promised.
    pub(super) fn votes(&self, message: &Message) -> bool {
        let handed = message.context == CAMPAIGN_TRANSFER;
        let bound = self.now < self.bound_until && !handed;
        let forgets = self.is_new && (self.holds() || saying::asker_holds(message));
        self.must_reach == Index::NONE && !bound && !forgets
    }

    /// Whether it holds an order, or may have held one. What a leader begins its term with is none.
    pub(super) fn holds(&self) -> bool {
        let tail = self.raft.store();
        self.must_reach != Index::NONE || tail.cut().index != Index::NONE || tail.has_orders()
    }

    /// A vote was given: all that count by now. Those of new members do where all members have voted and none holds
    /// anything.
    pub(super) fn count(&mut self, message: Message) -> Vec<Message> {
        let (kind, raft) = (message.get_msg_type(), &self.raft.raft);
        let asked = match raft.state {
            StateRole::PreCandidate => {
                Some((MessageType::MsgRequestPreVoteResponse, raft.term + 1))
            }
            StateRole::Candidate => Some((MessageType::MsgRequestVoteResponse, raft.term)),
            StateRole::Follower | StateRole::Leader => None,
        };
        if asked != Some((kind, message.term)) {
            return Vec::new();
        }
        let this = |vote: &Message| (vote.get_msg_type(), vote.term) == (kind, message.term);
        self.ballot.retain(|vote| this(vote) && vote.from != message.from);
        self.ballot.push(message);
        let own = usize::from(!self.is_new);
        let full = own + self.ballot.iter().filter(|vote| !saying::is_new(vote)).count();
        let has_majority = full > self.voters.len() / 2;
        let all = self.ballot.len() + 1 == self.voters.len();
        let founds = all && !self.holds() && !self.ballot.iter().any(saying::voter_holds);
        if !has_majority && !founds {
            return Vec::new();
        }
        if !has_majority && kind == MessageType::MsgRequestVoteResponse {
            self.founding = raft.term;
        }
        std::mem::take(&mut self.ballot)
    }

    /// It leads by the votes of all, and nothing was committed yet.
    pub(super) fn founds(&self) -> bool {
        let committed = Index(self.raft.raft.raft_log.committed);
        let led = self.led.as_ref().filter(|led| led.term.get() == self.founding);
        led.is_some_and(|led| committed < led.first)
    }

    /// The leader that this member voted for, as all did, has founded the group.
    pub(super) fn see_founded(&mut self, message: &Message) {
        let raft = &self.raft.raft;
        let voted = (raft.term, raft.vote) == (message.term, message.from);
        if saying::founds(message) && voted {
            self.is_new = false;
        }
    }

    /// With each tick: a new member that follows asks how far it has to come.
    pub(super) fn ask_aim(&mut self) {
        let follows = self.led.is_none() && self.raft.raft.leader_id != 0;
        let asked = self.aim.is_some_and(|(term, _)| term == self.raft.raft.term);
        if self.is_new && follows && !asked {
            self.raft.read_index(self.questions.aim());
        }
    }

    /// The answer to that, if it is one.
    pub(super) fn learn_aim(&mut self, message: &Message) {
        let asked = message.entries.first().is_some_and(|entry| entry.data == self.questions.aim());
        if asked && message.term == self.raft.raft.term {
            self.aim = Some((message.term, saying::reach(message)));
        }
    }

    /// Whether a new member has been brought up to date, or leads and so need not be.
    pub(super) fn see_brought_up(&mut self) {
        let committed = Index(self.raft.raft.raft_log.committed);
        let led = self.led.as_ref().map(|led| led.first);
        let term = self.raft.raft.term;
        let aim = self.aim.filter(|(of, _)| *of == term).map(|(_, aim)| aim);
        if led.or(aim).is_some_and(|aim| committed >= aim) {
            self.is_new = false;
        }
    }
}
