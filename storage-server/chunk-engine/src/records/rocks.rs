//! Records in RocksDB.
//!
//! Calls are blocking jobs on the runtime's pool of threads. A batch is written to the log, which is
//! synced where the batch is durable; log files are recycled, which spares the file system's own records
//! in each sync. With recycled logs only point-in-time recovery is to be had: what follows a damaged
//! place of the log is dropped. Its block checksums find damage elsewhere.

use std::path::Path;
use std::sync::Arc;

use emberfs_layout::ByteLen;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode,
    Options, WriteBatch, WriteOptions,
};

use super::{Key, RecordChange, Records, RecordsError, Value};

/// Log files kept to be written over: as many as memtables may wait to be written out.
const RECYCLED_LOGS: usize = 4;
/// Memory of one memtable, in bytes: the log that is read at a start is a few times as long. On the disk logs
/// and fresh tables take up to some 16 times as much.
const MEMTABLE: u64 = 32 << 20;
/// The smallest memtable, in bytes.
const MEMTABLE_MIN: u64 = 1 << 20;
/// A small disk's memtable is this part of it: what goes with it must fit what is kept for the records.
const MEMTABLE_SHARE: u64 = 256;
/// Memory for blocks that were read, in bytes; pieces of maps have a cache of their own above it.
const BLOCK_CACHE: usize = 32 << 20;
/// Table files that are open at one time.
const OPEN_FILES: i32 = 256;
/// Its own log files, which nobody reads unless something is wrong.
const INFO_LOGS: usize = 2;

/// Records in a directory.
pub struct RocksRecords {
    db: Arc<DB>,
}

impl std::fmt::Debug for RocksRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksRecords").field("path", &self.db.path()).finish()
    }
}

impl RocksRecords {
    /// Opens the records, or makes them, on a disk of this size. The caller syncs the directory that holds
    /// `path`.
    ///
    /// # Errors
    /// When RocksDB cannot open them: another process has them open, or they are damaged.
    pub fn open(path: &Path, disk: ByteLen) -> Result<Self, RecordsError> {
        let memtable = (disk.get() / MEMTABLE_SHARE).clamp(MEMTABLE_MIN, MEMTABLE);
        let db = DB::open(&options(memtable), path).map_err(store)?;
        Ok(Self { db: Arc::new(db) })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&DB) -> Result<T, rocksdb::Error> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let db = Arc::clone(&self.db);
        let done = tokio::task::spawn_blocking(move || job(&db)).await;
        done.map_err(|_| RecordsError::Stopped)?.map_err(store)
    }
}

fn options(memtable: u64) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE));
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_recycle_log_file_num(RECYCLED_LOGS);
    options.set_write_buffer_size(usize::try_from(memtable).expect("at most 32 MiB"));
    options.set_max_open_files(OPEN_FILES);
    options.set_keep_log_file_num(INFO_LOGS);
    options
}

fn store(error: rocksdb::Error) -> RecordsError {
    RecordsError::Store { message: error.into_string() }
}

impl Records for RocksRecords {
    async fn get(&self, key: Key) -> Result<Option<Value>, RecordsError> {
        self.run(move |db| db.get(key)).await
    }

    async fn scan(&self, after: Key, limit: usize) -> Result<Vec<(Key, Value)>, RecordsError> {
        self.run(move |db| {
            let found = db.iterator(IteratorMode::From(&after, Direction::Forward));
            let later = found.filter(|found| !matches!(found, Ok((key, _)) if **key == after[..]));
            later
                .take(limit)
                .map(|found| found.map(|(key, value)| (key.into_vec(), value.into_vec())))
                .collect()
        })
        .await
    }

    async fn apply(&self, changes: Vec<RecordChange>, durable: bool) -> Result<(), RecordsError> {
        self.run(move |db| {
            let mut batch = WriteBatch::default();
            for change in &changes {
                match change {
                    RecordChange::Put(key, value) => batch.put(key, value),
                    RecordChange::Delete(key) => batch.delete(key),
                }
            }
            let mut how = WriteOptions::default();
            how.set_sync(durable);
            db.write_opt(batch, &how)
        })
        .await
    }
}
