//! What other members say: what of it reaches `raft`.

use emberfs_wire::group::{Index, MemberId, Position, Term};
use raft::ProgressState;
use raft::eraftpb::{Message, MessageType};

use super::{Member, saying};
use crate::effect::{Divergence, Effect};
use crate::lease::PROMISE;
use crate::message::{PeerMessage, name_of, snapshot_of};

impl Member {
    pub(super) fn hear(&mut self, message: PeerMessage, out: &mut Vec<Effect>) {
        let (from, to) = (message.from(), message.to());
        if to != self.me || from == self.me || !self.voters.contains(&from) {
            return;
        }
        let now = self.now;
        if let Some(led) = &mut self.led {
            led.heard.insert(from, now);
        }
        let mut message = *message.0;
        let kind = message.get_msg_type();
        let heard = match kind {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => self.votes(&message),
            MessageType::MsgTimeoutNow => self.electable(),
            MessageType::MsgSnapshot => self.takes_snapshot(&mut message),
            MessageType::MsgAppend => self.has_room(&message),
            // `raft` would pass it on to whom it takes for the leader, in the name of who asks.
            MessageType::MsgReadIndex => self.led.is_some(),
            _ => true,
        };
        if !heard {
            return;
        }
        match kind {
            MessageType::MsgHeartbeat => self.see_loss(&mut message),
            MessageType::MsgAppendResponse => self.learn_loss(&message),
            MessageType::MsgReadIndexResp => self.learn_aim(&message),
            MessageType::MsgAppend => {
                if let Some(divergence) = self.diverges(&message) {
                    out.push(Effect::Diverged(divergence));
                    return;
                }
                self.see_founded(&message);
            }
            _ => {}
        }
        let term = message.term;
        let votes = [MessageType::MsgRequestVoteResponse, MessageType::MsgRequestPreVoteResponse];
        let is_vote = votes.contains(&kind) && !message.reject;
        let messages = if is_vote { self.count(message) } else { vec![message] };
        for message in messages {
            // What it refuses is from a stranger or late; a lost message is no error either.
            let _ = self.raft.step(message);
        }
        let leader = (self.raft.raft.term, self.raft.raft.leader_id) == (term, from.get());
        if kind == MessageType::MsgHeartbeat && leader {
            self.bound_until = self.bound_until.max(now.after(PROMISE));
        }
    }

    /// One snapshot at a time.
    fn takes_snapshot(&self, message: &mut Message) -> bool {
        let Some(name) = message.snapshot.as_ref().and_then(name_of) else { return false };
        message.snapshot = Some(snapshot_of(name, &self.voters));
        self.installing.is_none()
    }

    /// Entries that would make a log longer that is full get lost: the leader sends them again, and what they push
    /// against, the state, gets on meanwhile. Those that take the place of others are taken.
    fn has_room(&self, message: &Message) -> bool {
        let log = &self.raft.raft.raft_log;
        let longer = message.index == log.last_index() && message.log_term == log.last_term();
        !self.log_is_full() || message.entries.is_empty() || !longer
    }

    /// A leader says with a heartbeat how much of what the log is known to hold is committed. If that is more than
    /// there is, the log has lost it: it must be reached again, and the leader must know.
    fn see_loss(&mut self, message: &mut Message) {
        let (last, raft) = (self.last(), &mut self.raft.raft);
        if message.term < raft.term || message.commit <= last.index.get() {
            return;
        }
        self.must_reach = self.must_reach.max(Index(message.commit));
        let mut refusal = Message {
            from: self.me.get(),
            to: message.from,
            term: message.term,
            index: message.commit,
            reject: true,
            reject_hint: last.index.get(),
            log_term: last.term.get(),
            commit: raft.raft_log.committed,
            ..Message::default()
        };
        refusal.set_msg_type(MessageType::MsgAppendResponse);
        raft.msgs.push(refusal);
        message.commit = last.index.get();
    }

    /// Where a leader's log differs from what is committed here, which none does that was elected by all that there
    /// was: some of it was given up while this member was away. `raft` would take no notice, and say that all fits.
    fn diverges(&self, message: &Message) -> Option<Divergence> {
        let log = &self.raft.raft.raft_log;
        // An earlier leader may have had what was never committed.
        if message.term < self.raft.raft.term {
            return None;
        }
        let (cut, committed) = (self.raft.store().cut().index, Index(log.committed));
        let position = |index, term| Position { index: Index(index), term: Term(term) };
        let entries = message.entries.iter().map(|entry| position(entry.index, entry.term));
        let theirs = std::iter::once(position(message.index, message.log_term)).chain(entries);
        let known = theirs.filter(|at| at.index != Index::NONE && at.index >= cut);
        for theirs in known.take_while(|at| at.index <= committed) {
            let ours = log
                .term(theirs.index.get())
                .map_or(theirs, |term| position(theirs.index.get(), term));
            if ours != theirs {
                return Some(Divergence { leader: MemberId(message.from), ours, theirs });
            }
        }
        None
    }

    /// A leader forgets what it knew of a follower that has lost it. `raft` would take its refusal for an old one.
    fn learn_loss(&mut self, message: &Message) {
        let lost = saying::lost(message);
        let term = self.led.as_ref().map(|led| led.term.get());
        if lost && term == Some(message.term) {
            let from = MemberId(message.from);
            let known = self.raft.raft.mut_prs().get_mut(from.get()).expect("a voter");
            known.matched = 0;
            if known.state != ProgressState::Snapshot {
                known.become_probe();
                known.next_idx = message.index + 1;
            }
        }
    }
}
