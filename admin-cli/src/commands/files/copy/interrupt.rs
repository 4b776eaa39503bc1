//! Ctrl-C, or SIGTERM, while a copy is under way.
//!
//! The first takes back what is under way, which waits for the cluster; so the second one ends the program as it is.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::INTERRUPTED;

/// Whether somebody wants it to end.
#[derive(Debug)]
pub(super) struct Interrupt(watch::Sender<bool>);

impl Interrupt {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Whether it was wanted.
    pub(super) fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is.
    pub(super) async fn wanted(&self) {
        let gone = self.0.subscribe().wait_for(|wanted| *wanted).await.is_err();
        assert!(!gone, "the sender is held");
    }

    /// Listens, and never ends by itself.
    pub(super) async fn listen(&self) -> io::Result<()> {
        let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        any(&mut signals).await;
        eprintln!("stopping: what is under way is taken back; once more leaves it as it is");
        self.0.send_replace(true);
        any(&mut signals).await;
        eprintln!("error: stopped at once: files that were under way are incomplete");
        std::process::exit(INTERRUPTED.into())
    }
}

/// Waits for either.
async fn any([one, other]: &mut [Signal; 2]) {
    let heard = tokio::select! {
        heard = one.recv() => heard,
        heard = other.recv() => heard,
    };
    if heard.is_none() {
        pending::<()>().await;
    }
}
