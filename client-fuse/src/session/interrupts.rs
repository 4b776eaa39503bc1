//! Which requests tasks are answering, so that they can be interrupted.
//!
//! An interrupt and its request may be read by two threads: so one that comes first, or after the answer, is kept
//! for a while. To have the kernel send it again by EAGAIN, as its documentation has it, would not do: it looks
//! for the request only among those of the descriptor by which that answer comes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::lock::lock;

/// Interrupts kept without their request (a count): far more than threads that have read one and not entered it
/// yet. The others are of requests that were answered meanwhile.
const EARLY_MAX: usize = 64;

/// The requests of one mount; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    running: HashMap<u64, oneshot::Sender<()>>,
    early: VecDeque<u64>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    of: Interrupts,
    unique: u64,
    interrupted: oneshot::Receiver<()>,
}

impl Interrupts {
    /// A task is about to answer this request.
    pub(super) fn begin(&self, unique: u64) -> Running {
        let (interrupt, interrupted) = oneshot::channel();
        let mut state = self.state();
        if let Some(at) = state.early.iter().position(|early| *early == unique) {
            state.early.remove(at);
            let _received = interrupt.send(());
        } else {
            state.running.insert(unique, interrupt);
        }
        Running { of: self.clone(), unique, interrupted }
    }

    /// Somebody who waits for this request got a signal.
    pub(super) fn interrupt(&self, unique: u64) {
        let mut state = self.state();
        if let Some(interrupt) = state.running.remove(&unique) {
            // It may have ended just now.
            let _received = interrupt.send(());
            return;
        }
        if state.early.len() == EARLY_MAX {
            state.early.pop_front();
        }
        state.early.push_back(unique);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Running {
    /// Returns when it is interrupted; to be asked until then.
    pub(super) async fn interrupted(&mut self) {
        // The other end lives in the table for as long as this does.
        let _told = (&mut self.interrupted).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.of.state().running.remove(&self.unique);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_interrupted(running: &mut Running) -> bool {
        running.interrupted().now_or_never().is_some()
    }

    #[test]
    fn an_interrupt_finds_its_request_whichever_comes_first() {
        let all = Interrupts::default();
        let (mut one, mut two) = (all.begin(2), all.begin(4));
        all.interrupt(4);
        assert!(is_interrupted(&mut two) && !is_interrupted(&mut one));
        all.interrupt(6);
        assert!(is_interrupted(&mut all.begin(6)), "it was early");
        assert!(!is_interrupted(&mut all.begin(6)), "once");
    }

    #[test]
    fn what_was_answered_leaves_nothing_and_late_interrupts_little() {
        let all = Interrupts::default();
        drop(all.begin(2));
        assert!(all.state().running.is_empty());
        (0..1000).for_each(|number| all.interrupt(2 * number));
        assert_eq!(all.state().early.len(), EARLY_MAX);
        assert!(!is_interrupted(&mut all.begin(2)) && is_interrupted(&mut all.begin(1998)));
    }
}
