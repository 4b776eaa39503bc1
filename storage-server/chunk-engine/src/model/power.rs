//! The power of modelled disks: it can be cut at any step.

use std::cell::Cell;
use std::rc::Rc;

/// The power; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Power {
    supply: Rc<Supply>,
}

#[derive(Debug, Default)]
struct Supply {
    steps: Cell<u64>,
    last: Cell<Option<u64>>,
}

impl Power {
    /// Power that stays.
    #[must_use]
    pub fn steady() -> Self {
        Self::default()
    }

    /// Power that goes at the `last` step from now: it and those after it never end.
    #[must_use]
    pub fn cut_after(last: u64) -> Self {
        let power = Self::default();
        power.supply.last.set(Some(last));
        power
    }

    /// How many steps there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.supply.steps.get()
    }

    /// Whether it is gone.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.supply.last.get().is_some_and(|last| self.steps() >= last)
    }

    /// One step: others get their turn; never returns once the power is gone.
    pub(super) async fn step(&self) {
        self.supply.steps.set(self.steps() + 1);
        if self.is_off() {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        if self.is_off() {
            std::future::pending::<()>().await;
        }
    }
}
