//! One connection: one task that owns all of it.
//!
//! [`Connection::run`] is one loop: wait for the next event, apply it, go round. A frame came, a
//! handle has something to send, a request was answered, the socket takes bytes, the clock ticked. It
//! runs wherever it is spawned, on a work-stealing runtime or on a shard's own thread. Reading,
//! writing and serving never wait for each other: a mutex-and-tasks design was rejected, as every
//! reply would have crossed threads.

use std::collections::HashMap;
use std::future::Future;

use emberfs_buffer::Pool;
use emberfs_wire::handshake::Identity;
use emberfs_wire::header::RequestId;
use emberfs_wire::{FrameHeader, FrameKind, Method, WireError, encode};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::arriving::Destination;
use crate::call::{Asker, Command, Landing, Peer};
use crate::error::Closed;
use crate::frame::{Draft, Incoming, Outgoing};
use crate::limits::Limits;
use crate::metered::Meter;
use crate::outbox::Outbox;
use crate::reader::FrameReader;
use crate::serving::{Answer, Answered, Handler, IncomingCall, Serving};

/// A connection whose handshake is done, and whose task is to be started.
#[derive(Debug)]
pub struct Connection<S> {
    reader: FrameReader<ReadHalf<S>>,
    writer: WriteHalf<S>,
    commands: mpsc::UnboundedReceiver<Command>,
    peer: Peer,
    limits: Limits,
    /// Who is at the other end, as it said.
    remote: Identity,
}

/// What the loop owns beside its sources of events.
struct State {
    outbox: Outbox,
    /// Who waits for which answer.
    waiting: HashMap<RequestId, Asker>,
    /// Whether anything was queued since the last tick: a side that is heard needs no ping.
    sent: bool,
    limits: Limits,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream on which both sides know each other; `remote` is at the other end. Payloads land in memory of
    /// `pool`.
    pub(crate) fn new(stream: S, pool: Pool, limits: Limits, remote: Identity) -> Self {
        let (read, writer) = tokio::io::split(stream);
        let (peer, commands) = Peer::new(&limits);
        Self { reader: FrameReader::new(read, pool), writer, commands, peer, limits, remote }
    }

    /// A handle for requests to the other side.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Moves frames until the connection ends, and says why it did. Dropped, it closes at once.
    pub async fn run<H: Handler>(self, handler: H) -> Closed {
        let Self { mut reader, mut writer, mut commands, peer, limits, remote } = self;
        let mut state = State::new(limits);
        let mut serving = Serving::new(limits, Meter::new(&remote));
        let mut tick = interval(limits.ping_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closed = loop {
            let step = tokio::select! {
                frame = reader.next(|h, m| land(&mut state.waiting, h, m)) => frame.and_then(|frame| {
                    state.on_frame(frame, &mut serving, |frame| {
                        IncomingCall::new(frame, peer.clone()).map(|call| handler.handle(call))
                    })
                }),
                Some(command) = commands.recv() => state.on_commands(command, &mut commands),
                answered = serving.next() => state.on_answers(answered, &mut serving),
                sent = state.outbox.write_some(&mut writer), if !state.outbox.is_empty() => {
                    sent.map_err(Closed::from)
                }
                _ = tick.tick() => state.on_tick(reader.heard()),
            };
            if let Err(closed) = step {
                break closed;
            }
        };
        peer.set_closed(closed.clone());
        closed
    }
}

/// Where the payload of an answer goes, once its message is known: nowhere if nobody waits for it, else to
/// the memory of whoever asked, if he lent any.
fn land(
    waiting: &mut HashMap<RequestId, Asker>,
    header: &FrameHeader,
    message: &[u8],
) -> Option<Destination> {
    if !matches!(header.kind, FrameKind::Reply | FrameKind::Failure) {
        return None;
    }
    let asker = waiting.get_mut(&header.request).filter(|asker| !asker.answer.is_closed());
    let Some(asker) = asker else { return Some(Destination::Nowhere) };
    let landing = asker.landing.take().filter(|_| header.kind == FrameKind::Reply);
    let Landing { lease, lens } = landing?;
    let taken = lease.take(&lens(message)?, header.payload_len as usize);
    taken.then_some(Destination::Caller(lease))
}

impl State {
    fn new(limits: Limits) -> Self {
        let (outbox, waiting) = (Outbox::default(), HashMap::new());
        Self { outbox, waiting, sent: false, limits }
    }

    fn on_frame<F: Future<Output = Answer>>(
        &mut self,
        frame: Incoming,
        serving: &mut Serving<F>,
        handle: impl FnOnce(&Incoming) -> Option<F>,
    ) -> Result<(), Closed> {
        let request = frame.header.request;
        match frame.header.kind {
            FrameKind::Request => {
                let answer =
                    handle(&frame).ok_or(Closed::Protocol("an unreadable extension area"))?;
                serving.begin(&frame.header, answer)?;
            }
            FrameKind::Reply | FrameKind::Failure => {
                // The answer to a cancelled call crossed the cancellation: nobody waits for it.
                if let Some(asker) = self.waiting.remove(&request) {
                    let _gone = asker.answer.send(frame);
                }
            }
            FrameKind::Cancel => serving.cancel(request),
            FrameKind::Ping => self.push(Draft::bare(FrameKind::Pong, request)),
            FrameKind::Pong => {}
        }
        Ok(())
    }

    /// Takes in a command and all that stand behind it, so that they leave in one write.
    fn on_commands(
        &mut self,
        first: Command,
        more: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), Closed> {
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Call { request, frame, asker } => {
                    self.waiting.insert(request, asker);
                    self.send(frame);
                }
                Command::Cancel(request) => {
                    if self.waiting.remove(&request).is_some() {
                        self.push(Draft::bare(FrameKind::Cancel, request));
                    }
                }
                Command::Close => return Err(Closed::ByUs),
            }
            next = more.try_recv().ok();
        }
        Ok(())
    }

    /// Sends an answer and all others that are ready.
    fn on_answers<F: Future<Output = Answer>>(
        &mut self,
        first: Answered,
        serving: &mut Serving<F>,
    ) -> Result<(), Closed> {
        let mut next = Some(first);
        while let Some(Answered { request, method, answer }) = next {
            self.push_answer(request, method, answer);
            next = serving.next().now_or_never();
        }
        Ok(())
    }

    fn push_answer(&mut self, request: RequestId, method: Method, answer: Answer) {
        let failure = |error: &WireError| {
            let mut draft = Draft { method, ..Draft::bare(FrameKind::Failure, request) };
            encode(error, &mut draft.message);
            draft
        };
        let draft = match answer {
            Ok((message, payload)) => {
                Draft { method, message, payload, ..Draft::bare(FrameKind::Reply, request) }
            }
            Err(error) => failure(&error),
        };
        match draft.seal() {
            Ok(frame) => self.send(frame),
            Err(error) => {
                self.push(failure(&WireError::bug(format!("a reply is too large: {error}"))));
            }
        }
    }

    /// Gives up on a silent peer, and keeps this side from seeming silent: also while it has no memory
    /// to read the peer's pings.
    fn on_tick(&mut self, heard: Instant) -> Result<(), Closed> {
        if heard.elapsed() > self.limits.silence_max {
            return Err(Closed::Silent);
        }
        if !std::mem::take(&mut self.sent) {
            self.push(Draft::bare(FrameKind::Ping, RequestId(0)));
            self.sent = false;
        }
        Ok(())
    }

    /// Queues a frame that is small by its making.
    fn push(&mut self, draft: Draft) {
        self.send(draft.seal().expect("a bare frame or a failure with bounded words"));
    }

    fn send(&mut self, frame: Outgoing) {
        self.outbox.push(frame);
        self.sent = true;
    }
}
