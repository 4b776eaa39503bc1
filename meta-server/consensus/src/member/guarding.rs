//! What a member owes, and what its guard has to know of that.

use emberfs_wire::group::Index;

use super::Member;
use crate::effect::Effect;

impl Member {
    /// What was lost is here again, once it is known to be committed: so far a log reaches at least. A vote waits for
    /// the sync of what came before it.
    pub(super) fn see_reached(&mut self) {
        if self.raft.raft.raft_log.committed >= self.must_reach.get() {
            (self.must_reach, self.owed) = (Index::NONE, Index::NONE);
        }
    }

    /// Has the guard know what it does not: a debt before anything that comes behind in the log, that nothing is owed
    /// behind all that was.
    pub(super) fn tell_guard(&mut self, out: &mut Vec<Effect>) {
        if self.must_reach > self.owed {
            self.owed = self.must_reach;
            out.push(Effect::Owe(self.must_reach));
        }
        if self.guarded_new && !self.is_new {
            self.guarded_new = false;
            out.push(Effect::BroughtUp);
        }
    }
}
