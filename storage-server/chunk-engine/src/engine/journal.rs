//! The records' way to the disk, in groups.
//!
//! ```text
//!   put: blocks written ──► entry with a waiter ─┐
//!   commit, discard ──────► entry without one ───┤
//!                                                ▼
//!   one group: all entries in order ──► sync data, if any was written ──► one synced batch
//!                                                                          │
//!   waiters are answered, replaced blocks retire, pieces count as written ◄┘
//! ```
//!
//! What is done without a waiter rides with the next group that has one, or goes when [`IDLE_MAX`]
//! entries have gathered, or when its owner says that nothing else comes. While a group is under way the next one gathers. A task runs only while there is
//! something to do.
//!
//! After a failed sync nothing is known of what is durable: the engine takes no more writes.

use std::rc::Rc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::core::Core;
use super::state::State;
use crate::disk::Disk;
use crate::error::EngineError;
use crate::map::Place;
use crate::pieces::BatchId;
use crate::records::{RecordChange, Records};
use crate::sync_point::SyncPoint;
use crate::types::ChunkKey;

/// Entries that nobody waits for, before they are written all the same: they hold blocks that cannot be
/// used again, and memory.
const IDLE_MAX: usize = 1024;

/// Changes of the records that belong together, and what follows when they are durable.
#[derive(Debug, Default)]
pub(super) struct JournalEntry {
    pub(super) changes: Vec<RecordChange>,
    /// Blocks that no map has when this is durable.
    pub(super) retired: Vec<Place>,
    /// Pieces that the records have then.
    pub(super) pieces: Vec<(ChunkKey, u32)>,
    pub(super) id: BatchId,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Vec<(JournalEntry, Option<oneshot::Sender<()>>)>,
    waiters: usize,
    running: bool,
    failed: bool,
    /// Whether blocks were written since the last sync of the data began.
    pub(super) data_written: bool,
}

impl Journal {
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    fn is_due(&self) -> bool {
        self.waiters > 0 || self.entries.len() >= IDLE_MAX
    }
}

impl State {
    /// A group is durable.
    fn settle(&mut self, group: Vec<(JournalEntry, Option<oneshot::Sender<()>>)>) {
        for (JournalEntry { retired, pieces, id, .. }, waiter) in group {
            self.readers.retire(retired);
            for (key, piece) in pieces {
                self.pieces.written(key, piece, id);
            }
            if let Some(waiter) = waiter {
                // A waiter that is gone wants no answer.
                let _ = waiter.send(());
            }
        }
        self.release_blocks();
    }
}

impl<D: Disk, R: Records> Core<D, R> {
    /// Writes this with some later group.
    pub(super) fn journal(self: &Rc<Self>, entry: JournalEntry) {
        self.enqueue(entry, None);
    }

    /// Writes this with the next group; the receiver is told when it is durable, and dropped if it never
    /// will be.
    pub(super) fn journal_now(self: &Rc<Self>, entry: JournalEntry) -> oneshot::Receiver<()> {
        let (waiter, durable) = oneshot::channel();
        self.enqueue(entry, Some(waiter));
        durable
    }

    /// Makes everything durable that was journalled before.
    pub(super) async fn flush(self: &Rc<Self>) -> Result<(), EngineError> {
        self.journal_now(JournalEntry::default()).await.map_err(|_| EngineError::Failed)
    }

    /// Writes what waits without a waiter, if no group does: blocks that a commit or discard has dropped are
    /// free only then.
    pub(super) fn settle_idle(self: &Rc<Self>) {
        let waits = {
            let journal = &self.state.borrow().journal;
            !journal.entries.is_empty() && !journal.running
        };
        if waits {
            drop(self.journal_now(JournalEntry::default()));
        }
    }

    fn enqueue(self: &Rc<Self>, entry: JournalEntry, waiter: Option<oneshot::Sender<()>>) {
        let mut state = self.state.borrow_mut();
        let journal = &mut state.journal;
        if journal.failed {
            return;
        }
        journal.waiters += usize::from(waiter.is_some());
        journal.entries.push((entry, waiter));
        self.meters.queued(journal.entries.len());
        if journal.is_due() && !journal.running {
            journal.running = true;
            tokio::task::spawn_local(Rc::clone(self).run_journal());
        }
    }

    async fn run_journal(self: Rc<Self>) {
        while let Some((mut group, sync_data)) = self.next_group() {
            let changes = group.iter_mut().flat_map(|(entry, _)| entry.changes.drain(..)).collect();
            let waiters = group.iter().filter(|(_, waiter)| waiter.is_some()).count();
            let began = Instant::now();
            match self.store(changes, sync_data).await {
                Ok(()) => {
                    self.meters.synced(began, waiters);
                    self.state.borrow_mut().settle(group);
                }
                Err(error) => {
                    tracing::error!(%error, "a sync failed: the disk takes no more writes");
                    let mut state = self.state.borrow_mut();
                    state.journal.failed = true;
                    state.journal.entries.clear();
                }
            }
        }
        self.ended.notify_waiters();
    }

    /// All that waits, and whether the data needs a sync; `None` if nothing is due: the task ends.
    #[expect(clippy::type_complexity, reason = "entries with their waiters")]
    fn next_group(&self) -> Option<(Vec<(JournalEntry, Option<oneshot::Sender<()>>)>, bool)> {
        let mut state = self.state.borrow_mut();
        let journal = &mut state.journal;
        if journal.failed || !journal.is_due() {
            journal.running = false;
            return None;
        }
        journal.waiters = 0;
        self.meters.queued(0);
        let sync_data = std::mem::take(&mut journal.data_written);
        Some((std::mem::take(&mut journal.entries), sync_data))
    }

    async fn store(&self, changes: Vec<RecordChange>, data: bool) -> Result<(), EngineError> {
        if data && self.syncs.issues(SyncPoint::Data) {
            self.disk.sync().await?;
        }
        if !changes.is_empty() {
            self.records.apply(changes, self.syncs.issues(SyncPoint::Records)).await?;
        }
        Ok(())
    }
}
