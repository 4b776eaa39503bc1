//! Faults strike, and heal.

use emberfs_wire::cluster::PublicState;
use rand::RngExt;

use crate::client;
use crate::group_faults::{Who, group};
use crate::metadata::MEMBERS;
use crate::network::{Address, node_of};
use crate::scenario::Fault;
use crate::world::{Event, World};

/// How late an answer is at most while the leader's answers are late, in milliseconds: about as long as they
/// are waited for.
const LATE_MS: u64 = 600;

/// How long whatever runs a server waits before it starts one anew that ended, in milliseconds.
const REST_MS: u64 = 500;

impl World {
    pub(crate) fn strike(&mut self, fault: &Fault) {
        self.trace.line(self.now, || format!("fault {fault:?}"));
        if let Some(name) = name(fault) {
            self.coverage.count(name);
        }
        match fault {
            Fault::Crash { server, down_ms } => self.crash(*server, *down_ms),
            Fault::CrashAll { down_ms } => self.crash_all(*down_ms),
            Fault::TailAway { chain, down_ms } => self.send_tail_away(*chain, *down_ms),
            Fault::Pause { server, ms } => self.servers[*server].paused_until = self.now + ms,
            Fault::Cut { server, from } => {
                from.iter().for_each(|other| self.network.cut(Address::Server(*server), *other));
            }
            Fault::Mend => self.network.mend(),
            Fault::DiskFails { node } => self.nodes[*node].disk_failed = true,
            Fault::DiskSlow { node, ms } => self.nodes[*node].slow_until = self.now + ms,
            Fault::DiskFills { node, blocks, starts } => {
                let most = self.scenario.blocks_max[*node].unwrap_or(usize::MAX);
                self.nodes[*node].store.blocks_max = Some(most.min(*blocks));
                if *starts {
                    self.crash(self.nodes[*node].server, 20);
                }
            }
            Fault::ChunkDamaged { node, chunk } => {
                self.nodes[*node].store.damage(client::chunk(*chunk));
            }
            Fault::ChunksMended { node } => self.nodes[*node].store.mend(),
            Fault::DiskHasRoom { node } => {
                self.nodes[*node].store.blocks_max = self.scenario.blocks_max[*node];
            }
            Fault::LateLeases { server, ms } => {
                for member in 0..MEMBERS {
                    let (from, to) = (Address::Member(member), Address::Server(*server));
                    self.network.delay(from, to, self.now + ms, LATE_MS);
                }
            }
            Fault::MemberCrashes { who, down_ms } => {
                let member = self.metadata.member(*who);
                let errands = self.metadata.crash(member, *down_ms);
                self.run_errands(errands);
            }
            Fault::GroupCrashes { down_ms } => {
                let errands = self.metadata.crash_all(*down_ms);
                self.run_errands(errands);
            }
            Fault::MemberHangs { who, ms } => {
                let member = self.metadata.member(*who);
                self.metadata.pause(member, self.now + ms);
            }
            Fault::MemberCut { who } => {
                let member = self.metadata.member(*who);
                for other in (0..MEMBERS).filter(|other| *other != member) {
                    self.network.cut(Address::Member(member), Address::Member(other));
                }
            }
            Fault::LeaderHandsOver => {
                let errands = self.metadata.hand_over(self.now);
                self.run_errands(errands);
            }
            Fault::SessionEnds { client } => self.end_session(*client),
        }
    }

    fn send_tail_away(&mut self, chain: usize, down_ms: u64) {
        let placed = self.metadata.placed().swap_remove(chain).chain;
        let serves = |state| state == PublicState::Serving;
        let tail = placed.members.iter().rfind(|member| serves(member.state));
        if let Some(tail) = tail {
            self.crash(self.nodes[node_of(tail.target)].server, down_ms);
        }
        self.crash_all(2_000);
    }

    fn crash_all(&mut self, down_ms: u64) {
        for server in 0..self.servers.len() {
            let down_ms = self.rng.random_range(1..=down_ms);
            self.crash(server, down_ms);
        }
    }

    /// The power of a server goes.
    fn crash(&mut self, server: usize, down_ms: u64) {
        if self.servers[server].up {
            self.servers[server].up = false;
            for node in self.servers[server].nodes.clone() {
                let rng = &mut self.rng;
                self.nodes[node].crash(|| rng.random_bool(0.5));
            }
            self.after(down_ms, Event::Restart(server));
        }
    }

    /// A server hears that another start of it is the latest: the process ends, and whatever runs it starts
    /// another.
    pub(crate) fn superseded(&mut self, server: usize) {
        self.coverage
            .count("a server ends as a late word of an earlier start was taken for a later one");
        self.crash(server, REST_MS);
    }

    pub(crate) fn restart(&mut self, server: usize) {
        if !self.servers[server].up {
            self.trace.line(self.now, || format!("restart {server}"));
            self.servers[server].start();
            let process = self.servers[server].process;
            self.after(1, Event::Speak { server, process });
        }
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&mut self) {
        self.trace.line(self.now, || "all faults heal");
        self.network.heal();
        self.left = 0;
        self.scenario.no_room = 0.0;
        self.scenario.blocks_max.fill(None);
        for node in &mut self.nodes {
            node.store.blocks_max = None;
            node.store.mend();
            node.slow_until = 0;
        }
        for server in 0..self.servers.len() {
            self.servers[server].paused_until = self.now;
            let failed = |node: &usize| self.nodes[*node].disk_failed;
            if self.servers[server].nodes.iter().any(failed) {
                self.crash(server, 1);
            }
            self.restart(server);
        }
        let errands = self.metadata.heal(self.now);
        self.run_errands(errands);
        self.clients.iter_mut().for_each(|client| client.patient = true);
    }

    /// Clocks that differ within the margin, in the way that is dangerous: a lease lasts longer for its
    /// server, and less long for the leader.
    pub(crate) fn note_clocks(&mut self) {
        let slow = self.servers.iter().any(|server| server.clock.pace < 90);
        if slow && self.metadata.pace() > 115 {
            self.coverage.count("a server's clock is slow, and the leader's is fast");
        }
    }
}

/// What is counted when a fault strikes.
fn name(fault: &Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::Crash { .. } => "a server crashes",
        Fault::CrashAll { .. } => "all servers crash",
        Fault::TailAway { .. } => {
            "all servers crash, and a tail stays away for longer than it is waited for"
        }
        Fault::Pause { .. } => "a server hangs",
        Fault::Cut { from, .. } if *from == group() => {
            "a server is cut off from the metadata group"
        }
        Fault::Cut { .. } => "a server is cut off from others",
        Fault::Mend
        | Fault::DiskHasRoom { .. }
        | Fault::ChunksMended { .. }
        | Fault::LeaderHandsOver => return None,
        Fault::ChunkDamaged { .. } => "a chunk is damaged on a disk",
        Fault::DiskFails { .. } => "a disk fails",
        Fault::DiskSlow { .. } => "a disk is slow",
        Fault::DiskFills { starts: true, .. } => "a disk is filled, and its server starts anew",
        Fault::DiskFills { .. } => "a disk is filled",
        Fault::LateLeases { .. } => "answers to heartbeats are late",
        Fault::MemberCrashes { who: Who::Leader, .. } => "the leader crashes",
        Fault::MemberCrashes { .. } => "a member of the group crashes",
        Fault::GroupCrashes { .. } => "all members of the group crash",
        Fault::MemberHangs { who: Who::Leader, .. } => "the leader hangs",
        Fault::MemberHangs { .. } => "a member of the group hangs",
        Fault::MemberCut { who: Who::Leader } => "the leader is cut off from the other members",
        Fault::MemberCut { .. } => "a member is cut off from the other members",
        Fault::SessionEnds { .. } => "a session ends",
    })
}
