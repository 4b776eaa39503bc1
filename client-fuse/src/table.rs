//! What the kernel has open, by the numbers that it was given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::errno::Errno;
use crate::lock::lock;

/// Open things of one kind. Numbers are never used again.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// `None` once it is closed.
    entries: Mutex<Option<HashMap<u64, Arc<T>>>>,
    next: AtomicU64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Mutex::new(Some(HashMap::new())), next: AtomicU64::new(1) }
    }
}

impl<T> Table<T> {
    /// Enters something, and says its number.
    ///
    /// # Errors
    /// `ENOTCONN` once it is closed.
    pub(crate) fn insert(&self, entry: T) -> Result<u64, Errno> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.entries().as_mut().ok_or(Errno::NOTCONN)?.insert(number, Arc::new(entry));
        Ok(number)
    }

    /// Whether something may be entered.
    ///
    /// # Errors
    /// `ENOTCONN` once it is closed.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        self.entries().as_ref().map(|_| ()).ok_or(Errno::NOTCONN)
    }

    /// What has this number.
    ///
    /// # Errors
    /// `EBADF` if nothing has.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<T>, Errno> {
        let entries = self.entries();
        entries.as_ref().and_then(|entries| entries.get(&number)).cloned().ok_or(Errno::BADF)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries().as_ref().map_or(0, HashMap::len)
    }

    /// Takes it out.
    pub(crate) fn remove(&self, number: u64) -> Option<Arc<T>> {
        self.entries().as_mut()?.remove(&number)
    }

    /// Takes everything out, and lets nothing in any more.
    pub(crate) fn close(&self) -> Vec<Arc<T>> {
        self.entries().take().unwrap_or_default().into_values().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Option<HashMap<u64, Arc<T>>>> {
        lock(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What asked whether it may before the table was closed, and comes after.
    #[test]
    fn nothing_comes_in_once_it_is_closed() {
        let table = Table::default();
        let first = table.insert("first").expect("it is open");
        assert_eq!((table.check(), table.get(first).as_deref()), (Ok(()), Ok(&"first")));
        assert_eq!(table.close().len(), 1);
        assert_eq!(table.insert("late"), Err(Errno::NOTCONN));
        assert_eq!((table.check(), table.get(first)), (Err(Errno::NOTCONN), Err(Errno::BADF)));
        assert_eq!((table.remove(first), table.close().len()), (None, 0));
    }
}
