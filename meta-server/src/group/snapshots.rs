//! The one snapshot that this member keeps for those that lag: made when one is needed, gone when nobody needs it.
//!
//! An [`Offer`] of it is withdrawn when it is of no use to its receiver any more: to take it would hold up what the next
//! leader offers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use emberfs_meta_server_consensus::{MemberId, SnapshotId, SnapshotName};
use tokio::sync::{oneshot, watch};

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
    /// To whom one is on its way.
    receivers: BTreeMap<MemberId, Sent>,
    /// The number of the last one.
    last: SnapshotId,
    /// When the last try failed, until that is told.
    failed: Option<Instant>,
}

/// One that is on its way.
#[derive(Debug)]
struct Sent {
    name: SnapshotName,
    /// Dropped, it is withdrawn.
    wanted: Option<oneshot::Sender<()>>,
}

/// A snapshot for one member, as long as it is of use.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) snapshot: Arc<Checkpoint>,
    wanted: oneshot::Receiver<()>,
}

impl Offer {
    /// What is offered, and what ends when that is withdrawn.
    pub(crate) fn into_parts(self) -> (Arc<Checkpoint>, impl Future<Output = ()> + Send) {
        let wanted = self.wanted;
        (self.snapshot, async move { drop(wanted.await) })
    }
}

impl Snapshots {
    pub(super) fn new(
        kept: watch::Sender<Option<Arc<Checkpoint>>>,
        remover: Sender<FlushJob>,
    ) -> Self {
        let (used, receivers) = (Instant::now(), BTreeMap::new());
        // Whoever still fetches one of an earlier start is not to get pieces of another.
        let last = SnapshotId(u64::from(rand::random::<u32>()) << u32::BITS);
        Self { kept, remover, used, receivers, last, failed: None }
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
        self.last = SnapshotId(self.last.get() + 1);
        self.last
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
    pub(super) fn send(&mut self, name: SnapshotName, to: MemberId) -> Option<Offer> {
        let snapshot = self.kept.borrow().clone().filter(|kept| kept.name() == name)?;
        let (wanted, wants) = oneshot::channel();
        self.receivers.insert(to, Sent { name, wanted: Some(wanted) });
        Some(Offer { snapshot, wanted: wants })
    }

    /// Those that are on their way and of no use any more need not arrive.
    pub(super) fn withdraw(&mut self, is_of_use: impl Fn(SnapshotName) -> bool) {
        self.receivers.values_mut().filter(|sent| !is_of_use(sent.name)).for_each(|sent| {
            sent.wanted = None;
        });
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
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::task::Poll;

    use tempfile::TempDir;

    use super::*;
    use crate::store::{StateStore, StoreOptions, Syncs, open};

    fn state() -> (TempDir, StateStore) {
        let dir = TempDir::new().unwrap();
        let (member, syncs) = (MemberId(1), Syncs::all());
        let options = StoreOptions { dir: dir.path().to_owned(), member, members: 1, syncs };
        let state = open(&options).unwrap().state;
        (dir, state)
    }

    /// And what is to be removed.
    fn none() -> (Snapshots, mpsc::Receiver<FlushJob>) {
        let (kept, _) = watch::channel(None);
        let (remover, jobs) = mpsc::channel();
        (Snapshots::new(kept, remover), jobs)
    }

    #[test]
    fn no_two_starts_give_a_snapshot_the_same_number() {
        let first = none().0.next();
        assert!((0..8).any(|_| none().0.next() != first));
    }

    #[tokio::test]
    async fn what_is_of_no_use_any_more_is_withdrawn_and_is_on_its_way_until_that_is_told() {
        let (_dir, state) = state();
        let (mut snapshots, _jobs) = none();
        let id = snapshots.next();
        let name = snapshots.keep(state.checkpoint(id).unwrap());
        let (_, withdrawn) = snapshots.send(name, MemberId(2)).unwrap().into_parts();
        let mut withdrawn = Box::pin(withdrawn);
        snapshots.withdraw(|_| true);
        assert!(poll_fn(|cx| Poll::Ready(withdrawn.as_mut().poll(cx))).await.is_pending());
        snapshots.withdraw(|other| other != name);
        withdrawn.await;
        snapshots.used = Instant::now().checked_sub(UNUSED).unwrap();
        assert!(!snapshots.is_gone(), "somebody may read it");
        snapshots.sent(MemberId(2));
        snapshots.used = Instant::now().checked_sub(UNUSED).unwrap();
        assert!(snapshots.is_gone());
    }

    /// Whoever looks after them is the thread that renews the lease.
    #[test]
    fn what_is_gone_is_removed_by_another_thread() {
        let (dir, state) = state();
        let (mut snapshots, jobs) = none();
        for _ in 0..2 {
            let id = snapshots.next();
            snapshots.keep(state.checkpoint(id).unwrap());
        }
        assert!(!snapshots.is_gone(), "it may be asked for yet");
        snapshots.used = Instant::now().checked_sub(UNUSED).unwrap();
        assert!(snapshots.is_gone());
        for back in [1, 0] {
            let folder = dir.path().join(format!("snapshot-{}", snapshots.last.get() - back));
            assert!(folder.exists());
            let Ok(FlushJob::Remove(gone)) = jobs.try_recv() else { panic!("nobody removes it") };
            drop(gone);
            assert!(!folder.exists());
        }
    }
}
