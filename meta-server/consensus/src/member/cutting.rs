//! Where the log is cut, and the snapshots for those that lag behind that.

use emberfs_wire::group::{Index, SnapshotName};

use super::Member;
use crate::effect::Effect;

impl Member {
    /// Cuts what is durable in the state, as far as nobody needs it.
    pub(super) fn cut(&mut self, durable: Index, out: &mut Vec<Effect>) {
        let upto = durable.min(self.applied).min(self.needless());
        let tail = self.raft.mut_store();
        let before = tail.cut();
        tail.cut_to(upto);
        if tail.cut() != before {
            out.push(Effect::Cut(tail.cut()));
        }
    }

    /// Up to where no other member needs the log: the newest entries stay for one that starts again, and what a
    /// snapshot or a follower still leads up to, as long as the log is not too long for that.
    fn needless(&self) -> Index {
        let tail = self.raft.store();
        if self.alone() {
            return tail.last().index;
        }
        let newest = tail.all_but(self.limits.keep_bytes);
        if tail.cost() >= self.limits.log_bytes_max / 2 {
            return newest;
        }
        let cut = tail.cut().index;
        let heard = self.voters.iter().filter(|&&member| self.hears(member));
        // One that lags behind the log already needs a snapshot, and no more.
        let followers = heard.map(|&member| self.matched(member)).filter(|&matched| matched >= cut);
        followers.chain(self.held_for_snapshot).fold(newest, Index::min)
    }

    /// Wishes for a snapshot, if `raft` looked for one and found none that reaches the log.
    pub(super) fn wish_snapshot(&mut self, out: &mut Vec<Effect>) {
        let wanted = self.raft.store().take_wish();
        if wanted && !self.making && self.sending.is_empty() {
            self.making = true;
            self.held_for_snapshot = Some(self.applied);
            out.push(Effect::MakeSnapshot);
        }
    }

    /// One stands ready, or none does any more.
    pub(super) fn snapshot_made(&mut self, name: Option<SnapshotName>) {
        self.making = false;
        self.held_for_snapshot = name.map(|name| name.position.index);
        self.raft.mut_store().offer(name);
    }
}
