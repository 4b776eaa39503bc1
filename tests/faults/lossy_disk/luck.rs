//! What survives of that which nobody synced: nothing, or a part that a seed decides.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How a loss of power goes.
#[derive(Debug)]
pub(crate) struct Luck(Option<SmallRng>);

impl Luck {
    /// Whatever was not synced is gone.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Of what was not synced, each piece survives or does not.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Some(SmallRng::seed_from_u64(seed)))
    }

    /// Whether the next piece survives.
    pub(crate) fn keeps(&mut self) -> bool {
        self.0.as_mut().is_some_and(|random| random.random())
    }
}
