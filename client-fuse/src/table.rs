//! What the kernel has open, by the numbers that it was given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::errno::Errno;

/// Open things of one kind. Numbers are never used again.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Mutex<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Mutex::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Table<T> {
    /// Enters something, and says its number.
    pub(crate) fn insert(&self, entry: T) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.entries().insert(number, Arc::new(entry));
        number
    }

    /// What has this number.
    ///
    /// # Errors
    /// `EBADF` if nothing has.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<T>, Errno> {
        self.entries().get(&number).cloned().ok_or(Errno::BADF)
    }

    /// Takes it out.
    pub(crate) fn remove(&self, number: u64) -> Option<Arc<T>> {
        self.entries().remove(&number)
    }

    /// Takes everything out.
    pub(crate) fn clear(&self) -> Vec<Arc<T>> {
        self.entries().drain().map(|(_, entry)| entry).collect()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Arc<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
