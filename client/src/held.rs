//! Which inodes this client has open, for the leader that asks before it forgets a removed file.
//!
//! The reply to an open may be on its way when the leader asks: so the answer waits until the opens that
//! were under way are through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use emberfs_layout::InodeId;

use crate::underway::{OnItsWay, Underway};

/// The open inodes; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// How many handles each has.
    open: Arc<Mutex<BTreeMap<InodeId, usize>>>,
    opening: Underway,
}

/// One open handle on an inode.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Held,
    inode: InodeId,
}

impl Held {
    /// Says that `inode` is open until the answer is dropped.
    pub(crate) fn hold(&self, inode: InodeId) -> Hold {
        *self.open().entry(inode).or_default() += 1;
        Hold { held: self.clone(), inode }
    }

    /// To be called before an open is asked for, and dropped when the file is held, or was not opened.
    pub(crate) fn opening(&self) -> OnItsWay {
        self.opening.begin()
    }

    /// Those of `inodes` that are open, once all opens that are under way now are through.
    pub(crate) async fn of(&self, inodes: Vec<InodeId>) -> Vec<InodeId> {
        self.opening.earlier().await;
        let open = self.open();
        inodes.into_iter().filter(|inode| open.contains_key(inode)).collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<InodeId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut open = self.held.open();
        let count = open.get_mut(&self.inode).expect("counted when it was held");
        *count -= 1;
        if *count == 0 {
            open.remove(&self.inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_held_until_its_last_handle_is_gone() {
        let held = Held::default();
        let inode = InodeId(7);
        let (first, second) = (held.hold(inode), held.hold(inode));
        drop(first);
        assert!(held.open().contains_key(&inode));
        drop(second);
        assert!(held.open().is_empty());
    }
}
