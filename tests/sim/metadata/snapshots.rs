//! A member that lags behind the logs of the others gets the state of one of them.

use std::rc::Rc;

use emberfs_meta_server_consensus::{Input, Position, SnapshotId, SnapshotName};
use rand::RngExt;

use super::storage::State;
use super::{Errand, Metadata};

impl Metadata {
    pub(super) fn make_snapshot(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        let position = self.members[at].state.applied;
        let fails = !self.calm && self.rng.random_bool(0.2);
        if fails || position == Position::default() {
            return self.input(now, at, Input::SnapshotGone, out);
        }
        self.make_durable(at);
        let id = SnapshotId(self.snapshots.len() as u64 + 1);
        self.snapshots.insert(id, self.members[at].storage.flushed.clone());
        self.members[at].stands = true;
        self.input(now, at, Input::SnapshotMade(SnapshotName { position, id }), out);
    }

    /// A snapshot that nobody fetches goes in the end.
    pub(super) fn let_snapshot_go(&mut self, now: u64, at: usize, out: &mut Vec<Errand>) {
        let member = &mut self.members[at];
        if member.stands && member.sending == 0 {
            member.stands = false;
            self.input(now, at, Input::SnapshotGone, out);
        }
    }

    /// A snapshot takes the place of the state, behind all that was to be taken in before.
    pub(super) fn install(
        &mut self,
        at: usize,
        name: SnapshotName,
        out: &mut Vec<Errand>,
    ) -> Rc<State> {
        self.take_in(at, out);
        let state = self.snapshots[&name.id].clone();
        let member = &mut self.members[at];
        assert!(name.position.index > member.state.applied.index, "a state goes back");
        member.state = (*state).clone();
        out.push(Errand::Count("the state of another member takes the place of a member's own"));
        state
    }
}
