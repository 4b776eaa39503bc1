//! What `raft` has made ready, as effects in their order.

use emberfs_wire::group::{Index, MemberId, Position, Term};
use raft::eraftpb::{self, Message, MessageType};
use raft::{ReadState, Ready, SnapshotStatus};

use super::{Member, Pending};
use crate::effect::{Append, Committed, Effect};
use crate::entry::{Entry, Vote};
use crate::message::{PeerMessage, name_of};

impl Member {
    pub(super) fn take_ready(&mut self, out: &mut Vec<Effect>) {
        let mut ready = self.raft.ready();
        let number = ready.number();
        self.last_ready = number;
        self.confirm(ready.take_read_states(), out);
        let unsent = self.send(ready.take_messages(), out);
        self.append(number, &mut ready, out);
        let (held, free) = self.hold(ready.take_persisted_messages());
        self.send(free, out);
        if !held.is_empty() {
            self.held.push_back((number, held));
        }
        self.apply(ready.take_committed_entries(), out);
        self.raft.advance_append_async(ready);
        for to in unsent {
            self.raft.report_snapshot(to.get(), SnapshotStatus::Failure);
        }
        self.release(out);
    }

    /// What must wait for the disk, and what need not: that a leader was heard, in a term that is durable, and a
    /// question rest on nothing that a slow disk could lose. So leases do not rest on how fast disks sync.
    fn hold(&self, messages: Vec<Message>) -> (Vec<Message>, Vec<Message>) {
        let termed = !self.appends.iter().any(|append| append.votes);
        let free = [MessageType::MsgHeartbeatResponse, MessageType::MsgReadIndex];
        let holds = |message: &Message| !termed || !free.contains(&message.get_msg_type());
        messages.into_iter().partition(holds)
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
        let snapshot = name_of(ready.snapshot());
        if let Some(name) = snapshot {
            self.raft.mut_store().restore(name.position);
            self.installing = Some(name.position.index);
        }
        if snapshot.is_some() || vote.is_some() || !entries.is_empty() {
            self.raft.mut_store().append(&entries);
            self.appends.push_back(Pending { number, votes: vote.is_some() });
            out.push(Effect::Append(Append { number, snapshot, vote, entries }));
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
            let Some(round) = self.questions.answered(&state.request_ctx) else { continue };
            self.extend_lease(round.began);
            if !round.ids.is_empty() {
                out.push(Effect::Confirmed { ids: round.ids, index: Index(state.index) });
            }
        }
    }

    /// Tells `raft` how far all is durable, and lets go what was held for it.
    pub(super) fn release(&mut self, out: &mut Vec<Effect>) {
        let durable = self.appends.front().map_or(self.last_ready, |append| append.number - 1);
        self.raft.on_persist_ready(durable);
        self.see_applied();
        while self.held.front().is_some_and(|&(number, _)| number <= durable) {
            let (_, messages) = self.held.pop_front().expect("it was just seen");
            for to in self.send(messages, out) {
                self.raft.report_snapshot(to.get(), SnapshotStatus::Failure);
            }
        }
    }

    /// Messages go out; gives who is to get a snapshot and gets none, as one is under way to it.
    fn send(&mut self, messages: Vec<Message>, out: &mut Vec<Effect>) -> Vec<MemberId> {
        let mut unsent = Vec::new();
        for mut message in messages {
            self.say_beside(&mut message);
            let message = PeerMessage::new(message);
            let to = message.to();
            if let Some(name) = message.snapshot() {
                if self.sending.contains_key(&to) {
                    unsent.push(to);
                    continue;
                }
                self.sending.insert(to, name);
                self.bringing.insert(to);
            }
            out.push(Effect::Send(message));
        }
        unsent
    }

    /// Where the log ends.
    pub(super) fn last(&self) -> Position {
        let log = &self.raft.raft.raft_log;
        Position { index: Index(log.last_index()), term: Term(log.last_term()) }
    }
}
