//! Threads that were killed and close their files: the first of these is waited for a moment, the others no more.
//!
//! Each file would have a moment of its own otherwise, and a killed process with a hundred of them would be there for
//! twenty seconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Threads remembered (a count): more processes than are killed together. One that is forgotten has another moment.
const REMEMBERED_MAX: usize = 64;

/// Those of one mount; clones share them. A thread's number may be another's by now: so it is looked at anew, and this
/// only says that nobody need wait before.
#[derive(Clone, Debug, Default)]
pub(super) struct Dying(Arc<Mutex<VecDeque<u32>>>);

impl Dying {
    /// Whether this thread has had its moment.
    pub(super) fn has(&self, thread: u32) -> bool {
        lock(&self.0).contains(&thread)
    }

    /// It has.
    pub(super) fn enter(&self, thread: u32) {
        let mut threads = lock(&self.0);
        if threads.contains(&thread) {
            return;
        }
        if threads.len() == REMEMBERED_MAX {
            threads.pop_front();
        }
        threads.push_back(thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_once_each() {
        let dying = Dying::default();
        (0..1000).flat_map(|thread| [thread; 2]).for_each(|thread| dying.enter(thread));
        assert!(dying.has(999) && dying.has(1000 - 64) && !dying.has(1000 - 65));
        assert_eq!(lock(&dying.0).len(), REMEMBERED_MAX);
    }
}
