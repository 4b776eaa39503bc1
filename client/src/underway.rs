//! What is under way, and waiting until all of it that is under way now is through.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Things under way; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Underway {
    state: Arc<Mutex<State>>,
    /// Told when one is through.
    through: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeSet<u64>,
    /// The number of the next.
    next: u64,
}

/// One thing under way: through when it is dropped.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    of: Underway,
    number: u64,
}

impl Underway {
    /// One more is under way.
    pub(crate) fn begin(&self) -> OnItsWay {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.open.insert(number);
        OnItsWay { of: self.clone(), number }
    }

    /// Waits until those that are under way now are through; none that begins later is waited for.
    pub(crate) async fn earlier(&self) {
        let next = self.state().next;
        loop {
            let mut through = std::pin::pin!(self.through.notified());
            through.as_mut().enable();
            if self.state().open.first().is_none_or(|first| *first >= next) {
                return;
            }
            through.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.of.state().open.remove(&self.number);
        self.of.through.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_what_began_before_is_waited_for() {
        let underway = Underway::default();
        assert_eq!(underway.earlier().now_or_never(), Some(()));
        let (first, second) = (underway.begin(), underway.begin());
        let mut waiting = std::pin::pin!(underway.earlier());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        let third = underway.begin();
        drop(second);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(first);
        assert_eq!(waiting.as_mut().now_or_never(), Some(()));
        drop(third);
    }
}
