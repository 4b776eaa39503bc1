//! What goes wrong, and how it heals.

use super::leader::Leader;
use super::messages::Message;
use super::{SERVERS, World};

impl World {
    pub(super) fn heal(&mut self) {
        self.healed = true;
        for server in 0..SERVERS {
            self.servers[server].cut_off = false;
            if self.servers[server].disk_failed {
                self.servers[server].up = false;
            }
            self.start(server);
        }
    }

    pub(super) fn fault(&mut self) {
        let server = usize::try_from(self.random.below(SERVERS as u64)).expect("few");
        match self.random.below(24) {
            0..=2 => self.servers[server].up = false,
            3..=7 => self.start(server),
            8..=9 => {
                self.servers[server].up = false;
                self.start(server);
            }
            10..=13 => self.servers[server].cut_off = true,
            14..=19 => self.servers.iter_mut().for_each(|server| server.cut_off = false),
            20..=21 => self.elect(),
            22 => {
                self.servers.iter_mut().for_each(|server| server.up = false);
                self.elect();
            }
            _ => self.servers[server].disk_failed = self.random.chance(2),
        }
    }

    pub(super) fn elect(&mut self) {
        // What the old leader proposed is applied before the new one begins, or never.
        let proposed = |message: &Message| matches!(message, Message::Apply { .. });
        let (changes, rest) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(_, m)| proposed(m));
        self.under_way = rest;
        let changes: Vec<(u64, Message)> = changes;
        for (_, change) in changes {
            if self.random.chance(2) {
                self.deliver(change);
            }
        }
        self.leader = Leader::elected(self.leader.term + 1, self.now);
    }

    pub(super) fn start(&mut self, server: usize) {
        if !self.servers[server].up {
            self.starts += 1;
            let (now, start) = (self.now, self.starts);
            let process = &mut self.servers[server];
            (process.up, process.start, process.beat_at) = (true, start, now);
            (process.boot, process.chain, process.lease_until) = (None, None, 0);
            (process.complete, process.disk_failed) = (true, false);
        }
    }
}
