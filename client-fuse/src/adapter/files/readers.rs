//! Which files are open here to be read only: what could not be written of them is theirs to hear of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use emberfs_client::InodeId;

use crate::lock::lock;

/// How many descriptors each such file has; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers(Arc<Mutex<HashMap<InodeId, usize>>>);

/// One such descriptor.
#[derive(Debug)]
pub(in crate::adapter) struct Reading {
    of: Readers,
    inode: InodeId,
}

impl Readers {
    /// A file is open to be read until what this returns is dropped.
    pub(super) fn enter(&self, inode: InodeId) -> Reading {
        *self.counts().entry(inode).or_default() += 1;
        Reading { of: self.clone(), inode }
    }

    /// Whether a file is.
    pub(super) fn has(&self, inode: InodeId) -> bool {
        self.counts().contains_key(&inode)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<InodeId, usize>> {
        lock(&self.0)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        let count = counts.get_mut(&self.inode).expect("counted when it was opened");
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_until_its_last_reader_has_gone() {
        let readers = Readers::default();
        let (first, second, other) =
            (readers.enter(InodeId(7)), readers.enter(InodeId(7)), readers.enter(InodeId(8)));
        drop((first, other));
        assert_eq!([7, 8].map(|id| readers.has(InodeId(id))), [true, false]);
        drop(second);
        assert!(!readers.has(InodeId(7)) && readers.counts().is_empty());
    }
}
