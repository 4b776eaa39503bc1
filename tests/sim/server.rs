//! A storage server's process, apart from its targets: it registers, sends heartbeats, and tells its targets
//! of chains, ended sessions, marks and leases, as the thread of the real one does. Its clock goes on while it hangs.

use std::collections::BTreeMap;

use emberfs_chain_replication::target::{EndedSessions, Millis};
use emberfs_layout::{BootNumber, ChainId, ClientId, RoutingVersion, Sequence};
use emberfs_wire::cluster::{
    Chain, Heartbeat, HeartbeatReply, SessionMark, TargetReport, WantedMark,
};

use crate::metadata::{MEMBERS, node_of, registration};
use crate::network::{Message, target_of};
use crate::planted::Planted;

/// How long an answer is waited for before the lease's length is known; then it is that length.
const WAIT_MS: u64 = 2_000;

/// Between tries when nothing is granted, in milliseconds.
const RETRY_MS: u64 = 100;

/// The same where another member is named, which is asked at once: not without end.
const HINTED_MS: u64 = 5;

/// Heartbeats in the length of a lease.
const BEATS_IN_LEASE: u64 = 3;

/// A clock: hundredths of the true speed, and where it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) pace: u64,
    pub(crate) began: u64,
}

impl Clock {
    pub(crate) fn at(self, now: u64) -> Millis {
        Millis(self.began + now * self.pace / 100)
    }
}

/// What the targets of a server are told.
pub(crate) struct News {
    /// All sessions that have ended, for a target that begins with this.
    pub(crate) gone: EndedSessions,
    pub(crate) ended: Vec<ClientId>,
    pub(crate) marks: Vec<SessionMark>,
    pub(crate) lease_until: Millis,
}

/// A heartbeat that is waited for.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u64,
    began: u64,
    sent: Millis,
}

pub(crate) struct Server {
    pub(crate) at: usize,
    /// Its targets.
    pub(crate) nodes: Vec<usize>,
    /// The member of the metadata group that seems to lead.
    pub(crate) member: usize,
    pub(crate) clock: Clock,
    pub(crate) paused_until: u64,
    /// Whether its process runs, and the how many-th it is.
    pub(crate) up: bool,
    pub(crate) process: u64,
    pub(crate) boot: Option<BootNumber>,
    pub(crate) lease_until: Millis,
    routing: RoutingVersion,
    chains: BTreeMap<ChainId, Chain>,
    gone: EndedSessions,
    ended: Sequence,
    wait_ms: u64,
    call: Option<Call>,
    calls: u64,
    planted: Option<Planted>,
}

impl Server {
    pub(crate) fn new(
        at: usize,
        nodes: Vec<usize>,
        clock: Clock,
        planted: Option<Planted>,
    ) -> Self {
        let mut server = Self {
            at,
            nodes,
            member: 0,
            clock,
            paused_until: 0,
            up: true,
            process: 0,
            boot: None,
            lease_until: Millis(0),
            routing: RoutingVersion::NONE,
            chains: BTreeMap::new(),
            gone: EndedSessions::default(),
            ended: Sequence::NONE,
            wait_ms: WAIT_MS,
            call: None,
            calls: 0,
            planted,
        };
        server.start();
        server
    }

    /// A new process, which knows nothing.
    pub(crate) fn start(&mut self) {
        self.up = true;
        self.process += 1;
        (self.boot, self.call) = (None, None);
        (self.routing, self.ended) = (RoutingVersion::NONE, Sequence::NONE);
        (self.lease_until, self.wait_ms) = (Millis(0), WAIT_MS);
        self.chains.clear();
    }

    /// Names this process.
    pub(crate) fn start_number(&self) -> u64 {
        self.at as u64 * 1_000_000 + self.process
    }

    /// The next thing that it says to the leader, with the number of the call, and how long it waits for the
    /// answer.
    pub(crate) fn speak(
        &mut self,
        now: u64,
        targets: Vec<TargetReport>,
        marks_wanted: Vec<WantedMark>,
    ) -> (Message, u64, u64) {
        self.calls += 1;
        let (server, process, call) = (self.at, self.process, self.calls);
        self.call = Some(Call { number: call, began: now, sent: self.clock.at(now) });
        let message = match self.boot {
            None => {
                let asked = registration(server, self.start_number());
                Message::Register { server, process, call, asked }
            }
            Some(boot) => {
                let (routing, ended) = (self.routing, self.ended);
                let node = node_of(server);
                let disks = Vec::new();
                let said = Heartbeat {
                    node,
                    boot,
                    targets,
                    disks,
                    routing,
                    ended,
                    marks_wanted,
                    load: None,
                };
                Message::Beat { server, process, call, said }
            }
        };
        (message, call, self.wait_ms)
    }

    /// Whether it waits for a call.
    pub(crate) fn waits(&self, call: u64) -> bool {
        self.call.is_some_and(|waiting| waiting.number == call)
    }

    /// It has waited long enough for a call, or it was refused; says when to speak again, counted from now: to the
    /// member that was named, or to the next.
    pub(crate) fn gives_up(&mut self, call: u64, leader: Option<usize>) -> Option<u64> {
        if !self.waits(call) {
            return None;
        }
        self.call = None;
        let named = leader.filter(|leader| *leader != self.member);
        self.member = named.unwrap_or((self.member + 1) % MEMBERS);
        Some(if named.is_some() { HINTED_MS } else { RETRY_MS })
    }

    /// It is taken in; says when to speak again, counted from now.
    pub(crate) fn taken_in(
        &mut self,
        call: u64,
        boot: BootNumber,
        gone: EndedSessions,
    ) -> Option<u64> {
        self.call.filter(|waiting| waiting.number == call)?;
        (self.boot, self.gone, self.call) = (Some(boot), gone, None);
        Some(0)
    }

    /// A heartbeat is answered: what the targets are told, and when to speak again, counted from now.
    /// Nothing, if it is not waited for any more.
    pub(crate) fn answered(
        &mut self,
        now: u64,
        call: u64,
        reply: HeartbeatReply,
    ) -> Option<(News, u64)> {
        let Call { began, sent, .. } = self.call.filter(|waiting| waiting.number == call)?;
        self.call = None;
        let HeartbeatReply { lease_ms, routing, ended, ended_to, marks } = reply;
        let lease_ms = u64::from(lease_ms);
        if lease_ms > 0 {
            self.wait_ms = lease_ms;
        }
        let pause = match lease_ms {
            _ if routing.more => 0,
            0 => RETRY_MS,
            _ => lease_ms / BEATS_IN_LEASE,
        };
        self.routing = routing.version;
        for chain in routing.chains {
            let known = self.chains.get(&chain.id).map(|known| known.version);
            if known.is_none_or(|known| known <= chain.version) {
                self.chains.insert(chain.id, chain);
            }
        }
        ended.iter().for_each(|client| self.gone.add(*client));
        self.ended = self.ended.max(ended_to);
        let lease_until = match self.planted {
            Some(Planted::LeaseForEver) if lease_ms > 0 => Millis(u64::MAX),
            Some(Planted::LeaseFromAnswer) => self.clock.at(now).after(lease_ms),
            _ => sent.after(lease_ms),
        };
        self.lease_until = self.lease_until.max(lease_until);
        let news = News { gone: self.gone.clone(), ended, marks, lease_until };
        Some((news, (began + pause).saturating_sub(now)))
    }

    /// The chain of one of its targets.
    pub(crate) fn chain_of(&self, node: usize) -> Option<&Chain> {
        let target = target_of(node);
        let has = |chain: &&Chain| chain.members.iter().any(|member| member.target == target);
        self.chains.values().find(has)
    }
}
