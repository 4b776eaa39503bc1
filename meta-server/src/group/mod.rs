//! The metadata group as this member sees it: orders in, outcomes out.
//!
//! [`Group`] is the handle. Behind it four threads carry a [`Machine`] through the group's log: the
//! driver proposes, one writes and syncs the log, one applies, one makes the state durable so that the
//! log can be cut (`threads.rs` has the drawing). Orders that come while a sync is under way share the
//! next entry and the next sync.
//!
//! * An outcome is handed out only after its command is on stable storage and applied.
//! * Whatever was handed out is seen by every later [`Group::read`], and by every start on the same
//!   directory.
//! * Commands carry the leader's time, which never goes back, also over restarts: a leader begins at the
//!   latest time that its state has seen.
//! * When anything fails, all ends: what is on the disk is then unknown, and the process must stop.
//!
//! Today's group has one member. Of several, messages and snapshots are to come; `consensus` is written
//! for them.

mod answer;
mod driver;
mod error;
mod machine;
mod metadata;
mod parts;
#[cfg(test)]
mod tests;
mod threads;

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use emberfs_meta_server_consensus::{Config, ConfigError, Index, Leadership, Member, Millis, Term};
use emberfs_meta_server_state::StoreError;
use emberfs_wire::meta::Time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::store::{StateStore, StateView, Stores};
use answer::Answer;
use driver::{Event, Order};
pub use error::GroupError;
use error::failed;
pub use machine::{Machine, Stamp};
pub use metadata::Metadata;
use parts::{Parts, spawn};

/// Orders and questions that are under way at a time; whoever comes next waits.
pub const IN_FLIGHT_MAX: usize = 4096;

/// Largest command: what fits one message, and what the leader adds.
pub const COMMAND_BYTES_MAX: usize = 5 << 20;

/// What a group may be told.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// The time of day; may go back, what commands carry does not.
    pub clock: fn() -> Time,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { clock: wall_clock }
    }
}

/// The handle; cheap to clone. When the last is dropped, the group stops, and the drop waits for it.
pub struct Group<M: Machine = Metadata> {
    inner: Arc<Inner<M>>,
}

impl<M: Machine> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<M: Machine> {
    events: Sender<Event<M>>,
    state: Arc<StateStore>,
    room: Arc<Semaphore>,
    leadership: watch::Receiver<Leadership>,
    end: watch::Receiver<End>,
    /// Taken by `drop` alone.
    driver: Option<JoinHandle<()>>,
}

/// How the group ended, once it has.
type End = Option<Result<(), GroupError>>;

impl<M: Machine> Drop for Inner<M> {
    /// Waits for the threads: a process that ends while they are in RocksDB's code dies of its destructors.
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.events.send(Event::Stop);
        if let Some(driver) = self.driver.take() {
            // That it panicked was told by the end that it left unsaid.
            let _ = driver.join();
        }
    }
}

impl<M: Machine> Group<M> {
    /// Starts the threads of a group of one member on its open stores. It leads a moment later:
    /// [`Self::leadership`].
    ///
    /// # Errors
    /// The stores do not fit each other.
    pub fn start(stores: Stores, machine: M, options: GroupOptions) -> Result<Self, ConfigError> {
        let Stores { log, state, restored, member, stopped_cleanly } = stores;
        let voters = vec![member];
        let config = Config { member, voters, seed: rand::random(), stopped_cleanly };
        let member = Member::new(&config, restored, Millis(0))?;
        let (events, inbox) = mpsc::channel();
        let (leadership, watched) = watch::channel(Leadership::Nobody);
        let (end, ended) = watch::channel(None);
        let state = Arc::new(state);
        let machine = Arc::new(machine);
        let parts = Parts { machine, state: Arc::clone(&state), events: events.clone() };
        let driver = spawn("meta-driver", move || {
            let ended = parts.run(log, member, options, &inbox, leadership);
            end.send_replace(Some(ended));
        });
        let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let driver = Some(driver);
        let inner = Inner { events, state, room, leadership: watched, end: ended, driver };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Has the group carry out a request. When it returns, the outcome is durable and applied. A call
    /// that is dropped may be carried out all the same.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn propose(&self, request: M::Request) -> Result<M::Outcome, GroupError> {
        let (answer, outcome) = Answer::new(self.room().await);
        self.send(Event::Order(Order { request, answer })).await?;
        self.answered(outcome).await
    }

    /// Asks the state: the answer holds all outcomes that anybody had when this was called. `ask` runs
    /// in the caller's task, so it should read little.
    ///
    /// # Errors
    /// [`GroupError`]; also when the state cannot be read.
    pub async fn read<R>(
        &self,
        ask: impl FnOnce(&StateView<'_>) -> Result<R, StoreError>,
    ) -> Result<R, GroupError> {
        // Being alone, a member that leads is the only one that can, as long as it runs: it needs to
        // ask nobody, and what it has applied is all that it ever answered.
        let leadership = *self.inner.leadership.borrow();
        if !matches!(leadership, Leadership::Leader { .. }) {
            let ended = self.inner.end.borrow().is_some();
            let leader = leadership.other();
            return Err(if ended { self.why().await } else { GroupError::NotLeader { leader } });
        }
        ask(&self.inner.state.view()).map_err(|error| failed(&error))
    }

    /// This member led at some time after the call: whoever grants a lease takes the time before it.
    /// Says what was committed.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn confirm(&self) -> Result<Index, GroupError> {
        let (answer, confirmed) = Answer::new(self.room().await);
        self.send(Event::Confirm(answer)).await?;
        self.answered(confirmed).await
    }

    /// Who leads, as it changes. Closed when the group has ended.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Waits until this member leads; says in which term.
    ///
    /// # Errors
    /// The group ended before.
    pub async fn leading(&self) -> Result<Term, GroupError> {
        let mut leadership = self.leadership();
        loop {
            if let Leadership::Leader { term } = *leadership.borrow_and_update() {
                return Ok(term);
            }
            if leadership.changed().await.is_err() {
                return Err(self.why().await);
            }
        }
    }

    /// Waits until the group has ended: stopped (`Ok`) or failed.
    ///
    /// # Errors
    /// What failed; the process must end.
    pub async fn ended(&self) -> Result<(), GroupError> {
        let mut end = self.inner.end.clone();
        let end = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        let panicked = || GroupError::Failed { text: "the driver panicked".to_owned() };
        end.unwrap_or_else(|| Err(panicked()))
    }

    /// Stops: answers what is under way, makes the state durable and says on disk that it did. Further
    /// orders are refused.
    ///
    /// # Errors
    /// What failed, now or before.
    pub async fn stop(&self) -> Result<(), GroupError> {
        // Refused when it has ended: then `ended` says how.
        let _ = self.inner.events.send(Event::Stop);
        self.ended().await
    }

    async fn room(&self) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.inner.room).acquire_owned().await;
        room.expect("nobody closes it")
    }

    async fn send(&self, event: Event<M>) -> Result<(), GroupError> {
        // What comes back of a failed send must not live on: it holds an answer.
        let sent = self.inner.events.send(event).is_ok();
        if sent { Ok(()) } else { Err(self.why().await) }
    }

    async fn answered<T>(
        &self,
        answer: oneshot::Receiver<Result<T, GroupError>>,
    ) -> Result<T, GroupError> {
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.why().await),
        }
    }

    /// The group is ending: why.
    async fn why(&self) -> GroupError {
        self.ended().await.err().unwrap_or(GroupError::Stopped)
    }
}

fn wall_clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Time { seconds, nanos: since.subsec_nanos() }
}
