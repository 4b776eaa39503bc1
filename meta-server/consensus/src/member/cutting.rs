//! Where the log is cut, and the snapshots for those that lag behind that.

use emberfs_wire::group::{Index, MemberId, SnapshotName};
use raft::SnapshotStatus;

use super::Member;
use crate::effect::{Effect, Transfer};
use crate::start::UNTAKEN_MAX;

impl Member {
    /// The state is durable up to here.
    pub(super) fn state_durable(&mut self, durable: Index, out: &mut Vec<Effect>) {
        self.durable = self.durable.max(durable);
        self.cut(out);
    }

    /// Cuts what is durable in the state, as far as nobody needs it.
    fn cut(&mut self, out: &mut Vec<Effect>) {
        let upto = self.durable.min(self.applied).min(self.needless());
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
        if self.log_is_long() {
            return newest;
        }
        let cut = tail.cut().index;
        let heard = self.voters.iter().filter(|&&member| self.hears(member));
        // One that lags behind the log already needs a snapshot, and no more.
        let followers = heard.map(|&member| self.matched(member)).filter(|&matched| matched >= cut);
        followers.chain(self.held_for_snapshot).fold(newest, Index::min)
    }

    /// Nothing but the newest entries is kept for others: what is durable in the state is cut.
    #[must_use]
    pub fn log_is_long(&self) -> bool {
        self.log_bytes() >= self.kept_max()
    }

    /// No proposal is taken before the log is cut.
    #[must_use]
    pub fn log_is_full(&self) -> bool {
        self.log_bytes() >= self.kept_max() + self.limits.log_bytes_max / 2
    }

    /// From the wish for a snapshot on, so that what comes behind its place is there when it has arrived.
    fn kept_max(&self) -> usize {
        if self.bringing.iter().any(|&member| !self.is_given_up(member)) {
            self.limits.transfer_bytes_max
        } else {
            self.limits.log_bytes_max / 2
        }
    }

    /// Whether this member, which leads, keeps no more of its log for that one than for any: it refused `UNTAKEN_MAX`
    /// snapshots in a row. It is sent others all the same, and one that it takes ends this. So does one that is withdrawn:
    /// it may have taken that, had the log reached so far, and the next is kept for it again.
    #[must_use]
    pub fn is_given_up(&self, member: MemberId) -> bool {
        let untaken = self.led.as_ref().and_then(|led| led.untaken.get(&member));
        untaken.is_some_and(|&untaken| untaken >= UNTAKEN_MAX)
    }

    /// Whether a snapshot that is under way is still of use to its receiver: this member leads, and its log begins no
    /// later than that ends. One that is not need not arrive, and is answered by
    /// [`Input::SnapshotSent`](crate::Input::SnapshotSent) all the same.
    #[must_use]
    pub fn is_of_use(&self, snapshot: SnapshotName) -> bool {
        self.led.is_some() && snapshot.position.index >= self.raft.store().cut().index
    }

    /// One was taken, or will not be.
    pub(super) fn snapshot_sent(&mut self, to: MemberId, became: Transfer, out: &mut Vec<Effect>) {
        let sent = self.sending.remove(&to);
        let withdrawn = sent.is_some_and(|name| !self.is_of_use(name));
        if let Some(led) = &mut self.led {
            let untaken = led.untaken.entry(to).or_default();
            *untaken = match became {
                Transfer::Refused => untaken.saturating_add(1),
                Transfer::NotSent if !withdrawn => *untaken,
                Transfer::NotSent | Transfer::Delivered => 0,
            };
        }
        let status = match became {
            Transfer::Delivered => SnapshotStatus::Finish,
            Transfer::Refused | Transfer::NotSent => SnapshotStatus::Failure,
        };
        self.raft.report_snapshot(to.get(), status);
        if self.is_given_up(to) {
            self.cut(out);
        }
    }

    /// With each tick: who got a snapshot, and has caught up or is gone, needs no more than others.
    pub(super) fn see_brought(&mut self, out: &mut Vec<Effect>) {
        if self.bringing.is_empty() {
            return;
        }
        let newest = self.raft.store().all_but(self.limits.keep_bytes);
        let lags = |member: MemberId| self.hears(member) && self.matched(member) < newest;
        let gets = |member: MemberId| self.making || self.sending.contains_key(&member);
        let needs = |member: MemberId| gets(member) || lags(member);
        let led = self.led.is_some();
        let left = self.bringing.iter().copied().filter(|&member| led && needs(member)).collect();
        self.bringing = left;
        if self.bringing.is_empty() {
            self.cut(out);
        }
    }

    /// None stands ready any more, or none could be made.
    pub(super) fn snapshot_gone(&mut self, out: &mut Vec<Effect>) {
        self.snapshot_made(None);
        self.cut(out);
    }

    /// Wishes for a snapshot, if `raft` looked for one and found none that reaches the log.
    pub(super) fn wish_snapshot(&mut self, out: &mut Vec<Effect>) {
        let wished = self.raft.store().take_wished();
        if wished.is_empty() {
            return;
        }
        self.bringing.extend(wished);
        if !self.making && self.sending.is_empty() {
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
