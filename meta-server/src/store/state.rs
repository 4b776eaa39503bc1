//! The applied state on disk, as a [`View`] for the operations; what they change is gathered above it and
//! committed at once.
//!
//! One RocksDB without WAL: what a crash loses of it is applied again from the log. Operations' records
//! stand where they put them (their keys begin with a letter); the store's own are `\0format` and
//! `\0applied`. All is one column family, and a batch holds the applied position beside the changes, so
//! whatever part of the memory reached the tables, position and changes agree.
//!
//! Reads take a snapshot; the one who applies sees it as it is. A state that comes from another member takes the
//! place of this one as a whole ([`StateStore::install`]): that waits for whoever reads, and who comes
//! meanwhile waits for it. It waits for a flush first, which takes long: nobody waits for that beside.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use emberfs_meta_server_consensus::{Index, Position, SnapshotId};
use emberfs_meta_server_state::transaction::Pair;
use emberfs_meta_server_state::{Changes, StoreError, View};
use emberfs_wire::group::SnapshotFile;
use emberfs_wire::meta::Time;
use minicbor::{Decode, Encode};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBIterator, Direction, IteratorMode, Options,
    ReadOptions, ReadTier, Snapshot, WriteBatch, WriteOptions,
};

use super::checkpoint::{self, Checkpoint};
use super::error::{OpenError, WriteError, failed};
use super::format::{self, FORMAT_KEY, FormatRecord, Whose};
use super::incoming::Received;
use super::install::{self, Replaced, STATE};
use super::sync_point::{SyncPoint, Syncs};

const APPLIED_KEY: &[u8] = b"\0applied";

/// Keys below are the store's own; those of operations begin with a letter.
const FIRST_KEY: &[u8] = b"\x01";

/// Size of a memtable; a full one is written to tables in the background.
const MEMTABLE_BYTES: usize = 64 << 20;
/// Cache of table blocks: inodes and entries of some hundred thousand files in use.
const CACHE_BYTES: usize = 256 << 20;
/// Bits of the Bloom filter for each key: one needless read in a hundred lookups of what is not there.
const BLOOM_BITS: f64 = 10.0;
/// Threads that flush and compact.
const BACKGROUND_JOBS: i32 = 2;
/// RocksDB's own log files that are kept.
const REPORT_FILES: usize = 4;

/// What the state has taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Applied {
    /// The last entry.
    #[n(0)]
    pub position: Position,
    /// The latest time in any command up to there.
    #[n(1)]
    pub time: Time,
}

/// The open state.
#[derive(Debug)]
pub struct StateStore {
    /// The member's directory.
    dir: PathBuf,
    whose: Whose,
    /// Taken out while another takes its place, and for good when that failed or at the end.
    db: RwLock<Option<DB>>,
    /// Held by whoever is long at work on the database, before it is read: so that whoever waits to replace it waits
    /// here, and not before those who read.
    long: Mutex<()>,
    syncs: Syncs,
}

/// The database, while nobody can replace it.
struct Held<'a>(RwLockReadGuard<'a, Option<DB>>);

impl Held<'_> {
    fn db(&self) -> Result<&DB, StoreError> {
        let text = || "the state is closed".to_owned();
        self.0.as_ref().ok_or_else(|| StoreError::Failed { text: text() })
    }

    fn applied(&self, tier: ReadTier) -> Result<Applied, StoreError> {
        applied_in(self.db()?, tier)
    }
}

impl StateStore {
    pub(super) fn open(dir: &Path, whose: Whose, syncs: &Syncs) -> Result<Self, OpenError> {
        let db = open_db(&dir.join(STATE), whose)?;
        let (db, long) = (RwLock::new(Some(db)), Mutex::default());
        Ok(Self { dir: dir.to_owned(), whose, db, long, syncs: syncs.clone() })
    }

    fn long_work(&self) -> MutexGuard<'_, ()> {
        // There is nothing under it that a panic could leave half done.
        self.long.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Held<'_> {
        // A reader that panics changes nothing; an install that panics has taken the database out.
        Held(self.db.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets go of the directory, when whoever reads is done: who comes later is refused.
    pub fn close(&self) {
        drop(self.db.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What it has taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn applied(&self) -> Result<Applied, StoreError> {
        self.held().applied(ReadTier::All)
    }

    /// Asks a consistent picture of what is applied. `ask` must not come back to this store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read<R>(
        &self,
        ask: impl FnOnce(&StateView<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let held = self.held();
        ask(&StateView { snapshot: held.db()?.snapshot() })
    }

    /// All changes take effect together with the position that they lead to. One caller at a time.
    ///
    /// # Errors
    /// [`FlushError`]; the member must stop then.
    pub fn commit(&self, changes: Changes, applied: Applied) -> Result<(), FlushError> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes.0 {
            assert!(key.as_slice() >= FIRST_KEY, "keys below are the store's own");
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch.put(APPLIED_KEY, format::encode(&applied));
        Ok(self.held().db()?.write_opt(batch, &unlogged()).map_err(rocks)?)
    }

    /// Makes all that is applied durable, in the caller's thread while others go on; says what is
    /// durable then.
    ///
    /// # Errors
    /// [`WriteError`], or the position cannot be read.
    pub fn flush(&self) -> Result<Index, FlushError> {
        let _long = self.long_work();
        let held = self.held();
        if !self.syncs.issues(SyncPoint::State) {
            return Ok(held.applied(ReadTier::All)?.position.index);
        }
        held.db()?.flush().map_err(rocks)?;
        // Asked of the tables alone: the memory may hold more by now.
        Ok(held.applied(ReadTier::Persisted)?.position.index)
    }

    /// Sets the state aside as it is now, under this number.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left of it then.
    pub fn checkpoint(&self, id: SnapshotId) -> Result<Checkpoint, OpenError> {
        let folder = checkpoint::folder(&self.dir, id);
        install::remove(&folder)?;
        let made = self.set_aside(&folder);
        if made.is_err() {
            install::remove(&folder)?;
        }
        let (position, files) = made?;
        Ok(Checkpoint::new(id, position, folder, files))
    }

    fn set_aside(&self, folder: &Path) -> Result<(Position, Vec<SnapshotFile>), OpenError> {
        let refused = |error: rocksdb::Error| format::rocks(folder, &error);
        let _long = self.long_work();
        let held = self.held();
        let db = held.db().map_err(damaged(folder))?;
        let maker = rocksdb::checkpoint::Checkpoint::new(db).map_err(refused)?;
        maker.create_checkpoint(folder).map_err(refused)?;
        let files = checkpoint::files(folder)?;
        let made = DB::open_for_read_only(&db_options(), folder, false).map_err(refused)?;
        let applied = applied_in(&made, ReadTier::All).map_err(damaged(folder))?;
        Ok((applied.position, files))
    }

    /// Puts a received state in the place of this one, after the log has said so (`install.rs` has the order);
    /// says what that has taken in, and gives what is left of this one.
    ///
    /// # Errors
    /// [`OpenError`]; the member must stop then.
    pub fn install(&self, received: Received) -> Result<(Applied, Replaced), OpenError> {
        let _long = self.long_work();
        let mut place = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Closed before its folder moves: it removes files by their names then.
        drop(place.take());
        received.folder.moved();
        install::replace(&self.dir, &self.syncs)?;
        let path = self.dir.join(STATE);
        let db = open_db(&path, self.whose)?;
        let applied = applied_in(&db, ReadTier::All).map_err(damaged(&path))?;
        *place = Some(db);
        Ok((applied, Replaced::of(&self.dir)))
    }
}

/// Opens the state in `path`, or makes it.
fn open_db(path: &Path, whose: Whose) -> Result<DB, OpenError> {
    let refused = |error| format::rocks(path, &error);
    let db = DB::open(&db_options(), path).map_err(refused)?;
    if !format::check(&db, path, whose)? {
        let record = format::encode(&FormatRecord::new(whose));
        db.put_opt(FORMAT_KEY, record, &unlogged()).map_err(refused)?;
    }
    Ok(db)
}

/// Makes the state of another member of the group, in `path`, this member's; says what it has taken in.
pub(super) fn adopt(path: &Path, whose: Whose, syncs: &Syncs) -> Result<Applied, OpenError> {
    let refused = |error| format::rocks(path, &error);
    let mut options = db_options();
    options.create_if_missing(false);
    let db = DB::open(&options, path).map_err(refused)?;
    if format::check_group(&db, path, whose.members)?.is_none() {
        let what = "a state without a format record".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), what });
    }
    let record = format::encode(&FormatRecord::new(whose));
    db.put_opt(FORMAT_KEY, record, &unlogged()).map_err(refused)?;
    if syncs.issues(SyncPoint::State) {
        db.flush().map_err(refused)?;
    }
    applied_in(&db, ReadTier::All).map_err(damaged(path))
}

fn applied_in(db: &DB, tier: ReadTier) -> Result<Applied, StoreError> {
    let mut options = ReadOptions::default();
    options.set_read_tier(tier);
    let bytes = db.get_opt(APPLIED_KEY, &options).map_err(|error| failed(&error))?;
    let applied = bytes.map(|bytes| minicbor::decode(&bytes)).transpose();
    let damaged = |error: minicbor::decode::Error| StoreError::Damaged {
        what: "applied position",
        key: APPLIED_KEY.to_vec(),
        text: error.to_string(),
    };
    applied.map(Option::unwrap_or_default).map_err(damaged)
}

fn damaged(path: &Path) -> impl Fn(StoreError) -> OpenError + use<> {
    let path = path.to_owned();
    move |error| OpenError::Damaged { path: path.clone(), what: error.to_string() }
}

fn rocks(source: rocksdb::Error) -> WriteError {
    WriteError::Rocks { what: "state", source }
}

/// The state could not be changed or made durable.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
}

/// As it is now, for the one who applies.
impl View for StateStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.held().db()?.get(key).map_err(|error| failed(&error))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let held = self.held();
        let db = held.db()?;
        scan(from, to, limit, |mode, options| db.iterator_opt(mode, options))
    }
}

/// A consistent picture of the state.
pub struct StateView<'a> {
    snapshot: Snapshot<'a>,
}

impl View for StateView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get(key).map_err(|error| failed(&error))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        scan(from, to, limit, |mode, options| self.snapshot.iterator_opt(mode, options))
    }
}

fn scan<'a>(
    from: &[u8],
    to: &[u8],
    limit: usize,
    iterator: impl FnOnce(IteratorMode<'_>, ReadOptions) -> DBIterator<'a>,
) -> Result<Vec<Pair>, StoreError> {
    let from = from.max(FIRST_KEY);
    if from >= to {
        return Ok(Vec::new());
    }
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(to);
    let pairs = iterator(IteratorMode::From(from, Direction::Forward), options).take(limit);
    let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.into_vec(), value.into_vec())));
    pairs.collect::<Result<_, _>>().map_err(|error| failed(&error))
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn db_options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(BLOOM_BITS, false);
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_keep_log_file_num(REPORT_FILES);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&blocks);
    options
}
