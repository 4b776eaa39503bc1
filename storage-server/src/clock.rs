//! The time that leases and cores go by: monotonic, counted from the start of the process.

use std::time::Instant;

use emberfs_chain_replication::target::Millis;

/// A clock; copies go alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Millis {
        let ms = self.start.elapsed().as_millis();
        Millis(u64::try_from(ms).expect("a process does not live for 500 million years"))
    }
}
