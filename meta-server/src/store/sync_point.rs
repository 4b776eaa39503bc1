//! Every sync that the metadata server issues, in one table.
//!
//! A test can switch one row off and show that a loss of power then loses something. Each row counts how
//! often it came up: many orders share one sync, and a test holds that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPoint {
    /// The log, with each group of appends and before anything depends on them.
    Log,
    /// The guard, with each vote and about every second.
    Guard,
    /// The state's tables, and all of a state that comes from another member, before the log is cut below what
    /// they hold.
    State,
    /// The member's directory, after something was made in it.
    Directory,
}

impl SyncPoint {
    /// All rows.
    pub const ALL: [Self; 4] = [Self::Log, Self::Guard, Self::State, Self::Directory];

    /// What a test calls the row.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "meta.log",
            Self::Guard => "meta.guard",
            Self::State => "meta.state",
            Self::Directory => "meta.directory",
        }
    }
}

/// Which syncs are issued: all, but in tests of what one of them is for. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Syncs {
    skipped: Option<SyncPoint>,
    counts: Arc<[AtomicU64; SyncPoint::ALL.len()]>,
    #[cfg(test)]
    watcher: Option<Watcher>,
}

/// For tests: what is called before each sync.
#[cfg(test)]
#[derive(Clone)]
struct Watcher(Arc<dyn Fn() + Send + Sync>);

#[cfg(test)]
impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Syncs {
    /// All.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// All but one: loses data with the power, for tests alone.
    #[must_use]
    pub fn without(skipped: SyncPoint) -> Self {
        Self { skipped: Some(skipped), ..Self::default() }
    }

    /// All but the one of this name, if one of the rows has it.
    #[must_use]
    pub fn without_named(name: Option<&str>) -> Self {
        let skipped = SyncPoint::ALL.into_iter().find(|point| Some(point.name()) == name);
        Self { skipped, ..Self::default() }
    }

    /// All, each after a call of `watcher`.
    #[cfg(test)]
    pub(crate) fn watched(watcher: impl Fn() + Send + Sync + 'static) -> Self {
        Self { watcher: Some(Watcher(Arc::new(watcher))), ..Self::default() }
    }

    /// Whether this one is issued; counts it either way.
    pub(super) fn issues(&self, point: SyncPoint) -> bool {
        #[cfg(test)]
        if let Some(Watcher(watcher)) = &self.watcher {
            watcher();
        }
        self.counts[point as usize].fetch_add(1, Ordering::Relaxed);
        self.skipped != Some(point)
    }

    /// How often this one came up.
    #[must_use]
    pub fn count(&self, point: SyncPoint) -> u64 {
        self.counts[point as usize].load(Ordering::Relaxed)
    }
}
