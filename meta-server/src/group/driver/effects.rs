//! The driver carries out what the member wants done.

use emberfs_meta_server_consensus::{
    Append, Committed, Effect, Input, PeerMessage, Refusal, Transfer,
};

use super::Driver;
use crate::group::GroupError;
use crate::group::error::failed;
use crate::group::machine::Machine;
use crate::group::threads::{ApplyJob, Entry, FlushJob, LogJob};

impl<M: Machine> Driver<M> {
    /// A thread that is gone has failed, and said so in an event that stands in the queue.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append(append) => self.append(append),
            Effect::Cut(position) => drop(self.outlets.log.send(LogJob::Cut(position))),
            Effect::Owe(held) => drop(self.outlets.log.send(LogJob::Owe(held))),
            Effect::BroughtUp => {
                tracing::info!("this member is up to date, and votes");
                drop(self.outlets.log.send(LogJob::BroughtUp));
            }
            Effect::Diverged(divergence) => self.failure = Some(failed(&divergence)),
            Effect::Send(message) => self.say(message),
            Effect::MakeSnapshot => {
                let job = FlushJob::Copy(self.snapshots.next());
                drop(self.outlets.flush.send(job));
            }
            Effect::Apply(batch) => {
                let entries = batch.into_iter().map(|committed| self.entry(committed)).collect();
                drop(self.outlets.apply.send(ApplyJob::Entries(entries)));
            }
            Effect::Confirmed { ids, index } => {
                let answers = ids.into_iter().filter_map(|id| self.asked.remove(&id));
                answers.for_each(|answer| answer.give(Ok(index)));
            }
            Effect::Unconfirmed { id, leader } => {
                let answer = self.asked.remove(&id);
                answer.into_iter().for_each(|a| a.give(Err(GroupError::NotLeader { leader })));
            }
            Effect::Refused { id, why } => {
                let why = match why {
                    Refusal::NotLeader { leader } => GroupError::NotLeader { leader },
                    Refusal::Full => GroupError::Full,
                    Refusal::Unknown => GroupError::Unknown,
                };
                let answers = self.proposed.remove(&id).unwrap_or_default();
                answers.into_iter().for_each(|answer| answer.give(Err(why.clone())));
            }
            Effect::Leadership(leadership) => {
                tracing::info!(?leadership, "leadership of the metadata group");
                self.outlets.public.leadership.send_replace(leadership);
            }
        }
    }

    fn append(&mut self, append: Append) {
        let job = match (append.snapshot(), self.delivery.take()) {
            (None, delivery) => {
                self.delivery = delivery;
                LogJob::Append(append)
            }
            (Some(_), Some(delivery)) => LogJob::Install(append, delivery),
            (Some(name), None) => unreachable!("{name:?} came with the message that names it"),
        };
        drop(self.outlets.log.send(job));
    }

    /// Puts a message on its way; what cannot be is as good as lost.
    fn say(&mut self, message: PeerMessage) {
        let to = message.to();
        let sent = match message.snapshot() {
            None => self.outlets.post.send(message, None),
            Some(name) => {
                let snapshot = self.snapshots.send(name, to);
                let sent = snapshot.is_some() && self.outlets.post.send(message, snapshot);
                if !sent {
                    self.snapshots.sent(to);
                    self.later.push_back(Input::SnapshotSent { to, became: Transfer::NotSent });
                }
                sent
            }
        };
        if !sent {
            self.later.push_back(Input::Unreachable(to));
        }
    }

    fn entry(&mut self, committed: Committed) -> Entry<M> {
        self.unflushed += committed.entry.cost();
        let proposal = committed.proposal;
        let answers = proposal.and_then(|id| self.proposed.remove(&id)).unwrap_or_default();
        Entry { committed, answers }
    }
}
