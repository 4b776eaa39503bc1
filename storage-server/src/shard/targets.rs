//! The disks of a shard and the targets on them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_chain_replication::target::{EndedSessions, Input, Target};
use emberfs_daemon::{Held, sync_point};
use emberfs_layout::{
    ByteLen, ChainVersion, ClientId, DiskId, FileSystemId, NodeId, Sequence, TargetId,
};
use emberfs_storage_server_chunk_engine::{self as engine, BadBlocks, ChunkKey, FileEngine, Usage};
use emberfs_wire::cluster::{
    DiskDamage, DiskReport, Growth, LocalState, SessionMark, TargetReport,
};
use emberfs_wire::limits::MARKS_MAX;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::driver::{Driver, Surroundings};
use super::meters::DiskMeters;
use super::store::Store;
use crate::disks::FoundDisk;
use crate::news::{News, ShardReport};

/// All targets of a shard.
pub(crate) struct Targets {
    disks: Vec<OpenDisk>,
    /// `None`: the target cannot be read.
    drivers: RefCell<BTreeMap<TargetId, Option<Rc<Driver>>>>,
    /// The version of its chain that each was told.
    told: RefCell<BTreeMap<TargetId, ChainVersion>>,
    /// Up to where the list of ended sessions was applied.
    ended: Cell<Sequence>,
    /// All that have ended, for targets that begin later; `None` before anything was heard.
    gone: RefCell<Option<EndedSessions>>,
}

/// A disk at work.
struct OpenDisk {
    id: DiskId,
    engine: FileEngine,
    /// Its lock, and whose it is.
    held: RefCell<Held>,
    /// Where it is, if the system says it.
    file_system: Option<FileSystemId>,
    meters: DiskMeters,
}

impl OpenDisk {
    fn report(&self) -> DiskReport {
        let (usage, damage) = (self.engine.usage(), self.engine.bad_blocks());
        self.meters.note(usage, self.engine.sizes(), damage.as_ref());
        let Usage { capacity, used, growth, room } = usage;
        let growth = |file_system| Growth { file_system, counted: growth, room };
        let damaged = |BadBlocks { chunks, key: ChunkKey { target, chunk }, corrupt }| {
            let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
            DiskDamage { chunks, target, chunk, at: corrupt.start }
        };
        DiskReport {
            disk: self.id,
            capacity,
            used,
            growth: self.file_system.map(growth),
            damage: damage.map(damaged),
            load: None,
        }
    }
}

impl Targets {
    /// Opens the engines of `found`; a disk that fails is left out, said in the log.
    pub(crate) async fn open(found: Vec<FoundDisk>, mib_max: Option<u64>, pool: &Pool) -> Self {
        let mut disks = Vec::new();
        let syncs = engine::Syncs::without_named(sync_point::skipped().as_deref());
        for FoundDisk { id, held } in found {
            let capacity = mib_max.map(|mib| ByteLen(mib << 20));
            let options = engine::Options {
                capacity,
                syncs,
                name: id.to_string(),
                ..engine::Options::new(pool.clone())
            };
            match engine::open_directory(held.directory(), options).await {
                Ok(engine) => {
                    let file_system = held.lock_id().map(|lock| lock.file_system);
                    let (held, meters) = (RefCell::new(held), DiskMeters::of(id));
                    disks.push(OpenDisk { id, engine, held, file_system, meters });
                }
                Err(error) => {
                    let directory = held.directory().display();
                    tracing::error!(disk = %id, %directory, %error, "disk left out");
                }
            }
        }
        Self {
            disks,
            drivers: RefCell::default(),
            told: RefCell::default(),
            ended: Cell::new(Sequence::NONE),
            gone: RefCell::default(),
        }
    }

    /// The disks that are open.
    pub(crate) fn disks(&self) -> Vec<DiskId> {
        self.disks.iter().map(|disk| disk.id).collect()
    }

    pub(crate) fn driver(&self, target: TargetId) -> Option<Rc<Driver>> {
        self.drivers.borrow().get(&target).cloned().flatten()
    }

    pub(crate) fn each(&self, work: impl Fn(&Rc<Driver>)) {
        let drivers: Vec<_> = self.drivers.borrow().values().flatten().cloned().collect();
        drivers.iter().for_each(work);
    }

    /// Goes by what the heartbeat thread says: begins targets that are new, and passes on chains, ended
    /// sessions, marks and the lease, in this order, so that no lease is used with an older chain.
    pub(crate) async fn follow(&self, news: &News, around: &Surroundings) {
        around.peers.follow(news);
        {
            let mut gone = self.gone.borrow_mut();
            let gone = gone.get_or_insert_with(|| news.ended_before.as_ref().clone());
            news.ended.iter().for_each(|client| gone.add(*client));
        }
        for disk in &self.disks {
            let targets = news.routes.disks.get(&disk.id).map_or(&[][..], Vec::as_slice);
            for target in targets {
                if !self.drivers.borrow().contains_key(target) {
                    let driver = self.begin(disk, *target, news.node, around).await;
                    self.drivers.borrow_mut().insert(*target, driver);
                }
            }
        }
        for (target, chain) in &news.routes.chains {
            let Some(driver) = self.driver(*target) else { continue };
            let told = self.told.borrow_mut().insert(*target, chain.version);
            if told != Some(chain.version) {
                driver.feed(Input::Chain(chain.as_ref().clone()));
            }
        }
        let (ended, marks): (Vec<ClientId>, Vec<SessionMark>) =
            (news.ended.to_vec(), news.marks.to_vec());
        self.ended.set(self.ended.get().max(news.ended_to));
        self.each(|driver| {
            if !ended.is_empty() {
                driver.feed(Input::Ended(ended.clone()));
            }
            if !marks.is_empty() {
                driver.feed(Input::Marks(marks.clone()));
            }
            driver.feed(Input::Lease { until: news.lease_until });
        });
    }

    /// Reports how all stands. A target that stands differently is urgent.
    pub(crate) fn tell(&self, report: &watch::Sender<ShardReport>, urgent: &Arc<Notify>) {
        let drivers = self.drivers.borrow();
        let targets = drivers.iter().map(|(target, driver)| match driver {
            Some(driver) => driver.report(),
            None => {
                let (target, chain) = (*target, ChainVersion::NONE);
                TargetReport { target, state: LocalState::Offline, chain, hindrance: None }
            }
        });
        let disks = self.disks.iter().map(OpenDisk::report);
        let (targets, disks) = (targets.collect(), disks.collect());
        let marks_wanted = drivers.values().flatten().flat_map(|driver| driver.marks_wanted());
        let marks_wanted = marks_wanted.take(MARKS_MAX).collect();
        let now = ShardReport { targets, disks, ended: self.ended.get(), marks_wanted };
        let mut differs = false;
        report.send_if_modified(|before| {
            differs = before.targets != now.targets;
            let changed = *before != now;
            *before = now;
            changed
        });
        if differs {
            urgent.notify_one();
        }
    }

    /// Lets the disks write what nobody waits for.
    pub(crate) fn settle_idle(&self) {
        self.disks.iter().for_each(|disk| disk.engine.settle_idle());
    }

    /// Stops every disk in order, all at once, for a clean end: all is durable then, and nothing goes on. Whoever drops
    /// the engine of one that takes longer waits for it.
    pub(crate) async fn close(&self, time: Duration) {
        let close = |disk: &OpenDisk| spawn_local(timeout(time, disk.engine.clone().close()));
        let closing: Vec<_> = self.disks.iter().map(|disk| (disk.id, close(disk))).collect();
        for (disk, closed) in closing {
            match closed.await.expect("nobody aborts it") {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%disk, %error, "a disk could not be flushed at the end");
                }
                Err(_) => tracing::error!(%disk, "a disk is still at work at the end"),
            }
        }
    }

    /// A target of `disk`, once that was admitted to `node`; `None`, said in the log, if it cannot be used.
    async fn begin(
        &self,
        disk: &OpenDisk,
        target: TargetId,
        node: NodeId,
        around: &Surroundings,
    ) -> Option<Rc<Driver>> {
        if let Err(error) = disk.held.borrow_mut().bind(node) {
            tracing::error!(disk = %disk.id, target_id = %target, %error, "target left out");
            return None;
        }
        let store = Store::new(disk.engine.clone(), target);
        let ended = self.gone.borrow().clone().unwrap_or_default();
        match store.load(ended).await {
            Ok(loaded) => {
                let (tags, pending) = (loaded.tags.len(), loaded.pending.len());
                tracing::info!(disk = %disk.id, target_id = %target, tags, pending, "target begins");
                Some(Driver::new(store, Target::new(target, loaded), around.clone()))
            }
            Err(error) => {
                tracing::error!(disk = %disk.id, target_id = %target, %error, "target left out");
                None
            }
        }
    }
}
