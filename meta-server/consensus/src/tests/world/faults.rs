//! What goes wrong: crashes, pauses, partitions, disks that lose what they synced. And bugs that are planted, to see
//! that the world finds them.

use emberfs_wire::group::Index;

use super::World;
use super::disk::{Disk, Write};
use crate::effect::Input;
use crate::ids::Millis;

/// Something is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tests) enum Bug {
    /// Disks say that they synced, and did not.
    DiskLies,
    /// A lease counts from the answer instead of the question.
    LeaseFromAnswer,
    /// A leader that hands over keeps its lease.
    LeaseKept,
    /// A member that starts again holds to no promise of before.
    NoSilence,
    /// The log is cut where the state is not durable.
    FlushLies,
    /// A snapshot holds less than its name says.
    SnapshotMisnamed,
    /// Nobody tells a member that its log has lost what it held.
    LossUntold,
}

impl World {
    pub(super) fn fail(&mut self, at: usize) {
        match self.dice.below(160) {
            0..4 => {
                let down = Millis(self.dice.below(3000));
                self.crash(at, down);
            }
            4 => {
                // Long enough to need a snapshot.
                self.crash(at, Millis(15_000));
            }
            5..7 => self.pause(at),
            7..10 => self.part(at),
            10..30 if self.nodes[at].ready(self.now) => self.hand_over(at),
            _ => {}
        }
    }

    /// The power goes: of what was not synced a part from the front may have reached the disk.
    pub(super) fn crash(&mut self, at: usize, down: Millis) {
        let kept = self.dice.place(self.nodes[at].unsynced.len() + 1);
        for _ in 0..kept {
            let write = self.nodes[at].unsynced.pop_front().expect("counted");
            let Write::Append(append) = write else {
                self.guard(at, &write);
                continue;
            };
            let snapshot = append.snapshot().map(|name| self.snapshots[&name.id].clone());
            self.nodes[at].disk.write(&append, snapshot);
        }
        let node = &mut self.nodes[at];
        node.stop();
        node.up_at = self.now.after(down);
        self.promises.forget(at);
        // Of one member alone: what two have lost, nobody may have.
        if at == 0 && self.losses && self.dice.one_in(2) {
            if self.dice.one_in(3) {
                self.counts.wiped += usize::from(node.disk.last() != Index::NONE);
                node.disk = Disk::default();
            } else {
                self.counts.losses += usize::from(node.disk.lose(&mut self.dice));
            }
        }
    }

    pub(super) fn pause(&mut self, at: usize) {
        let longest = if self.dice.one_in(2) { 200 } else { 3000 };
        let pause = Millis(self.dice.below(longest));
        self.nodes[at].paused_until = self.now.after(pause);
    }

    /// Nothing gets through between two members, in one way or in both; or between one and all others.
    fn part(&mut self, at: usize) {
        let until = self.now.after(Millis(self.dice.below(2500)));
        let whole = self.dice.one_in(2);
        let other = self.dice.place(self.nodes.len());
        for peer in 0..self.nodes.len() {
            if whole || peer == other {
                self.network.block(at, peer, until);
                if !self.dice.one_in(3) {
                    self.network.block(peer, at, until);
                }
            }
        }
    }

    pub(in crate::tests) fn hand_over(&mut self, at: usize) {
        let member = self.nodes[at].member.as_ref().expect("it is ready");
        let standing = member.standing();
        if matches!(standing.leadership, crate::Leadership::Leader { .. }) && !member.alone() {
            self.nodes[at].handed = Some(standing.term);
            self.counts.handed_over += 1;
            self.input(at, Input::HandOver);
        }
    }
}
