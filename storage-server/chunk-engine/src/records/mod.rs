//! The records of one disk: a key-value store with ordered scans and synced batches.
//!
//! [`Records`] is the trait that the engine works on. What it promises, and `model::ModelRecords` takes
//! to the letter:
//!
//! * A batch is applied as a whole or not at all, also by a loss of power.
//! * A durable batch that has returned is there after a loss of power, and so is every batch that had
//!   returned before it began. Of the batches after that, some of the last may be lost.
//! * A get or a scan sees every batch that had returned before it began.
//!
//! [`RocksRecords`] is the real one.

use std::future::Future;

use thiserror::Error;

mod rocks;

pub use rocks::RocksRecords;

/// A key: compared byte by byte.
pub type Key = Vec<u8>;
/// A value.
pub type Value = Vec<u8>;

/// One change of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// Sets a value.
    Put(Key, Value),
    /// Removes a key, if it is there.
    Delete(Key),
}

/// Why the records failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordsError {
    /// The store failed.
    #[error("the records failed: {message}")]
    Store {
        /// Its own words.
        message: String,
    },
    /// The runtime that carries the operation out is shutting down.
    #[error("the records were given up: the process is stopping")]
    Stopped,
}

/// Key-value records of one disk.
pub trait Records: 'static {
    /// The value of a key.
    fn get(&self, key: Key) -> impl Future<Output = Result<Option<Value>, RecordsError>>;

    /// Up to `limit` records in the order of their keys, those after `after`.
    fn scan(
        &self,
        after: Key,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(Key, Value)>, RecordsError>>;

    /// Applies all these changes in order, as one; durably if so asked. One call at a time: the next
    /// begins when the last has returned.
    fn apply(
        &self,
        changes: Vec<RecordChange>,
        durable: bool,
    ) -> impl Future<Output = Result<(), RecordsError>>;
}
