//! The threads beside the one that steps: they apply, sync and flush, each in its own time.

use std::rc::Rc;

use emberfs_wire::group::Index;

use super::disk::{Write, reached};
use super::{Bug, World};
use crate::effect::Input;

impl World {
    /// The state takes in some of what is committed.
    pub(super) fn apply(&mut self, at: usize, most: usize) {
        let node = &mut self.nodes[at];
        let most = most.min(node.to_apply.len());
        for committed in node.to_apply.drain(..most) {
            let last = reached(&node.applied).index;
            self.promises.apply(last, &committed.entry, committed.proposal.is_some());
            Rc::make_mut(&mut node.applied).push(committed.entry);
        }
        (0..self.nodes.len()).for_each(|at| self.look_at_lease(at));
    }

    pub(super) fn report_applied(&mut self, at: usize) {
        let most = self.dice.place(20);
        self.apply(at, most);
        let index = reached(&self.nodes[at].applied).index;
        if index != Index::NONE && self.nodes[at].ready(self.now) {
            self.input(at, Input::Applied(index));
        }
    }

    /// One member's disk finishes its oldest appends.
    pub(super) fn sync(&mut self, at: usize) {
        let waiting = self.nodes[at].unsynced.len();
        if waiting == 0 || !self.nodes[at].ready(self.now) {
            return;
        }
        let mut durable = None;
        for _ in 0..=self.dice.place(waiting) {
            let write = self.nodes[at].unsynced.pop_front().expect("counted");
            let Write::Append(append) = write else {
                self.guard(at, &write);
                continue;
            };
            let snapshot = append.snapshot().map(|name| self.install(at, name));
            if self.bug != Some(Bug::DiskLies) {
                self.nodes[at].disk.write(&append, snapshot);
            }
            durable = Some(append.synced());
        }
        if let Some(durable) = durable {
            self.input(at, Input::Durable(durable));
        }
    }

    /// What the guard is to know.
    pub(super) fn guard(&mut self, at: usize, write: &Write) {
        let disk = &mut self.nodes[at].disk;
        match write {
            Write::Owe(to) => disk.owe(*to),
            Write::BroughtUp => disk.is_new = false,
            Write::Append(_) => {}
        }
    }

    pub(super) fn flush(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.ready(self.now) {
            return;
        }
        if self.bug != Some(Bug::FlushLies) {
            node.disk.flushed = node.applied.clone();
        }
        let index = reached(&node.applied).index;
        self.input(at, Input::StateDurable(index));
    }
}
