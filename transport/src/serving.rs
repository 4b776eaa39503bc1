//! The requests of a peer that are being answered.
//!
//! Each runs as a future inside the connection's task: no task a request. A cancelled one is dropped
//! where it waits; work that must be finished is handed to its owner by the handler before it waits.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use emberfs_wire::extension::Extension;
use emberfs_wire::header::{JobTag, Priority, RequestId, TraceId};
use emberfs_wire::{FrameHeader, Method, WireError};
use futures_util::Stream;
use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::call::Peer;
use crate::error::Closed;
use crate::frame::Incoming;
use crate::limits::Limits;
use crate::metered::{Answering, Meter};

/// A request of the peer.
#[derive(Debug)]
pub struct IncomingCall {
    /// Which request.
    pub method: Method,
    /// Its message, to be decoded as that request's type.
    pub message: Bytes,
    /// Its payload, to be bound to the sums in the message; empty if there is none.
    pub payload: Bytes,
    /// What came beside the message.
    pub extension: Extension,
    /// What the work belongs to.
    pub trace: TraceId,
    /// Who causes it.
    pub job: JobTag,
    /// How urgent it is.
    pub priority: Priority,
    /// When the asker stops waiting. It only saves work: no rule of safety may rest on it.
    pub deadline: Option<Instant>,
    /// The way back: requests to whoever asked.
    pub peer: Peer,
}

/// What answers a request: an encoded reply and its payload, or a failure.
pub type Answer = Result<(Vec<u8>, Bytes), WireError>;

/// Answers the requests of a peer.
pub trait Handler {
    /// Answers one request. Many run at once; one whose asker gave up is dropped.
    fn handle(&self, call: IncomingCall) -> impl Future<Output = Answer>;
}

/// Serves nothing: for a side that only asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoService;

impl Handler for NoService {
    async fn handle(&self, call: IncomingCall) -> Answer {
        Err(WireError::bug(format!("{} is not served here", call.method)))
    }
}

/// All open requests of a peer; `F` is the future of the handler.
pub(crate) struct Serving<F> {
    running: FuturesUnordered<Abortable<Tagged<F>>>,
    open: HashMap<RequestId, Open>,
    bytes: u64,
    limits: Limits,
    meter: Meter,
}

struct Open {
    abort: AbortHandle,
    bytes: u64,
    counted: Answering,
}

/// A handler's future, with the request that it answers.
struct Tagged<F> {
    request: RequestId,
    method: Method,
    answer: Pin<Box<F>>,
}

/// An answered request.
pub(crate) struct Answered {
    pub(crate) request: RequestId,
    pub(crate) method: Method,
    pub(crate) answer: Answer,
}

impl<F: Future<Output = Answer>> Future for Tagged<F> {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let (request, method) = (self.request, self.method);
        self.answer.as_mut().poll(cx).map(|answer| Answered { request, method, answer })
    }
}

impl<F: Future<Output = Answer>> Serving<F> {
    pub(crate) fn new(limits: Limits, meter: Meter) -> Self {
        let (running, open) = (FuturesUnordered::new(), HashMap::new());
        Self { running, open, bytes: 0, limits, meter }
    }

    /// Takes in a request, if the peer keeps its limits.
    ///
    /// # Errors
    /// [`Closed::Protocol`] if it does not.
    pub(crate) fn begin(&mut self, header: &FrameHeader, answer: F) -> Result<(), Closed> {
        let (request, method) = (header.request, header.method);
        let bytes = u64::from(header.payload_len);
        if self.open.len() >= self.limits.requests_open as usize {
            return Err(Closed::Protocol("more requests are open than may be"));
        }
        let alone = self.bytes == 0;
        if !alone && bytes > 0 && self.bytes + bytes > self.limits.bytes_open.get() {
            return Err(Closed::Protocol("more bytes are open than may be"));
        }
        let (abort, registration) = AbortHandle::new_pair();
        let counted = self.meter.begin(header);
        if self.open.insert(request, Open { abort, bytes, counted }).is_some() {
            return Err(Closed::Protocol("a request has the number of an open one"));
        }
        self.bytes += bytes;
        let tagged = Tagged { request, method, answer: Box::pin(answer) };
        self.running.push(Abortable::new(tagged, registration));
        Ok(())
    }

    /// Drops a request that nobody waits for any more; one that is answered already is no mistake.
    pub(crate) fn cancel(&mut self, request: RequestId) {
        if let Some(open) = self.open.remove(&request) {
            open.abort.abort();
            self.bytes -= open.bytes;
        }
    }

    /// The next request that is answered; waits for ever if none is open.
    pub(crate) async fn next(&mut self) -> Answered {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answered> {
        loop {
            match Pin::new(&mut self.running).poll_next(cx) {
                Poll::Ready(Some(Ok(answered))) => {
                    // A request cancelled in the same turn has its answer thrown away.
                    if let Some(open) = self.open.remove(&answered.request) {
                        self.bytes -= open.bytes;
                        open.counted.answered(&answered.answer);
                        return Poll::Ready(answered);
                    }
                }
                Poll::Ready(Some(Err(Aborted))) => {}
                // Nothing is running: the loop polls again after the next request came in.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl IncomingCall {
    /// The request in a frame; `None` if its extension area cannot be read.
    pub(crate) fn new(frame: &Incoming, peer: Peer) -> Option<Self> {
        let header = &frame.header;
        let wait = header.deadline.map(|d| Duration::from_millis(u64::from(d.0.get())));
        Some(Self {
            method: header.method,
            message: frame.message(),
            payload: frame.payload.clone(),
            extension: frame.extension().ok()?,
            trace: header.trace,
            job: header.job,
            priority: header.priority,
            deadline: wait.map(|wait| Instant::now() + wait),
            peer,
        })
    }
}
