//! The one snapshot that this member keeps for those that lag: made when one is needed, gone when nobody needs it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use emberfs_meta_server_consensus::{MemberId, SnapshotId, SnapshotName};
use tokio::sync::watch;

use super::threads::{FlushJob, Leftover};
use crate::store::Checkpoint;

/// For how long one stays that nobody fetches: its receiver is likely gone again, and it holds room on the disk.
const UNUSED: Duration = Duration::from_secs(10);
/// How soon another is made after one could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// What the driver knows of snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// For those that serve its pieces.
    kept: watch::Sender<Option<Arc<Checkpoint>>>,
    /// Whoever removes what is gone.
    remover: Sender<FlushJob>,
    /// When it was made, or last sent.
    used: Instant,
    /// To whom it is on its way.
    receivers: BTreeSet<MemberId>,
    made: u64,
    /// When the last try failed, until that is told.
    failed: Option<Instant>,
}

impl Snapshots {
    pub(super) fn new(
        kept: watch::Sender<Option<Arc<Checkpoint>>>,
        remover: Sender<FlushJob>,
    ) -> Self {
        let (used, receivers) = (Instant::now(), BTreeSet::new());
        Self { kept, remover, used, receivers, made: 0, failed: None }
    }

    /// This one is kept from now on. What is gone is removed elsewhere: that takes long, and a lease runs out meanwhile.
    fn replace(&mut self, by: Option<Checkpoint>) {
        if let Some(gone) = self.kept.send_replace(by.map(Arc::new)) {
            // The thread is gone only when it failed; then it is removed here.
            drop(self.remover.send(FlushJob::Remove(Leftover::Snapshot(gone))));
        }
    }

    /// None is kept any more.
    pub(super) fn end(&mut self) {
        self.replace(None);
    }

    /// The number of the next one.
    pub(super) fn next(&mut self) -> SnapshotId {
        self.made += 1;
        SnapshotId(self.made)
    }

    /// One was made; it takes the place of any other.
    pub(super) fn keep(&mut self, made: Checkpoint) -> SnapshotName {
        let name = made.name();
        self.used = Instant::now();
        self.replace(Some(made));
        name
    }

    /// None could be made.
    pub(super) fn fail(&mut self) {
        self.failed = Some(Instant::now());
    }

    /// The one of this name, for `to`.
    pub(super) fn send(&mut self, name: SnapshotName, to: MemberId) -> Option<Arc<Checkpoint>> {
        let kept = self.kept.borrow().clone().filter(|kept| kept.name() == name)?;
        self.receivers.insert(to);
        Some(kept)
    }

    /// It has arrived at `to`, or will not.
    pub(super) fn sent(&mut self, to: MemberId) {
        self.receivers.remove(&to);
        self.used = Instant::now();
    }

    /// Whether there is to be none now that the group counts on: nobody needs the one that is there, or it is
    /// time for another try.
    pub(super) fn is_gone(&mut self) -> bool {
        let kept = self.receivers.is_empty() && self.kept.borrow().is_some();
        if kept && self.used.elapsed() >= UNUSED {
            self.replace(None);
            return true;
        }
        self.failed.take_if(|failed| failed.elapsed() >= AGAIN).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;
    use crate::store::{StoreOptions, Syncs, open};

    /// Whoever looks after them is the thread that renews the lease.
    #[test]
    fn what_is_gone_is_removed_by_another_thread() {
        let dir = TempDir::new().unwrap();
        let (member, syncs) = (MemberId(1), Syncs::all());
        let options = StoreOptions { dir: dir.path().to_owned(), member, members: 1, syncs };
        let state = open(&options).unwrap().state;
        let (kept, _) = watch::channel(None);
        let (remover, jobs) = mpsc::channel();
        let mut snapshots = Snapshots::new(kept, remover);
        for _ in 0..2 {
            let id = snapshots.next();
            snapshots.keep(state.checkpoint(id).unwrap());
        }
        assert!(!snapshots.is_gone(), "it may be asked for yet");
        snapshots.used = Instant::now().checked_sub(UNUSED).unwrap();
        assert!(snapshots.is_gone());
        for folder in ["snapshot-1", "snapshot-2"] {
            let folder = dir.path().join(folder);
            assert!(folder.exists());
            let Ok(FlushJob::Remove(gone)) = jobs.try_recv() else { panic!("nobody removes it") };
            drop(gone);
            assert!(!folder.exists());
        }
    }
}
