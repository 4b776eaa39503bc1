//! Messages between servers, leader and state, late, lost and out of order.

use emberfs_layout::{BootNumber, ChainVersion, NodeId};
use emberfs_wire::cluster::{Chain, TargetReport};

use super::server::number;
use super::{BEAT_MS, DELAY_MAX, Guard, TICK_MS, World};
use crate::target::Millis;

pub(super) enum Message {
    Register { server: usize, start: u64 },
    Registered { server: usize, start: u64, boot: BootNumber },
    Beat { server: usize, start: u64, boot: BootNumber, report: Option<TargetReport>, sent: u64 },
    Answer { server: usize, start: u64, sent: u64, lease_ms: u32, chain: Chain },
    Apply { term: u64, from: ChainVersion, chain: Chain, boots: Vec<BootNumber> },
}

impl World {
    pub(super) fn send(&mut self, message: Message) {
        if self.healed || !self.random.chance(12) {
            let delay = self.random.below(DELAY_MAX) * TICK_MS;
            self.under_way.push((self.now + delay, message));
        }
    }

    pub(super) fn beat(&mut self, server: usize) {
        let process = &mut self.servers[server];
        if !process.up || process.cut_off || process.beat_at > self.now {
            return;
        }
        process.beat_at = self.now + BEAT_MS;
        let (start, sent) = (process.start, self.now);
        let message = match process.boot {
            None => Message::Register { server, start },
            Some(boot) => {
                let report = process.report(server);
                Message::Beat { server, start, boot, report, sent }
            }
        };
        self.send(message);
    }

    pub(super) fn deliver(&mut self, message: Message) {
        match message {
            Message::Register { server, start } => {
                if let Some(boot) = self.state.register(server, start) {
                    self.send(Message::Registered { server, start, boot });
                }
            }
            Message::Registered { server, start, boot } if self.servers[server].start == start => {
                self.servers[server].boot = Some(boot);
            }
            Message::Beat { server, start, boot, report, sent } => {
                if boot != self.state.boot(server) {
                    return;
                }
                let mut report = report.map(|report| (boot, report));
                if let (Some(Guard::ReportVersion), Some((_, report))) = (self.without, &mut report)
                {
                    report.chain = self.state.chain.version;
                }
                self.leader.reports.extend(report.map(|report| (server, report)));
                let node = NodeId(number(server));
                let informed = self.without == Some(Guard::Settled) || self.state.settled(server);
                let lease_ms = self.leader.leases.answer(node, informed, Millis(self.now));
                let chain = self.state.chain.clone();
                self.send(Message::Answer { server, start, sent, lease_ms, chain });
            }
            Message::Answer { server, start, sent, lease_ms, chain } => {
                let process = &mut self.servers[server];
                if process.start == start && process.up && !process.cut_off {
                    process.learn(server, chain);
                    let pace = process.pace + 300 * u64::from(self.without == Some(Guard::Term));
                    process.lease_until = sent + u64::from(lease_ms) * pace / 100;
                }
            }
            Message::Apply { term, from, chain, boots } => {
                let id = chain.id;
                if self.state.set_chain(from, chain, &boots, self.without) {
                    self.trace += &format!("{} {:?}\n", self.now, self.state.chain.members);
                }
                if term == self.leader.term {
                    self.leader.changing = false;
                    self.leader.leases.release(id);
                }
            }
            Message::Registered { .. } => {}
        }
    }
}
