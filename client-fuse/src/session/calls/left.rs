//! Changes whose callers were killed: they go on, and whatever changes something later waits until they are done.
//!
//! ```text
//!   unlink f ── sent ── its caller is killed ─────────── done
//!                                 create f ─── waits ───┘└─ sent
//! ```
//! Otherwise a program that is killed and started again could lose what it makes anew to what it had wanted before: a
//! request that is sent again and again until the cluster answers has no place among those that come later. This holds
//! for one mount. It orders names, lengths and attributes; bytes have their order by themselves.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use tokio::sync::watch;

/// Those of one mount.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    /// How many there are.
    count: Arc<watch::Sender<usize>>,
}

/// The turn of one change.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    left: Left,
    has_begun: Arc<AtomicBool>,
}

/// A change that was left, until this is dropped.
#[derive(Debug)]
pub(super) struct Leaving(Left);

impl Left {
    pub(super) fn turn(&self) -> Turn {
        Turn { left: self.clone(), has_begun: Arc::default() }
    }
}

impl Turn {
    /// Waits until nothing is left; the change begins then.
    pub(super) async fn take(&self) {
        let mut count = self.left.count.subscribe();
        // The sender is held here.
        let _none = count.wait_for(|count| *count == 0).await;
        self.has_begun.store(true, SeqCst);
    }

    /// Its caller is gone: the change is one of those that were left, if it has begun.
    pub(super) fn leave(&self) -> Option<Leaving> {
        self.has_begun.load(SeqCst).then(|| {
            self.left.count.send_modify(|count| *count += 1);
            Leaving(self.left.clone())
        })
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_change_begins_when_nothing_is_left_and_is_forgotten_before() {
        let left = Left::default();
        let [first, second, third] = [left.turn(), left.turn(), left.turn()];
        assert!(first.take().now_or_never().is_some() && second.take().now_or_never().is_some());
        let leaving = [first.leave().expect("begun"), second.leave().expect("begun")];
        let [one, other] = leaving;
        assert!(third.take().now_or_never().is_none() && third.leave().is_none());
        drop(one);
        assert!(third.take().now_or_never().is_none());
        drop(other);
        assert!(third.take().now_or_never().is_some() && third.leave().is_some());
    }
}
