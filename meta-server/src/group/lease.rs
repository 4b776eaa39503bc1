//! How far the driver vouches for what readers see: until when nobody else leads, and what is committed.
//!
//! The driver notes both after each step and *before* it carries out what came of it: so a lease that is given
//! up is gone before a message leaves that lets another member lead, and what a follower may answer from is
//! known here before the message leaves that tells it.

use std::sync::atomic::{AtomicU64, Ordering};

use emberfs_daemon::Clock;
use emberfs_meta_server_consensus::{Index, Millis};

/// Shared by the driver and whoever reads.
#[derive(Debug)]
pub(super) struct Lease {
    clock: Clock,
    until: AtomicU64,
    committed: AtomicU64,
}

impl Lease {
    pub(super) fn new() -> Self {
        Self { clock: Clock::new(), until: AtomicU64::new(0), committed: AtomicU64::new(0) }
    }

    /// The time that the driver goes by.
    pub(super) fn now(&self) -> Millis {
        Millis(self.clock.now_ms())
    }

    /// Notes what holds from now on.
    pub(super) fn note(&self, until: Millis, committed: Index) {
        self.committed.store(committed.get(), Ordering::SeqCst);
        self.until.store(until.0, Ordering::SeqCst);
    }

    /// Whether nobody else leads, now and at any time since this member began to.
    pub(super) fn holds(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        self.now() < Millis(until)
    }

    /// What this member knows to be committed.
    pub(super) fn committed(&self) -> Index {
        Index(self.committed.load(Ordering::SeqCst))
    }
}
