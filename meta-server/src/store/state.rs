//! The applied state on disk, as a [`View`] for the operations; what they change is gathered above it and
//! committed at once.
//!
//! One RocksDB without WAL: what a crash loses of it is applied again from the log. Operations' records
//! stand where they put them (their keys begin with a letter); the store's own are `\0format` and
//! `\0applied`. All is one column family, and a batch holds the applied position beside the changes, so
//! whatever part of the memory reached the tables, position and changes agree.
//!
//! Reads take a snapshot; the one who applies sees it as it is.

use std::path::Path;

use emberfs_meta_server_consensus::{Index, MemberId, Position};
use emberfs_meta_server_state::transaction::Pair;
use emberfs_meta_server_state::{Changes, StoreError, View};
use emberfs_wire::meta::Time;
use minicbor::{Decode, Encode};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBIterator, Direction, IteratorMode, Options,
    ReadOptions, ReadTier, Snapshot, WriteBatch, WriteOptions,
};

use super::error::{OpenError, WriteError, failed};
use super::format::{self, FORMAT_KEY, FormatRecord};
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
    db: DB,
    syncs: Syncs,
}

impl StateStore {
    pub(super) fn open(dir: &Path, member: MemberId, syncs: &Syncs) -> Result<Self, OpenError> {
        let path = dir.join("state");
        let rocks = |error| format::rocks(&path, &error);
        let db = DB::open(&db_options(), &path).map_err(rocks)?;
        let store = Self { db, syncs: syncs.clone() };
        if !format::check(&store.db, &path, member)? {
            let record = format::encode(&FormatRecord::new(member));
            store.db.put_opt(FORMAT_KEY, record, &unlogged()).map_err(rocks)?;
        }
        Ok(store)
    }

    /// What it has taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn applied(&self) -> Result<Applied, StoreError> {
        self.applied_in(ReadTier::All)
    }

    fn applied_in(&self, tier: ReadTier) -> Result<Applied, StoreError> {
        let mut options = ReadOptions::default();
        options.set_read_tier(tier);
        let bytes = self.db.get_opt(APPLIED_KEY, &options).map_err(|error| failed(&error))?;
        let applied = bytes.map(|bytes| minicbor::decode(&bytes)).transpose();
        let damaged = |error: minicbor::decode::Error| StoreError::Damaged {
            what: "applied position",
            key: APPLIED_KEY.to_vec(),
            text: error.to_string(),
        };
        applied.map(Option::unwrap_or_default).map_err(damaged)
    }

    /// A consistent picture of what is applied.
    #[must_use]
    pub fn view(&self) -> StateView<'_> {
        StateView { snapshot: self.db.snapshot() }
    }

    /// All changes take effect together with the position that they lead to. One caller at a time.
    ///
    /// # Errors
    /// [`WriteError`]; the member must stop then.
    pub fn commit(&self, changes: Changes, applied: Applied) -> Result<(), WriteError> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes.0 {
            assert!(key.as_slice() >= FIRST_KEY, "keys below are the store's own");
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch.put(APPLIED_KEY, format::encode(&applied));
        let rocks = |source| WriteError::Rocks { what: "state", source };
        self.db.write_opt(batch, &unlogged()).map_err(rocks)
    }

    /// Makes all that is applied durable, in the caller's thread while others go on; says what is
    /// durable then.
    ///
    /// # Errors
    /// [`WriteError`], or the position cannot be read.
    pub fn flush(&self) -> Result<Index, FlushError> {
        if !self.syncs.issues(SyncPoint::State) {
            return Ok(self.applied()?.position.index);
        }
        let rocks = |source| WriteError::Rocks { what: "state", source };
        self.db.flush().map_err(rocks)?;
        // Asked of the tables alone: the memory may hold more by now.
        Ok(self.applied_in(ReadTier::Persisted)?.position.index)
    }
}

/// The state could not be made durable.
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
        self.db.get(key).map_err(|error| failed(&error))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        scan(from, to, limit, |mode, options| self.db.iterator_opt(mode, options))
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
