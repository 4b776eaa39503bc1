//! For how long something is measured: a time, or until somebody stops the whole.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::watch;

/// Whether somebody wants it to end, as all see it who measure or prepare.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// With the sender that says so.
    pub(super) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it is to end.
    pub(super) fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is to end.
    pub(super) async fn wanted(mut self) {
        if self.0.wait_for(|is_wanted| *is_wanted).await.is_err() {
            // Nobody is left who could want it.
            std::future::pending::<()>().await;
        }
    }

    /// Ends what only prepares.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.is_wanted(), "stopped");
        Ok(())
    }
}

/// A slice that goes on.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) begin: Instant,
    pub(super) time: Duration,
    stop: Stop,
}

impl Clock {
    /// From now on.
    pub(super) fn start(time: Duration, stop: &Stop) -> Self {
        Self { begin: Instant::now(), time, stop: stop.clone() }
    }

    /// Whether it has ended; what ends later is not counted.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_wanted() || self.begin.elapsed() >= self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_time_or_when_somebody_wants() {
        let (sender, stop) = Stop::new();
        assert!(Clock::start(Duration::ZERO, &stop).is_over());
        let clock = Clock::start(Duration::MAX, &stop);
        assert!(!clock.is_over() && stop.check().is_ok());
        sender.send_replace(true);
        assert!(clock.is_over() && stop.check().is_err());
    }
}
