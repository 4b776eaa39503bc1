//! The metadata group as this member sees it: orders in, outcomes out.
//!
//! [`Group`] is the handle. Behind it four threads carry a [`Machine`] through the group's log: the
//! driver proposes, one writes and syncs the log, one applies, one makes the state durable so that the
//! log can be cut (`threads.rs` has the drawing). Orders that come while a sync is under way share the
//! next entry and the next sync. What the members say to each other goes by `post` and `links`, the state
//! for one that lags too far by `snapshots` and `receive`.
//!
//! * An outcome is handed out only after its command is on stable storage of a majority and applied.
//! * Whatever was handed out is seen by every later [`Group::read`], on whichever member leads then, by every later
//!   [`Group::read_here`] on any, and by every start.
//! * Commands carry the leader's time, which never goes back, also over restarts and changes of the leader: a
//!   leader begins at the latest time that its state has seen.
//! * What is to be done as the leader of one term is refused in any other: [`Group::in_term`].
//! * When anything fails, all ends: what is on the disk is then unknown, and the process must stop.

mod answer;
mod berth;
mod driver;
pub(crate) mod error;
mod lease;
pub(crate) mod links;
mod machine;
mod metadata;
mod meters;
mod parts;
mod post;
mod reading;
pub(crate) mod receive;
mod room;
mod snapshots;
#[cfg(test)]
mod tests;
mod threads;
pub(crate) mod undelivered;

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emberfs_meta_server_consensus::{
    Config, ConfigError, Index, Leadership, Limits, Member, MemberId, PeerMessage, Standing, Term,
};
use emberfs_wire::group::{SnapshotId, SnapshotName};
use emberfs_wire::meta::Time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;

use crate::store::{Checkpoint, Inbox, StateStore, Stores};
use answer::Answer;
use berth::Berth;
use driver::{Event, Order, Public};
pub use error::GroupError;
use lease::Lease;
pub use machine::{Machine, Stamp};
pub use metadata::Metadata;
use parts::{Parts, spawn};
pub(crate) use post::Post;
use receive::Delivery;
use room::Room;
use undelivered::Undelivered;

/// Orders and questions that are under way at a time; whoever comes next waits.
pub const IN_FLIGHT_MAX: usize = 4096;

/// Largest command: what fits one message, and what the leader adds.
pub const COMMAND_BYTES_MAX: usize = 5 << 20;

/// What other members have said and the driver has not taken in yet, by size: what a stall of the driver lets
/// come in. Whoever comes next waits.
const HEARD_BYTES_MAX: usize = 32 << 20;

/// The state is made durable and the log cut when so much was committed since: a restart reads and applies
/// about as much again, which takes a second or two.
const FLUSH_BYTES: usize = 32 << 20;

/// How long a leader that is to stop waits for another to lead: some round trips, unless the others are gone.
const HAND_OVER_WAIT: Duration = Duration::from_secs(1);

/// What a group may be told.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// The time of day; may go back, what commands carry does not.
    pub clock: fn() -> Time,
    /// After how many bytes of commands the state is made durable.
    pub flush_bytes: usize,
    /// How long the log may become, and what of it stays for other members.
    pub limits: Limits,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { clock: wall_clock, flush_bytes: FLUSH_BYTES, limits: Limits::default() }
    }
}

/// The handle; cheap to clone. When the last is dropped, the group stops, and the drop waits for it.
pub struct Group<M: Machine = Metadata> {
    inner: Arc<Inner<M>>,
    /// What this handle is used for is done in this term, or not at all.
    term: Option<Term>,
}

impl<M: Machine> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), term: self.term }
    }
}

struct Inner<M: Machine> {
    events: Sender<Event<M>>,
    state: Arc<StateStore>,
    members: u8,
    room: Arc<Semaphore>,
    heard: Room,
    inbox: Inbox,
    /// One state comes in at a time.
    berth: Berth,
    leadership: watch::Receiver<Leadership>,
    lease: Arc<Lease>,
    applied: watch::Receiver<Index>,
    snapshot: watch::Receiver<Option<Arc<Checkpoint>>>,
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
    /// Starts the threads of this member on its open stores. One that is alone leads a moment later
    /// ([`Self::leadership`]); one of several speaks with the others by way of `post`.
    ///
    /// # Errors
    /// The stores do not fit each other.
    pub(crate) fn start(
        stores: Stores,
        machine: M,
        options: GroupOptions,
        post: Post,
    ) -> Result<Self, ConfigError> {
        let Stores { log, state, inbox, restored, member, members, is_new, must_reach } = stores;
        let voters = (1..=u64::from(members)).map(MemberId).collect();
        let (seed, limits) = (rand::random(), options.limits);
        let config = Config { member, voters, seed, is_new, must_reach, limits };
        let (lease, applied_now) = (Arc::new(Lease::new()), restored.applied);
        let member = Member::new(&config, restored, lease.now())?;
        let (events, queue) = mpsc::channel();
        let (leadership, watched) = watch::channel(Leadership::Nobody);
        let (applied, how_far) = watch::channel(applied_now);
        let (snapshot, kept) = watch::channel(None);
        let (end, ended) = watch::channel(None);
        let state = Arc::new(state);
        let public = Public { leadership, lease: Arc::clone(&lease), snapshot };
        let parts = Parts {
            machine: Arc::new(machine),
            state: Arc::clone(&state),
            events: events.clone(),
            public,
            applied,
            post,
        };
        let stored = Arc::clone(&state);
        let driver = spawn("meta-driver", move || {
            let ended = parts.run(log, member, options, &queue);
            // Handles may live on, and the directory is free for another start.
            stored.close();
            end.send_replace(Some(ended));
        });
        let inner = Inner {
            events,
            state,
            members,
            room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            heard: Room::new(HEARD_BYTES_MAX),
            inbox,
            berth: Berth::default(),
            leadership: watched,
            lease,
            applied: how_far,
            snapshot: kept,
            end: ended,
            driver: Some(driver),
        };
        Ok(Self { inner: Arc::new(inner), term: None })
    }

    /// Has the group carry out a request. When it returns, the outcome is durable and applied. A call
    /// that is dropped may be carried out all the same.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn propose(&self, request: M::Request) -> Result<M::Outcome, GroupError> {
        let (answer, outcome) = Answer::new(self.room().await);
        let term = self.term;
        self.send(Event::Order(Order { request, term, answer })).await?;
        self.answered(outcome).await
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

    /// Has another member lead, if this one does, and waits until one does, for a moment: before a stop that is
    /// planned, so that it costs no election.
    pub async fn hand_over(&self) {
        let mut leadership = self.leadership();
        let leads = matches!(*leadership.borrow_and_update(), Leadership::Leader { .. });
        if self.inner.members == 1 || !leads || self.inner.events.send(Event::HandOver).is_err() {
            return;
        }
        let another = leadership.wait_for(|now| now.other().is_some());
        if timeout(HAND_OVER_WAIT, another).await.is_err() {
            tracing::warn!("no other member takes the lead: the group has to elect one");
        }
    }

    /// Stops: answers what is under way and makes the state durable. Further orders are refused.
    ///
    /// # Errors
    /// What failed, now or before.
    pub async fn stop(&self) -> Result<(), GroupError> {
        // Refused when it has ended: then `ended` says how.
        let _ = self.inner.events.send(Event::Stop);
        self.ended().await
    }

    /// How this member stands, and how it sees the others.
    ///
    /// # Errors
    /// The group has ended.
    pub async fn standing(&self) -> Result<Standing, GroupError> {
        let (asker, answer) = oneshot::channel();
        self.send(Event::Stand(asker)).await?;
        match answer.await {
            Ok(standing) => Ok(standing),
            Err(_) => Err(self.why().await),
        }
    }

    /// Another member says something, with so much data in it, and with the state that it names, if it names one.
    /// Waits for room.
    pub(crate) async fn hear(&self, message: PeerMessage, data: usize, state: Option<Delivery>) {
        let taken = self.inner.heard.take(data).await;
        // A message to a group that has ended is lost, as any may be.
        let _ = self.inner.events.send(Event::Heard(message, state, taken));
    }

    /// What was said to `to` did not arrive.
    pub(crate) fn unreachable(&self, to: MemberId) {
        let _ = self.inner.events.send(Event::Unreachable(to));
    }

    /// A state has arrived at `to`, or will not, and why.
    pub(crate) fn snapshot_sent(&self, to: MemberId, sent: Result<(), Undelivered>) {
        let _ = self.inner.events.send(Event::SnapshotSent(to, sent));
    }

    /// The snapshot of this number, if it is kept.
    pub(crate) fn snapshot(&self, id: SnapshotId) -> Option<Arc<Checkpoint>> {
        let kept = self.inner.snapshot.borrow().clone();
        kept.filter(|kept| matches!(kept.name(), SnapshotName { id: found, .. } if found == id))
    }

    /// Where states of other members come in.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inner.inbox
    }

    /// The place for a state of another member.
    pub(crate) fn berth(&self) -> &Berth {
        &self.inner.berth
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
