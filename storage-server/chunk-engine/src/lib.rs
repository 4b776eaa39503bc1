//! The chunk store of one disk: extent maps over direct I/O, records in a key-value store, crash-consistent.
//!
//! It knows chunks, versions, blocks and checksums. It knows no message, chain, lease or other replica, and
//! of the directory that it is given it knows two names.
//!
//! ```text
//!   DIRECTORY/blocks      the data file: blocks of 4, 16 or 64 KiB and nothing else    Disk
//!   DIRECTORY/records/    RocksDB: heads, pending versions, pieces of maps             Records
//!
//!   put ──► draft ──► new blocks written ──► one record in a synced batch ──► pending
//!   commit: in memory at once; head and pieces of the map ride with a later batch
//!   read ──► map (index, cache, records) ──► blocks ──► sums compared ──► Payload
//! ```
//!
//! * [`engine`]: the store itself, on two traits. [`disk`]: the data file. [`records`]: the key-value store.
//! * [`model`]: both in memory, losing on a crash what was not synced.
//! * `format.rs`: the records byte by byte. `map.rs`: which block lies where. `allocator.rs`, `readers.rs`:
//!   which blocks are free, and when one may be used again. `index.rs`, `pieces.rs`: what is in memory.
//! * `meters.rs`: what is counted, by disk. What is told of sizes is [`Sizes`].
//! * [`sync_point`]: every sync, in one table.
//!
//! `unsafe` stands in `disk/ring.rs` alone.
#![deny(unsafe_code)]

use std::fs::File;
use std::path::Path;

mod allocator;
pub mod disk;
pub mod engine;
pub mod error;
mod format;
mod index;
mod map;
mod meters;
pub mod model;
mod pieces;
mod readers;
pub mod records;
pub mod sync_point;
pub mod types;

#[cfg(test)]
mod tests;

pub use disk::FileDisk;
pub use engine::{Engine, Options};
pub use error::{Damage, EngineError};
pub use records::RocksRecords;
pub use sync_point::{SyncPoint, Syncs};
pub use types::{
    AppliedTag, BadBlocks, Change, ChunkKey, ChunkState, Installed, NewVersion, PutResult,
    ReadResult, Sizes, TaggedChange, Usage, VersionState, Which,
};

use disk::{Disk, DiskAction, DiskError, DiskOffset};
use emberfs_layout::ByteLen;

/// The engine on a real disk.
pub type FileEngine = Engine<FileDisk, RocksRecords>;

/// Opens the chunk store in a directory, which must be there; an empty one becomes a new store. Within a
/// `LocalSet` of a runtime with I/O enabled; blocks the thread while RocksDB opens.
///
/// # Errors
/// When the disk or the records cannot be opened, or are not what an engine left.
pub async fn open_directory(directory: &Path, options: Options) -> Result<FileEngine, EngineError> {
    let disk = FileDisk::open(&directory.join("blocks"))?;
    let size = ByteLen(disk.len().get().saturating_add(disk.room()?.get()));
    let records = RocksRecords::open(&directory.join("records"), size)?;
    if options.syncs.issues(SyncPoint::Directory) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| DiskError::io(DiskAction::Sync, DiskOffset(0), &error))?;
    }
    Engine::open(disk, records, options).await
}
