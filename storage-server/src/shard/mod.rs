//! A shard: one thread that owns some of the server's disks whole, with all that lives on them.
//!
//! ```text
//!   listener ── connections ──►┐                         ┌─► driver (target) ─► engine (disk)
//!   other shards ── requests ─►├─ inbox ─► run() ─ tasks ┤
//!   heartbeat ── News ────────►┘                         └─► peers (links to other servers)
//!   heartbeat ◄── ShardReport
//! ```
//!
//! Everything below runs on the shard's thread, as local tasks; nothing of it is shared or locked. What
//! comes in from other threads comes by the bounded inbox, or, for news, by a slot that holds the latest.

pub(crate) mod busy;
pub(crate) mod driver;
mod forwarding;
mod meters;
mod peers;
mod store;
mod targets;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_chain_replication::target::{Input, Reply, TICK_MS};
use emberfs_layout::{ByteLen, ChainVersion, DiskId, TargetId};
use emberfs_transport::{Answer, Closed, HandshakeError, Pending};
use emberfs_wire::chunk::{ChunkRead, Replica};
use emberfs_wire::handshake::{Role, ShardIndex, Welcome};
use emberfs_wire::{Method, WireError};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::clock::Clock;
use crate::config::Config;
use crate::disks::FoundDisk;
use crate::news::{News, Routes, ShardReport};
use crate::service::handler::{ShardHandler, answer, stopped};
use busy::{Busy, OneMore};
use driver::{Driver, Surroundings};
use meters::PoolMeters;
use peers::Peers;
use targets::Targets;

/// Connections and requests of other shards that wait for a shard's loop (a count): what comes in one
/// turn of a busy one. Behind that the senders wait.
pub(crate) const INBOX: usize = 1024;
/// How long a clean stop waits for what is under way: longer than any disk and any healthy chain takes.
/// What is cut off then was not acknowledged.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long the disks may take to close, all at once, when nobody asks them for anything any more: far longer than the
/// syncs of a slow one.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(10);
/// How long commits may wait for a batch to ride with: what they free is seen within this, and a steady
/// trickle of writes costs few syncs more.
const SETTLE: Duration = Duration::from_millis(500);

/// What a shard is given.
pub(crate) struct Setup {
    pub(crate) index: ShardIndex,
    pub(crate) config: Arc<Config>,
    pub(crate) memory: ByteLen,
    pub(crate) disks: Vec<FoundDisk>,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::Receiver<ShardCommand>,
    /// All shards' inboxes, by index.
    pub(crate) others: Vec<mpsc::Sender<ShardCommand>>,
    pub(crate) news: watch::Receiver<Option<News>>,
    pub(crate) report: watch::Sender<ShardReport>,
    pub(crate) urgent: Arc<Notify>,
}

/// Said once, when a shard's disks are open.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Those that are.
    pub(crate) disks: Vec<DiskId>,
    /// How many are not; the log says why.
    pub(crate) left_out: usize,
}

/// What comes into a shard's inbox.
pub(crate) enum ShardCommand {
    /// A peer that is to live here.
    Connection(Box<NewConnection>),
    /// A request that came in on another shard.
    Call {
        /// The request.
        call: RawCall,
        /// Where its answer goes.
        answer: oneshot::Sender<Answer>,
    },
}

/// A peer that was judged, and waits for its Welcome.
pub(crate) struct NewConnection {
    pub(crate) pending: Pending<std::net::TcpStream>,
    pub(crate) welcome: Welcome,
    /// Its place among all connections.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct RawCall {
    pub(crate) method: Method,
    pub(crate) message: Bytes,
    pub(crate) payload: Bytes,
}

/// What the tasks of a shard share.
pub(crate) struct Shard {
    index: ShardIndex,
    others: Vec<mpsc::Sender<ShardCommand>>,
    /// The routing that the shard goes by.
    routes: RefCell<Arc<Routes>>,
    targets: Targets,
    landings: Landings,
    pools: [PoolMeters; 3],
    around: Surroundings,
    stopping: Cell<bool>,
}

/// Where what peers send lands, apart from the memory that the engines need to get rid of it.
///
/// What clients send waits for the rest of the chain, and must not take the room in which other servers'
/// chains move: two servers, each full of writes that wait for the other, would wait for ever.
struct Landings {
    clients: Pool,
    replicas: Pool,
}

impl Landings {
    /// A quarter of `memory` each; the other half is for the engines.
    fn divide(memory: ByteLen) -> (Self, Pool) {
        let part = |parts| Pool::new(ByteLen(memory.get() / parts));
        (Self { clients: part(4), replicas: part(4) }, part(2))
    }
}

/// Owns its disks until it is told to stop, then finishes what is under way and makes all durable. Dropping what is
/// left then waits for what the disks still do, maybe for ever.
pub(crate) async fn run(
    mut setup: Setup,
    opened: std::sync::mpsc::Sender<Opened>,
    mut stop: oneshot::Receiver<()>,
) {
    let (shard, said) = Shard::open(&mut setup).await;
    let Setup { mut inbox, mut news, report, urgent, .. } = setup;
    // Before the first heartbeat: a disk that is not in it is not there.
    shard.targets.tell(&report, &urgent);
    let _starter = opened.send(said);
    let shard = Rc::new(shard);
    let mut connections = JoinSet::new();
    let mut tick = interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settle = interval(SETTLE);
    settle.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cut_off = Instant::now();
    loop {
        let stopping = shard.stopping.get();
        tokio::select! {
            Some(command) = inbox.recv() => shard.on_command(command, &mut connections),
            Ok(()) = news.changed() => {
                let latest = news.borrow_and_update().clone();
                if let Some(latest) = latest {
                    shard.targets.follow(&latest, &shard.around).await;
                    shard.routes.replace(latest.routes);
                    shard.targets.tell(&report, &urgent);
                }
            }
            _ = tick.tick() => {
                shard.targets.each(|driver| driver.feed(Input::Tick));
                shard.targets.tell(&report, &urgent);
            }
            _ = settle.tick() => {
                shard.targets.settle_idle();
                shard.pools.iter().for_each(PoolMeters::note);
            }
            Some(_) = connections.join_next() => {}
            _ = &mut stop, if !stopping => {
                shard.stopping.set(true);
                cut_off = Instant::now() + DRAIN_MAX;
            }
            () = shard.around.busy.none(), if stopping => break,
            () = sleep_until(cut_off), if stopping => {
                tracing::warn!(shard = shard.index.0, "requests are cut off by the stop");
                break;
            }
        }
    }
    shard.targets.close(CLOSE_MAX).await;
}

impl Shard {
    /// Opens the disks.
    async fn open(setup: &mut Setup) -> (Self, Opened) {
        let (landings, pool) = Landings::divide(setup.memory);
        let disks = std::mem::take(&mut setup.disks);
        let found = disks.len();
        let targets = Targets::open(disks, setup.config.disk_mib_max, &pool).await;
        let disks = targets.disks();
        let opened = Opened { left_out: found - disks.len(), disks };
        let peers = Rc::new(Peers::new(setup.config.cluster, landings.replicas.clone()));
        let pools =
            [("clients", &landings.clients), ("replicas", &landings.replicas), ("disks", &pool)];
        let pools = pools.map(|(name, pool)| PoolMeters::of(setup.index, name, pool));
        let around = Surroundings { clock: setup.clock, peers, pool, busy: Busy::default() };
        let shard = Self {
            index: setup.index,
            others: setup.others.clone(),
            routes: RefCell::default(),
            targets,
            landings,
            pools,
            around,
            stopping: Cell::new(false),
        };
        (shard, opened)
    }

    /// Which shard this is.
    pub(crate) fn index(&self) -> ShardIndex {
        self.index
    }

    /// Where payloads that must be joined go.
    pub(crate) fn pool(&self) -> &Pool {
        &self.around.pool
    }

    /// One request more is under way, unless the server stops.
    pub(crate) fn begin(&self) -> Result<OneMore, WireError> {
        if self.stopping.get() { Err(stopped()) } else { Ok(self.around.busy.one_more()) }
    }

    /// The shard that owns `target`; this one, where the request will be refused, if nobody does.
    pub(crate) fn home(&self, target: TargetId) -> ShardIndex {
        self.routes.borrow().homes.get(&target).copied().unwrap_or(self.index)
    }

    /// The target of this shard that a request is for.
    pub(crate) fn driver(&self, replica: &Replica) -> Result<Rc<Driver>, WireError> {
        // A server that does not know the target has yet to hear of it, or the asker of its end.
        self.targets.driver(replica.target).ok_or(WireError::RefreshRouting {
            chain: replica.chain,
            asked: replica.version,
            known: ChainVersion::NONE,
        })
    }

    /// Begins one read of a batch, now.
    pub(crate) fn begin_read(
        &self,
        read: ChunkRead,
    ) -> impl Future<Output = Result<Reply, WireError>> + use<> {
        let begun = self.driver(&read.replica);
        let begun = begun.map(|driver| driver.ask(|id| Input::Read { id, read }));
        async move { begun?.await.map_err(|_| stopped())? }
    }

    /// Passes a request on to the shard that it is for, and waits for the answer.
    pub(crate) async fn cross(&self, to: ShardIndex, call: RawCall) -> Answer {
        self.post(to, call).await?.await.map_err(|_| stopped())?
    }

    /// Passes a request on; the answer comes whenever it does.
    pub(crate) async fn post(
        &self,
        to: ShardIndex,
        call: RawCall,
    ) -> Result<oneshot::Receiver<Answer>, WireError> {
        let (tell, answer) = oneshot::channel();
        let inbox = &self.others[usize::from(to.0)];
        let sent = inbox.send(ShardCommand::Call { call, answer: tell }).await;
        sent.map(|()| answer).map_err(|_| stopped())
    }

    fn on_command(self: &Rc<Self>, command: ShardCommand, connections: &mut JoinSet<()>) {
        let shard = Rc::clone(self);
        match command {
            ShardCommand::Connection(new) => {
                connections.spawn_local(async move {
                    if let Err(error) = shard.serve(*new).await {
                        tracing::debug!(%error, "a connection did not come to stand");
                    }
                });
            }
            ShardCommand::Call { call, answer: tell } => {
                // A request that nobody waits for any more goes on: it may be under way.
                spawn_local(async move {
                    let _gone = tell.send(answer(&shard, call).await);
                });
            }
        }
    }

    async fn serve(self: Rc<Self>, new: NewConnection) -> Result<(), HandshakeError> {
        let NewConnection { pending, welcome, permit } = new;
        let role = pending.hello().identity.role;
        let pending = pending.map_stream(TcpStream::from_std).map_err(Closed::from)?;
        let landing = match role {
            Role::Storage => &self.landings.replicas,
            Role::Client | Role::Meta => &self.landings.clients,
        };
        let connection = pending.welcome(welcome, landing).await?;
        let ended = connection.run(ShardHandler::new(Rc::clone(&self), role)).await;
        tracing::debug!(%ended, ?role, "a connection ended");
        drop(permit);
        Ok(())
    }
}
