//! The time that leases and cores go by: the process's [`emberfs_daemon::Clock`], in the cores' unit.

use emberfs_chain_replication::target::Millis;

/// A clock; copies go alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(emberfs_daemon::Clock);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(emberfs_daemon::Clock::new())
    }

    pub(crate) fn now(self) -> Millis {
        Millis(self.0.now_ms())
    }
}
