//! The thread that keeps this server in its cluster: registration, heartbeats, lease, routing.
//!
//! ```text
//!   Register ──► node and boot number ──► the server's directory
//!   Heartbeat (targets, disks, what is known) ──► lease, routing, ended sessions, marks ──► News, to all
//!        ▲                                                                                    │
//!        └── reports of the shards ◄──────────────────────────────────────────────────────────┘
//! ```
//!
//! It has an event loop of its own, so it never waits behind data. The lease runs from the moment before
//! the heartbeat left: however long the answer takes, the leader began to count later.

mod group;
mod load;
mod picture;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use emberfs_chain_replication::target::{EndedSessions, Millis};
use emberfs_daemon::Held;
use emberfs_layout::{BootNumber, DiskId, NodeId, Sequence};
use emberfs_wire::cluster::{
    DiskReport, Heartbeat, HeartbeatReply, LocalState, Register, RegisterReply, TakenIn,
    TargetReport,
};
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex};
use emberfs_wire::limits::{DISKS_MAX, MARKS_MAX, TARGETS_MAX};
use emberfs_wire::protocol::{Features, ProtocolRange};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Fault;
use crate::news::{News, ShardReport};
use group::{GroupError, MetaGroup};
use load::Load;
use picture::Picture;

/// How long an answer is waited for before the lease's length is known; then it is that length, as a
/// later answer brings no lease.
const WAIT: Duration = Duration::from_secs(2);
/// Between tries when the group does not answer, or grants nothing yet: a new leader is found soon, a chain
/// is changed soon, and nobody is hammered.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Heartbeats in the length of a lease: two may be lost.
const BEATS_IN_LEASE: u32 = 3;

/// What the thread is given.
pub(crate) struct Setup {
    pub(crate) config: Arc<Config>,
    /// The server's directory: it remembers the node number.
    pub(crate) own: Held,
    /// The disks that are open, by the shard that owns them.
    pub(crate) homes: BTreeMap<DiskId, ShardIndex>,
    /// Where this server is reached.
    pub(crate) addresses: Vec<String>,
    pub(crate) clock: Clock,
    /// To the shards and the listener.
    pub(crate) tell: watch::Sender<Option<News>>,
    /// From the shards.
    pub(crate) reports: Vec<watch::Receiver<ShardReport>>,
    /// Told by a shard when a target stands differently: the leader should hear of it at once.
    pub(crate) urgent: Arc<Notify>,
}

/// Registers and sends heartbeats until something makes that senseless. Dropped, it stops.
pub(crate) async fn run(mut setup: Setup) -> Fault {
    let mut group = MetaGroup::dial(&setup.config.meta, &hello(&setup));
    let registered = match register(&mut setup, &mut group).await {
        Ok(registered) => registered,
        Err(fault) => return fault,
    };
    let TakenIn { node, boot, sessions, next_session } = registered;
    let ended_before = Arc::new(EndedSessions::all_but(&sessions, next_session));
    tracing::info!(%node, %boot, "registered");
    let picture = Picture::default();
    let (lease, missed, load) = (WAIT, 0, Load::default());
    let mut pulse = Pulse { setup, group, node, boot, ended_before, picture, lease, missed, load };
    loop {
        let start = Instant::now();
        let pause_to = match pulse.beat().await {
            Ok(Next::AtOnce) => start,
            Ok(Next::Soon) => start + RETRY_PAUSE,
            Ok(Next::InTime) => start + pulse.lease / BEATS_IN_LEASE,
            Err(error) => match error.refusal() {
                Some(why) => return Fault::Superseded { node, why: why.clone() },
                None if pulse.miss(&error) => Instant::now(),
                None => Instant::now() + RETRY_PAUSE,
            },
        };
        // A shard's news do not wait for the next beat, but a group that does not answer is let be.
        let urgent = async {
            sleep_until(start + RETRY_PAUSE).await;
            pulse.setup.urgent.notified().await;
        };
        let _either = timeout(pause_to.saturating_duration_since(Instant::now()), urgent).await;
    }
}

fn hello(setup: &Setup) -> Hello {
    let node = setup.own.identity().node;
    let cluster = Some(setup.config.cluster);
    Hello {
        protocol: ProtocolRange::OURS,
        features: Features::OURS,
        identity: Identity { cluster, role: Role::Storage, node, boot: None, client: None },
        expected_role: Role::Meta,
        expected_node: None,
        shard: None,
    }
}

/// Makes this start known, however long that takes, and remembers the number.
async fn register(setup: &mut Setup, group: &mut MetaGroup) -> Result<TakenIn, Fault> {
    let request = Register {
        start: rand::random(),
        node: setup.own.identity().node,
        name: setup.config.name.clone(),
        addresses: setup.addresses.clone(),
        domain: setup.config.domain,
        disks: setup.homes.keys().copied().take(DISKS_MAX).collect(),
        lock: setup.own.lock_id(),
    };
    let mut said = String::new();
    let taken_in = loop {
        let asked = match group.member(WAIT).await {
            Ok(member) => group.call(&member, &request, WAIT).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(RegisterReply::TakenIn(taken_in)) => break taken_in,
            Ok(RegisterReply::Refused { text }) => return Err(Fault::NotTakenIn(text)),
            Err(error) => {
                if let Some(why) = error.refusal() {
                    return Err(Fault::NotTakenIn(why.to_string()));
                }
                let words = error.to_string();
                if words != said {
                    tracing::warn!(%error, "not registered yet");
                    said = words;
                }
                if !group.turn(&error) {
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    };
    let remembered = setup.own.bind(taken_in.node);
    remembered.map_err(|error| Fault::NotRemembered(error.to_string()))?;
    Ok(taken_in)
}

/// When the next heartbeat should follow.
enum Next {
    /// The answer was cut: there is more to hear.
    AtOnce,
    /// No lease was granted: an earlier one may be about to end.
    Soon,
    /// Before the lease ends.
    InTime,
}

/// The state between heartbeats.
struct Pulse {
    setup: Setup,
    group: MetaGroup,
    node: NodeId,
    boot: BootNumber,
    /// Sessions that had ended when this start registered.
    ended_before: Arc<EndedSessions>,
    picture: Picture,
    /// How long a lease is, as far as is known.
    lease: Duration,
    /// Heartbeats without an answer, in a row.
    missed: u32,
    load: Load,
}

impl Pulse {
    /// One heartbeat; says when the next should follow.
    async fn beat(&mut self) -> Result<Next, GroupError> {
        let member = self.group.member(self.lease).await?;
        let heartbeat = self.heartbeat();
        let sent = self.setup.clock.now();
        let reply = self.group.call(&member, &heartbeat, self.lease).await?;
        if self.missed > 0 {
            tracing::info!(missed = self.missed, "heartbeats are answered again");
            self.missed = 0;
        }
        Ok(self.on_reply(sent, reply))
    }

    /// Turns to another member; whether that is to be asked at once.
    fn miss(&mut self, error: &GroupError) -> bool {
        self.missed += 1;
        match self.missed {
            1 => tracing::warn!(%error, "a heartbeat was not answered"),
            _ => tracing::debug!(%error, missed = self.missed, "a heartbeat was not answered"),
        }
        self.group.turn(error)
    }

    fn heartbeat(&mut self) -> Heartbeat {
        let reports: Vec<ShardReport> =
            self.setup.reports.iter().map(|report| report.borrow().clone()).collect();
        let mut targets: Vec<_> =
            reports.iter().flat_map(|report| &report.targets).copied().collect();
        if let Some(news) = &*self.setup.tell.borrow() {
            let offline = |target: &_| TargetReport {
                target: *target,
                state: LocalState::Offline,
                chain: Default::default(),
                hindrance: None,
            };
            targets.extend(news.routes.offline.iter().map(offline));
        }
        targets.truncate(TARGETS_MAX);
        let wanted = reports.iter().flat_map(|report| &report.marks_wanted).copied();
        let disks = reports.iter().flat_map(|report| &report.disks);
        let mut disks: Vec<DiskReport> = disks.copied().collect();
        let load = self.load.note(&mut disks);
        Heartbeat {
            node: self.node,
            boot: self.boot,
            targets,
            disks,
            routing: self.picture.version(),
            ended: reports.iter().map(|report| report.ended).min().unwrap_or(Sequence::NONE),
            marks_wanted: wanted.take(MARKS_MAX).collect(),
            load,
        }
    }

    fn on_reply(&mut self, sent: Millis, reply: HeartbeatReply) -> Next {
        let HeartbeatReply { lease_ms, routing, ended, ended_to, marks } = reply;
        let next = match lease_ms {
            _ if routing.more => Next::AtOnce,
            0 => Next::Soon,
            _ => Next::InTime,
        };
        if lease_ms > 0 {
            self.lease = Duration::from_millis(u64::from(lease_ms));
        }
        let changed = self.picture.apply(routing);
        let routes = match &*self.setup.tell.borrow() {
            Some(news) if !changed => Arc::clone(&news.routes),
            _ => Arc::new(self.picture.routes(self.node, &self.setup.homes)),
        };
        let news = News {
            node: self.node,
            boot: self.boot,
            lease_until: sent.after(u64::from(lease_ms)),
            routes,
            ended_before: Arc::clone(&self.ended_before),
            ended: ended.into(),
            ended_to,
            marks: marks.into(),
        };
        self.setup.tell.send_replace(Some(news));
        next
    }
}
