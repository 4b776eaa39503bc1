//! Ctrl-C, or a signal like it, while a command is under way.
//!
//! The first has what is under way taken back, which waits for the cluster; so the second one ends the program as it
//! is. They are heard by a task of its own and to the program's end, as once they were heard, nothing else of it has
//! them end the program: not while a call of this machine holds the command up, nor while its session is ended.
//!
//! SIGHUP is a first one and never a second: a terminal that is closed sends several. Where it is ignored, by `nohup`,
//! it stays so.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::this_process;
use crate::exit::{INTERRUPTED, say};
use crate::log;

/// Whether somebody wants it to end.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<watch::Sender<bool>>);

impl Interrupt {
    /// One that nobody listens for.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
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

    /// Listens from now on, until the program ends.
    pub(super) fn listen(&self) -> io::Result<()> {
        let mut ends = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        let hangup = SignalKind::hangup();
        let mut hangup = match this_process::is_ignored(hangup.as_raw_value()) {
            true => None,
            false => Some(signal(hangup)?),
        };
        let wanted = self.0.clone();
        tokio::spawn(async move {
            any(ends.iter_mut().chain(&mut hangup)).await;
            log::hush();
            say("stopping: what is under way is taken back; once more leaves it as it is");
            wanted.send_replace(true);
            any(ends.iter_mut()).await;
            say("error: stopped at once: files that were under way are incomplete");
            std::process::exit(INTERRUPTED.into())
        });
        Ok(())
    }
}

/// Waits for one of them.
async fn any<'a>(signals: impl Iterator<Item = &'a mut Signal>) {
    let mut signals: Vec<_> = signals.collect();
    poll_fn(|context| {
        let heard = |signal: &mut &mut Signal| signal.poll_recv(context) == Poll::Ready(Some(()));
        if signals.iter_mut().any(heard) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
