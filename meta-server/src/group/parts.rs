//! What the group's threads are made of, and how they begin and end together.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use emberfs_meta_server_consensus::{Index, Member};
use tokio::sync::watch;

use super::GroupOptions;
use super::driver::{Driver, Event, Outlets, Public};
use super::error::{GroupError, failed};
use super::machine::Machine;
use super::meters::Slow;
use super::post::Post;
use super::threads::{self, ApplyPorts, LogPorts};
use crate::store::{LogStore, StateStore};

/// What the threads are made of.
pub(super) struct Parts<M: Machine> {
    pub(super) machine: Arc<M>,
    pub(super) state: Arc<StateStore>,
    pub(super) events: Sender<Event<M>>,
    /// What the handle sees of the driver.
    pub(super) public: Public,
    /// What the handle sees of the apply thread.
    pub(super) applied: watch::Sender<Index>,
    /// The ways to the other members.
    pub(super) post: Post,
}

impl<M: Machine> Parts<M> {
    /// The driver's thread: runs the others, and ends after them.
    pub(super) fn run(
        self,
        log: LogStore,
        member: Member,
        options: GroupOptions,
        inbox: &Receiver<Event<M>>,
    ) -> Result<(), GroupError> {
        let (log_jobs, log_inbox) = mpsc::channel();
        let (apply_jobs, apply_inbox) = mpsc::channel();
        let (flush_jobs, flush_inbox) = mpsc::channel();
        let (events, apply, flush) = (self.events.clone(), apply_jobs.clone(), flush_jobs.clone());
        let ports = LogPorts { events, apply, flush, slow: Slow::sync() };
        let writer = self.thread("meta-log", move || threads::write_log(log, &log_inbox, &ports));
        let (machine, state) = (Arc::clone(&self.machine), Arc::clone(&self.state));
        let ports = ApplyPorts {
            events: self.events.clone(),
            applied: self.applied.clone(),
            slow: Slow::apply(),
        };
        let applier = self.thread("meta-apply", move || {
            threads::apply_all(&*machine, &state, &apply_inbox, &ports)
        });
        let (state, events) = (Arc::clone(&self.state), self.events.clone());
        let flusher =
            self.thread("meta-flush", move || threads::flush_state(&state, &flush_inbox, &events));
        let Self { machine, state, public, post, .. } = self;
        let outlets = Outlets { log: log_jobs, apply: apply_jobs, flush: flush_jobs, post, public };
        let ran = Driver::new(machine, member, outlets, options).run(inbox);
        // The driver has let go of their queues: they finish what is in them.
        let (log, applied, flushed) = (join(writer), join(applier), join(flusher));
        ran?;
        let late = inbox.try_iter().find_map(Event::failure);
        late.map_or(Ok(()), Err)?;
        if let (Some(mut log), Some(()), Some(())) = (log, applied, flushed) {
            state.flush().map_err(|error| failed(&error))?;
            log.refresh_guard().map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// A thread whose failure becomes an event.
    fn thread<T: Send + 'static, E: std::error::Error>(
        &self,
        name: &'static str,
        body: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let text = format!("{name} panicked");
        let alarm = Alarm { events: self.events.clone(), text: Some(text) };
        spawn(name, move || {
            let done = body();
            alarm.settle(done)
        })
    }
}

/// Tells the driver when a thread ends that should not have.
struct Alarm<M: Machine> {
    events: Sender<Event<M>>,
    text: Option<String>,
}

impl<M: Machine> Alarm<M> {
    /// The thread has come to its end.
    fn settle<T, E: std::error::Error>(mut self, done: Result<T, E>) -> Option<T> {
        self.text = done.as_ref().err().map(ToString::to_string);
        done.ok()
    }
}

impl<M: Machine> Drop for Alarm<M> {
    fn drop(&mut self) {
        if let Some(text) = self.text.take() {
            tracing::error!(%text, "the metadata group fails");
            // A driver that is gone has failed before.
            let _ = self.events.send(Event::Failed(GroupError::Failed { text }));
        }
    }
}

/// `None` when the thread failed or panicked.
fn join<T>(thread: JoinHandle<Option<T>>) -> Option<T> {
    thread.join().unwrap_or(None)
}

pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(body).expect("a server starts before the system is out of threads")
}
