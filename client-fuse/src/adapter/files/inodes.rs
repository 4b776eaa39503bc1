//! All files of which this mount has something that the servers have not heard of, or is about to change.
//!
//! A file is known from its first opening for writing until all is settled that was written, and for as long as it
//! is *kept*: for a change (`changing`), also of a file that nobody has open here. So whoever does something
//! about its bytes meets everybody else who does.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use emberfs_client::{ByteLen, File, InodeId, Meta};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::readers::{Readers, Reading};
use super::writer::Writer;
use super::written::Inode;
use crate::errno::Errno;
use crate::lock::lock;

/// Bytes that all files of a mount gather together: what a machine can spare, and 32 files at their most.
const BYTES_MAX: usize = 256 << 20;
/// Before what could not be written is tried again, where somebody waits for all.
const TRY_AGAIN: Duration = Duration::from_millis(500);

type Known = HashMap<InodeId, Arc<Inode>>;

/// All such files.
#[derive(Debug)]
pub(in crate::adapter) struct Inodes {
    known: Arc<Mutex<Known>>,
    of_mount: OfMount,
    /// Of descriptors.
    numbers: AtomicU64,
}

/// What all files of a mount have in common.
#[derive(Clone, Debug)]
pub(super) struct OfMount {
    /// How long a call may wait.
    pub(super) deadline: Option<Duration>,
    /// Bytes.
    pub(super) gathered: Arc<AtomicUsize>,
    pub(super) readers: Readers,
}

impl OfMount {
    /// Waits for something that may be dropped, no longer than a call may.
    pub(super) async fn in_time<T>(&self, call: impl Future<Output = T>) -> Result<T, Errno> {
        let Some(deadline) = self.deadline else { return Ok(call.await) };
        timeout(deadline, call).await.map_err(|_| Errno::TIMEDOUT)
    }
}

/// Keeps a file known.
#[derive(Debug)]
pub(in crate::adapter) struct Kept {
    known: Arc<Mutex<Known>>,
    inode: Arc<Inode>,
}

/// A file that is not settled.
#[derive(Clone, Debug)]
pub(in crate::adapter) struct Unsettled {
    pub(in crate::adapter) inode: InodeId,
    /// Those that only this mount has.
    pub(in crate::adapter) bytes: ByteLen,
    /// What it waits for; empty where that is not known.
    pub(in crate::adapter) why: String,
    /// Whether the cluster had no space for them when they were tried last.
    pub(in crate::adapter) is_full: bool,
    /// Whether its attributes are being changed.
    pub(in crate::adapter) changes: bool,
}

impl Inodes {
    pub(in crate::adapter) fn new(deadline: Option<Duration>) -> Self {
        let of_mount = OfMount { deadline, gathered: Arc::default(), readers: Readers::default() };
        Self { known: Arc::default(), of_mount, numbers: AtomicU64::new(0) }
    }

    pub(in crate::adapter) fn get(&self, id: InodeId) -> Option<Arc<Inode>> {
        lock(&self.known).get(&id).cloned()
    }

    /// Bytes that are gathered and that no server has.
    pub(in crate::adapter) fn gathered(&self) -> usize {
        self.of_mount.gathered.load(Ordering::Relaxed)
    }

    /// Waits for something that may be dropped, no longer than a call may.
    pub(in crate::adapter) async fn in_time<T>(
        &self,
        call: impl Future<Output = T>,
    ) -> Result<T, Errno> {
        self.of_mount.in_time(call).await
    }

    /// Whether a write may be gathered at all.
    pub(in crate::adapter) fn have_room(&self, len: usize) -> bool {
        self.of_mount.gathered.load(Ordering::Relaxed) + len <= BYTES_MAX
    }

    /// A file was opened for writing. The first of `metas` is on behalf of who did, the other may do all.
    pub(super) fn enter(
        &self,
        metas: [Meta; 2],
        file: File,
        reads: bool,
    ) -> (Arc<Inode>, Arc<Writer>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut known = lock(&self.known);
        let inode = self.entry(&mut known, file.inode());
        let writer = inode.enter(|told| Writer::new(number, metas, file, reads, told));
        (inode, writer)
    }

    /// A file was opened to be read only.
    pub(super) fn enter_reader(&self, id: InodeId) -> Reading {
        self.of_mount.readers.enter(id)
    }

    /// A file that is known until what this returns is dropped.
    pub(in crate::adapter) fn keep(&self, id: InodeId) -> Kept {
        let mut known = lock(&self.known);
        let inode = self.entry(&mut known, id);
        inode.keep();
        Kept { known: self.known.clone(), inode }
    }

    /// Forgets an inode with which nothing is left to do.
    pub(super) fn forget_settled(&self, inode: &Inode) {
        forget_settled(&mut lock(&self.known), inode);
    }

    /// Settles in the background what has been dirty for too long.
    pub(in crate::adapter) fn settle_old(&self, runtime: &Handle) {
        let now = Instant::now();
        for inode in self.all() {
            // Where somebody has the turn, something is being done about it.
            if inode.is_nobodys_turn() && inode.is_old(now) {
                runtime.spawn(async move { inode.settle_patiently().await });
            } else {
                self.forget_settled(&inode);
            }
        }
    }

    /// Settles everything, each as often as it takes.
    pub(in crate::adapter) async fn settle_all(&self) {
        let all = self.all();
        let each = all.iter().map(|inode| async {
            while inode.settle_patiently().await.is_err() {
                sleep(TRY_AGAIN).await;
            }
        });
        join_all(each).await;
        all.iter().for_each(|inode| self.forget_settled(inode));
    }

    /// Each file that is not settled.
    pub(in crate::adapter) fn unsettled(&self) -> Vec<Unsettled> {
        self.all().iter().filter_map(|inode| inode.unsettled()).collect()
    }

    fn all(&self) -> Vec<Arc<Inode>> {
        lock(&self.known).values().cloned().collect()
    }

    fn entry(&self, known: &mut Known, id: InodeId) -> Arc<Inode> {
        let new = || Arc::new(Inode::new(id, self.of_mount.clone()));
        known.entry(id).or_insert_with(new).clone()
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        self.inode.keep();
        Self { known: self.known.clone(), inode: self.inode.clone() }
    }
}

impl Deref for Kept {
    type Target = Arc<Inode>;

    fn deref(&self) -> &Arc<Inode> {
        &self.inode
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        self.inode.keep_no_more();
        forget_settled(&mut known, &self.inode);
    }
}

fn forget_settled(known: &mut Known, inode: &Inode) {
    if inode.has_nothing_left() {
        remove_same(known, inode.id(), inode);
    }
}

/// Takes an entry out, unless it is another's by now.
fn remove_same<T>(entries: &mut HashMap<InodeId, Arc<T>>, id: InodeId, same: &T) {
    if entries.get(&id).is_some_and(|there| std::ptr::eq(&raw const **there, same)) {
        entries.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Room;

    /// Two descriptors are released together, and the file is opened again in between.
    #[test]
    fn who_is_forgotten_twice_takes_no_successor_along() {
        let (id, old, new) = (InodeId(7), Arc::new("old"), Arc::new("new"));
        let mut entries = HashMap::from([(id, old.clone())]);
        remove_same(&mut entries, id, &*old);
        assert!(entries.is_empty());
        entries.insert(id, new.clone());
        remove_same(&mut entries, id, &*old);
        assert_eq!(entries, HashMap::from([(id, new)]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_waits_no_longer_than_a_call_may() {
        let (inodes, room) = (Inodes::new(Some(Duration::from_secs(1))), Room::new(10));
        let place = inodes.in_time(room.place(10)).await.expect("there is room");
        assert_eq!(inodes.in_time(room.place(1)).await.err(), Some(Errno::TIMEDOUT));
        drop(place);
        assert!(inodes.in_time(room.place(1)).await.is_ok());
    }

    #[test]
    fn who_keeps_a_file_meets_all_others_who_do() {
        let inodes = Inodes::new(None);
        let first = inodes.keep(InodeId(7));
        let (second, third) = (inodes.keep(InodeId(7)), first.clone());
        assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &third));
        drop((first, second));
        inodes.forget_settled(&third);
        assert!(inodes.get(InodeId(7)).is_some(), "one keeps it still");
        drop(third);
        assert!(inodes.get(InodeId(7)).is_none());
    }
}
