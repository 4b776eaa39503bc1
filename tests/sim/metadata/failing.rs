//! What goes wrong with members, and how all of it ends.

use emberfs_meta_server_consensus::Input;
use rand::RngExt;

use super::storage::Write;
use super::{Errand, MEMBERS, Metadata, Step};
use crate::group_faults::Who;

/// How often a disk is damaged that loses power, where it may be.
const DAMAGED: f64 = 0.2;

impl Metadata {
    /// Whom a fault strikes: where the leader is meant and there is none, some member.
    pub(crate) fn member(&mut self, who: Who) -> usize {
        match who {
            Who::Member(member) => member,
            Who::Leader => self.leading().unwrap_or_else(|| self.rng.random_range(0..MEMBERS)),
        }
    }

    /// The power goes: of what was not synced a part from the front may have reached the disk. The disk may lose more.
    pub(crate) fn crash(&mut self, at: usize, down_ms: u64) -> Vec<Errand> {
        let mut out = Vec::new();
        if !self.is_up(at) {
            return out;
        }
        let damages = self.rng.random_bool(DAMAGED) && self.may_be_damaged(at);
        let member = &mut self.members[at];
        for _ in 0..self.rng.random_range(0..=member.unsynced.len()) {
            match member.unsynced.pop_front().expect("counted") {
                Write::Append(append) => {
                    let snapshot = append.snapshot().map(|name| self.snapshots[&name.id].clone());
                    member.storage.write(&append, snapshot);
                }
                Write::Owe(to) => member.storage.owe(to),
                Write::BroughtUp => member.storage.brought_up(),
            }
        }
        member.stop();
        if damages {
            self.damage(at, &mut out);
        }
        out.push(Errand::Later(down_ms, Step::Start(at)));
        out
    }

    /// Whether a disk may lose what it synced: at most a minority is damaged at a time, of three members one. What a
    /// majority has lost nobody may have, and each damaged member rightly elects nobody before another has brought it
    /// up to date: where no majority is whole, the group stands still for ever, and only people can tell what to do.
    /// A new member that holds nothing yet counts as damaged, as the others cannot tell it from one that has lost all.
    fn may_be_damaged(&self, at: usize) -> bool {
        let others = (0..MEMBERS).filter(|other| *other != at);
        let damaged = others.filter(|other| self.members[*other].is_damaged()).count();
        !self.calm && damaged < (MEMBERS - 1) / 2
    }

    /// The end of the log is gone, or the state, or all.
    fn damage(&mut self, at: usize, out: &mut Vec<Errand>) {
        let storage = &mut self.members[at].storage;
        let (lost, what) = match self.rng.random_range(0..10) {
            0..4 => (storage.wipe(), "a member's directory is made anew"),
            4..6 => (storage.lose_state(), "a member's state is lost, and its log begins anew"),
            _ => (storage.lose(&mut self.rng), "a member's log has lost what was synced"),
        };
        if lost {
            self.members[at].lost = self.members[at].storage.guarded();
            out.push(Errand::Count(what));
        }
    }

    pub(crate) fn crash_all(&mut self, down_ms: u64) -> Vec<Errand> {
        let mut out = Vec::new();
        for at in 0..MEMBERS {
            let down_ms = self.rng.random_range(1..=down_ms);
            out.append(&mut self.crash(at, down_ms));
        }
        out
    }

    pub(crate) fn pause(&mut self, at: usize, until: u64) {
        let member = &mut self.members[at];
        member.paused_until = member.paused_until.max(until);
    }

    /// The leader lets another lead, as before a planned stop.
    pub(crate) fn hand_over(&mut self, now: u64) -> Vec<Errand> {
        let mut out = Vec::new();
        let leads = |at: &usize| self.members[*at].leads().is_some();
        if let Some(at) = self.leading().filter(leads)
            && self.paused_until(at) <= now
        {
            out.push(Errand::Count("the leader hands over"));
            self.input(now, at, Input::HandOver, &mut out);
        }
        out
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&mut self, now: u64) -> Vec<Errand> {
        self.calm = true;
        self.members.iter_mut().for_each(|member| member.paused_until = now);
        let mut out = Vec::new();
        (0..MEMBERS).for_each(|at| self.start(now, at, &mut out));
        out
    }
}
