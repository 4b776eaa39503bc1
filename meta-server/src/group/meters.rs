//! What a member counts of its place in the group: how far it is, and how its log and state fare.

use std::time::Instant;

use emberfs_meta_server_consensus::{Index, Leadership, Member};
use emberfs_metrics::{Gauge, Histogram, level, table};

/// Of the driver.
pub(super) struct DriverMeters {
    term: Gauge,
    leads: Gauge,
    committed: Gauge,
    applied: Gauge,
    log_bytes: Gauge,
    queue: Gauge,
    group: Histogram,
}

impl DriverMeters {
    pub(super) fn new() -> Self {
        Self {
            term: table::META_TERM.with([]),
            leads: table::META_LEADS.with([]),
            committed: table::META_COMMITTED.with([]),
            applied: table::META_APPLIED.with([]),
            log_bytes: table::META_LOG_BYTES.with([]),
            queue: table::META_QUEUE.with([]),
            group: table::META_GROUP.with([]),
        }
    }

    /// How the member stands, with so many orders that wait.
    pub(super) fn note(
        &self,
        member: &Member,
        leadership: Leadership,
        applied: Index,
        waiting: usize,
    ) {
        self.term.set(level(member.term().get()));
        self.leads.set(i64::from(matches!(leadership, Leadership::Leader { .. })));
        self.committed.set(level(member.committed().get()));
        self.applied.set(level(applied.get()));
        self.log_bytes.set(level(member.log_bytes()));
        self.queue.set(level(waiting));
    }

    /// So many orders share an entry.
    pub(super) fn proposed(&self, orders: usize) {
        self.group.observe(orders as f64);
    }
}

/// How long one of the slow things takes.
#[derive(Clone)]
pub(super) struct Slow(Histogram);

impl Slow {
    /// The log's appends with their sync.
    pub(super) fn sync() -> Self {
        Self(table::META_SYNC_SECONDS.with([]))
    }

    /// The application of what was committed.
    pub(super) fn apply() -> Self {
        Self(table::META_APPLY_SECONDS.with([]))
    }

    /// It took until now.
    pub(super) fn since(&self, began: Instant) {
        self.0.observe(began.elapsed().as_secs_f64());
    }
}
