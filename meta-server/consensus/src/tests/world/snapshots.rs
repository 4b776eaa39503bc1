//! Snapshots are made, fetched, and take the place of a state.

use emberfs_wire::group::Position;

use super::{Bug, Input, SnapshotId, SnapshotName, State, World, place, reached};
use crate::Transfer;

impl World {
    /// The next thing to be done about a member's snapshot.
    pub(super) fn see_to_snapshot(&mut self, at: usize) {
        if !self.nodes[at].ready(self.now) {
            return;
        }
        let node = &mut self.nodes[at];
        if let Some(mut name) = node.made.take() {
            node.stands = true;
            if self.bug == Some(Bug::SnapshotMisnamed) {
                name.position = reached(&node.applied);
            }
            self.input(at, Input::SnapshotMade(name));
        } else if std::mem::take(&mut node.wished) {
            let failed = self.faults && self.dice.one_in(4);
            let position = reached(&node.applied);
            node.disk.flushed = node.applied.clone();
            if failed || position == Position::default() {
                self.input(at, Input::SnapshotGone);
                return;
            }
            let id = SnapshotId(self.snapshots.len() as u64 + 1);
            self.snapshots.insert(id, node.applied.clone());
            node.made = Some(SnapshotName { position, id });
        } else if node.stands && !self.needed(at) && self.dice.one_in(8) {
            self.nodes[at].stands = false;
            self.input(at, Input::SnapshotGone);
        }
    }

    /// Whether anybody fetches a snapshot from this member.
    fn needed(&self, at: usize) -> bool {
        self.network.transfers.iter().any(|transfer| place(transfer.message.from()) == at)
    }

    /// A receiver has fetched a snapshot, or never will.
    pub(super) fn transfer(&mut self) {
        if self.network.transfers.is_empty() {
            return;
        }
        let chosen = self.dice.place(self.network.transfers.len());
        let transfer = &self.network.transfers[chosen];
        let (from, to) = (transfer.message.from(), transfer.message.to());
        let (sender, receiver) = (place(from), place(to));
        if self.nodes[sender].member.is_none() || self.nodes[sender].starts != transfer.start {
            self.network.transfers.swap_remove(chosen);
            return;
        }
        let ready = |at: usize| self.nodes[at].ready(self.now);
        let passes = self.network.passes(sender, receiver, self.now);
        if !ready(sender) || (passes && self.nodes[receiver].member.is_some() && !ready(receiver)) {
            return;
        }
        let message = self.network.transfers.swap_remove(chosen).message;
        let of_use = |name| self.nodes[sender].member.as_ref().is_some_and(|m| m.is_of_use(name));
        let lost = !passes || !message.snapshot().is_some_and(of_use);
        let refused = !lost && self.faults && self.dice.one_in(3);
        let runs = self.nodes[receiver].member.is_some();
        let mut arrived = !lost && !refused && runs;
        if arrived {
            if self.faults && self.dice.one_in(3) {
                self.network.messages.push(message.clone());
            }
            self.input(receiver, Input::Message(message));
            arrived = !(self.faults && self.dice.one_in(6));
        }
        self.counts.transfers_failed += usize::from(!arrived);
        let became = match arrived {
            true => Transfer::Delivered,
            false if refused && runs => Transfer::Refused,
            false => Transfer::NotSent,
        };
        self.input(sender, Input::SnapshotSent { to, became });
    }

    /// A snapshot takes the place of the state, behind all that was to be applied before.
    pub(super) fn install(&mut self, at: usize, name: SnapshotName) -> State {
        self.apply(at, usize::MAX);
        let state = self.snapshots[&name.id].clone();
        assert!(name.position.index > reached(&self.nodes[at].applied).index, "it goes back");
        self.nodes[at].applied = state.clone();
        self.counts.installed += 1;
        state
    }
}
