//! Asking: a handle on a connection, by which any number of callers send requests.
//!
//! [`Peer::call`] waits for a free slot, sends, and waits for the reply; with [`Peer::call_into`] the reply's
//! payload lands in memory of the caller. Dropped half-way, it tells the peer that nobody waits any more.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use emberfs_wire::extension::Extension;
use emberfs_wire::header::{DeadlineMs, JobTag, Priority, RequestId, TraceId};
use emberfs_wire::{FrameKind, Request, WireError, decode, encode};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::{CallError, Closed};
use crate::frame::{Draft, Incoming, Outgoing};
use crate::landing::{Lease, Loan, Room};
use crate::limits::Limits;
use crate::metered::Calling;

/// A handle on a connection; clones share it. It does not keep the connection open: that is its task's
/// affair, and [`Self::close`] ends it.
#[derive(Clone, Debug)]
pub struct Peer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    slots: Semaphore,
    bytes: Semaphore,
    bytes_max: u32,
    next: AtomicU64,
    closed: OnceLock<Closed>,
}

/// What a handle tells the connection's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a request, and pass its answer on.
    Call { request: RequestId, frame: Outgoing, asker: Asker },
    /// Nobody waits for this answer any more.
    Cancel(RequestId),
    /// End the connection.
    Close,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) answer: oneshot::Sender<Incoming>,
    pub(crate) landing: Option<Landing>,
}

/// Where the payload of a reply lands.
pub(crate) struct Landing {
    pub(crate) lease: Arc<Lease>,
    pub(crate) lens: Lens,
}

/// How many bytes of a payload go to each room, as the reply's message says; `None` if it is unreadable.
type Lens = Box<dyn FnOnce(&[u8]) -> Option<Vec<usize>> + Send>;

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Landing").field(&self.lease).finish()
    }
}

/// How a request is sent.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// How long to wait for the reply; `None`: as long as the connection stands.
    pub wait: Option<Duration>,
    /// What the work belongs to.
    pub trace: TraceId,
    /// Who causes it.
    pub job: JobTag,
    /// How urgent it is.
    pub priority: Priority,
    /// What goes beside the message.
    pub extension: Extension,
}

/// What a request was answered with.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// The message.
    pub message: T,
    /// The payload, to be bound to the sums in the message; empty if there is none, or if it landed.
    pub payload: Bytes,
    /// Whether the payload landed in the rooms of [`Peer::call_into`]; it is still to be checked.
    pub landed: bool,
}

/// Tells the peer that nobody waits, unless the answer came. The permits go after that, so that the
/// peer learns of it before a request that takes their place.
struct Waiting<'a> {
    peer: &'a Peer,
    request: RequestId,
    answered: bool,
    _permits: (SemaphorePermit<'a>, SemaphorePermit<'a>),
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.peer.send(Command::Cancel(self.request));
        }
    }
}

impl Peer {
    pub(crate) fn new(limits: &Limits) -> (Self, mpsc::UnboundedReceiver<Command>) {
        // Unbounded, because every call in it holds a slot and cancels no more than once.
        let (commands, receiver) = mpsc::unbounded_channel();
        let bytes_max = u32::try_from(limits.bytes_open.get()).unwrap_or(u32::MAX);
        let shared = Shared {
            commands,
            slots: Semaphore::new(limits.requests_open as usize),
            bytes: Semaphore::new(bytes_max as usize),
            bytes_max,
            next: AtomicU64::new(1),
            closed: OnceLock::new(),
        };
        (Self { shared: Arc::new(shared) }, receiver)
    }

    /// Sends `request` with `payload` and waits for the reply. Safe to drop at any time.
    ///
    /// # Errors
    /// [`CallError`]; after [`CallError::Deadline`] and [`CallError::Closed`] the peer may or may not
    /// have done what was asked.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        payload: Bytes,
        options: &CallOptions,
    ) -> Result<Reply<R::Reply>, CallError> {
        self.ask(request, payload, options, None).await
    }

    /// Sends `request` and waits for the reply, whose payload lands in `rooms` if it fits them: `lens` says how
    /// many of its bytes go to each, in order. The rooms come back with the reply; if that does not say that
    /// it [landed](Reply::landed), their contents are undefined. Safe to drop at any time: nothing is written to
    /// the rooms then.
    ///
    /// # Panics
    /// When there is no room, or they are not of one [`Ground::rooms`](crate::Ground::rooms).
    ///
    /// # Errors
    /// As for [`Self::call`].
    pub async fn call_into<'g, R: Request>(
        &self,
        request: &R,
        rooms: Vec<Room<'g>>,
        lens: fn(&R::Reply) -> Vec<usize>,
        options: &CallOptions,
    ) -> (Result<Reply<R::Reply>, CallError>, Vec<Room<'g>>) {
        let loan = Loan::new(rooms);
        let lens = move |message: &[u8]| Some(lens(&decode(message).ok()?));
        let landing = Landing { lease: loan.lease(), lens: Box::new(lens) };
        let reply = self.ask(request, Bytes::new(), options, Some(landing)).await;
        let (rooms, landed) = loan.end();
        (reply.map(|reply| Reply { landed, ..reply }), rooms)
    }

    /// Ends the connection; open calls get [`Closed::ByUs`].
    pub fn close(&self) {
        self.send(Command::Close);
    }

    /// Why the connection is closed; `None` while it stands.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.closed.get().cloned()
    }

    /// Called once by the connection's task, when it ends.
    pub(crate) fn set_closed(&self, why: Closed) {
        // A second reason would come from a second end, which there is not.
        let _first = self.shared.closed.set(why);
        self.shared.slots.close();
        self.shared.bytes.close();
    }

    async fn ask<R: Request>(
        &self,
        request: &R,
        payload: Bytes,
        options: &CallOptions,
        landing: Option<Landing>,
    ) -> Result<Reply<R::Reply>, CallError> {
        let calling = Calling::begin(R::METHOD);
        let reply = self.ask_within(request, payload, options, landing, &calling).await;
        calling.ended(&reply);
        reply
    }

    async fn ask_within<R: Request>(
        &self,
        request: &R,
        payload: Bytes,
        options: &CallOptions,
        landing: Option<Landing>,
        calling: &Calling,
    ) -> Result<Reply<R::Reply>, CallError> {
        let deadline = options.wait.map(|wait| Instant::now() + wait);
        let mut message = Vec::new();
        encode(request, &mut message);
        let draft = Draft {
            method: R::METHOD,
            trace: options.trace,
            job: options.job,
            priority: options.priority,
            extension: options.extension.clone(),
            message,
            payload,
            ..Draft::bare(FrameKind::Request, RequestId(0))
        };
        let exchange = self.exchange(draft, deadline, landing, calling);
        let frame = match deadline {
            None => exchange.await?,
            Some(at) => timeout_at(at, exchange).await.map_err(|_| CallError::Deadline)??,
        };
        calling.received(&frame.header);
        let message = frame.message();
        match frame.header.kind {
            FrameKind::Failure => Err(CallError::Failed(decode::<WireError>(&message)?)),
            _ => Ok(Reply { message: decode(&message)?, payload: frame.payload, landed: false }),
        }
    }

    async fn exchange(
        &self,
        mut draft: Draft,
        deadline: Option<Instant>,
        landing: Option<Landing>,
        calling: &Calling,
    ) -> Result<Incoming, CallError> {
        let permits = self.permits(draft.payload.len()).await?;
        draft.request = RequestId(self.shared.next.fetch_add(1, Ordering::Relaxed));
        draft.deadline = deadline.map(left);
        let request = draft.request;
        let frame = draft.seal().map_err(CallError::TooLarge)?;
        calling.sent(frame.head.len() + frame.payload.len());
        let (answer, answered) = oneshot::channel();
        let mut waiting = Waiting { peer: self, request, answered: false, _permits: permits };
        let asker = Asker { answer, landing };
        self.send(Command::Call { request, frame, asker });
        let frame = answered.await.map_err(|_| self.why_closed());
        waiting.answered = true;
        Ok(frame?)
    }

    /// A slot, and as many bytes as the payload has (at most all).
    async fn permits(
        &self,
        bytes: usize,
    ) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Closed> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.shared.bytes_max);
        let slot = self.shared.slots.acquire().await.map_err(|_| self.why_closed())?;
        let bytes = self.shared.bytes.acquire_many(bytes).await.map_err(|_| self.why_closed())?;
        Ok((slot, bytes))
    }

    fn send(&self, command: Command) {
        // Where nobody listens any more the connection has ended, which the answer's channel tells.
        let _gone = self.shared.commands.send(command);
    }

    /// A connection whose task was dropped rather than ended was closed by its owner.
    fn why_closed(&self) -> Closed {
        self.closed().unwrap_or(Closed::ByUs)
    }
}

/// What is left until `deadline`, at least a millisecond: 0 would mean for ever.
fn left(deadline: Instant) -> DeadlineMs {
    let ms = deadline.saturating_duration_since(Instant::now()).as_millis();
    let ms = u32::try_from(ms).unwrap_or(u32::MAX);
    DeadlineMs(NonZeroU32::new(ms).unwrap_or(NonZeroU32::MIN))
}
