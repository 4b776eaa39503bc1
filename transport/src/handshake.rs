//! The first exchange: [`connect`] on the side that asks, [`Pending`] on the side that listens.
//!
//! ```text
//!   asks       ── Hello ──────────────►  Pending::accept
//!              ◄──────── Welcome ──────  welcome(): a Connection on both sides
//!              ◄──────── Refused ──────  refuse(): closed, with words
//! ```
//!
//! Nothing but the handshake is read before it is done, so that a listener can pass the stream, as it
//! is, to the thread that will serve it.

use std::future::Future;

use emberfs_buffer::Pool;
use emberfs_wire::handshake::{Hello, HelloReply, Refusal, Welcome};
use emberfs_wire::header::RequestId;
use emberfs_wire::{FrameKind, Request, decode, encode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::address::Address;
use crate::connection::Connection;
use crate::error::{Closed, HandshakeError};
use crate::frame::{Draft, Incoming};
use crate::limits::Limits;
use crate::network::Network;
use crate::outbox::Outbox;
use crate::reader::FrameReader;

/// A peer that has said who it is, and waits for an answer.
#[derive(Debug)]
pub struct Pending<S> {
    hello: Hello,
    stream: S,
    limits: Limits,
}

/// Connects to `to` and introduces this side. Payloads will land in memory of `pool`.
///
/// # Errors
/// [`HandshakeError`]; [`HandshakeError::Refused`] carries the peer's own words.
pub async fn connect<N: Network>(
    network: &N,
    to: &Address,
    hello: &Hello,
    pool: &Pool,
    limits: Limits,
) -> Result<(Connection<N::Stream>, Welcome), HandshakeError> {
    let unreachable = |source| HandshakeError::Unreachable { address: to.clone(), source };
    in_time(limits, async {
        let mut stream = network.connect(to).await.map_err(unreachable)?;
        send(&mut stream, FrameKind::Request, hello).await?;
        let (reply, stream) = receive(stream, FrameKind::Reply).await?;
        match decode(&reply.message())? {
            HelloReply::Welcome(welcome) => {
                hello.judge_welcome(&welcome).map_err(HandshakeError::Refused)?;
                let connection = Connection::new(stream, pool.clone(), limits, welcome.identity);
                Ok((connection, welcome))
            }
            HelloReply::Refused(refusal) => Err(HandshakeError::Refused(refusal)),
        }
    })
    .await
}

impl<S> Pending<S> {
    /// Who it says it is, and whom it wants.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The same peer over another form of its stream: to move a socket between runtimes.
    ///
    /// # Errors
    /// Whatever `change` says.
    pub fn map_stream<T, E>(self, change: impl FnOnce(S) -> Result<T, E>) -> Result<Pending<T>, E> {
        let Self { hello, stream, limits } = self;
        Ok(Pending { hello, stream: change(stream)?, limits })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pending<S> {
    /// Waits for a peer that connected to say who it is.
    ///
    /// # Errors
    /// [`HandshakeError`] if it says something else, or nothing in time.
    pub async fn accept(stream: S, limits: Limits) -> Result<Self, HandshakeError> {
        in_time(limits, async {
            let (frame, stream) = receive(stream, FrameKind::Request).await?;
            Ok(Self { hello: decode(&frame.message())?, stream, limits })
        })
        .await
    }

    /// Answers that the connection stands. Payloads will land in memory of `pool`.
    ///
    /// # Errors
    /// [`HandshakeError`] if the answer cannot be sent.
    pub async fn welcome(
        mut self,
        welcome: Welcome,
        pool: &Pool,
    ) -> Result<Connection<S>, HandshakeError> {
        let reply = HelloReply::Welcome(welcome);
        in_time(self.limits, send(&mut self.stream, FrameKind::Reply, &reply)).await?;
        Ok(Connection::new(self.stream, pool.clone(), self.limits, self.hello.identity))
    }

    /// Answers why not, and closes.
    ///
    /// # Errors
    /// [`HandshakeError`] if the answer cannot be sent.
    pub async fn refuse(mut self, refusal: Refusal) -> Result<(), HandshakeError> {
        let reply = HelloReply::Refused(refusal);
        in_time(self.limits, send(&mut self.stream, FrameKind::Reply, &reply)).await
    }
}

async fn in_time<T>(
    limits: Limits,
    exchange: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    timeout(limits.handshake, exchange).await.map_err(|_| HandshakeError::Slow)?
}

async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    kind: FrameKind,
    message: &impl minicbor::Encode<()>,
) -> Result<(), HandshakeError> {
    let mut draft = Draft { method: Hello::METHOD, ..Draft::bare(kind, RequestId(0)) };
    encode(message, &mut draft.message);
    let mut outbox = Outbox::default();
    outbox.push(draft.seal().map_err(Closed::Frame)?);
    while !outbox.is_empty() {
        outbox.write_some(stream).await.map_err(Closed::from)?;
    }
    Ok(())
}

/// One frame of the handshake, and the stream behind it.
async fn receive<S: AsyncRead + Unpin>(
    stream: S,
    kind: FrameKind,
) -> Result<(Incoming, S), HandshakeError> {
    // What follows at once, such as a ping, is for the connection to read.
    let mut reader = FrameReader::exact(stream);
    let frame = reader.next(|_, _| None).await?;
    if frame.header.kind != kind || frame.header.method != Hello::METHOD {
        return Err(Closed::Protocol("something else than a handshake came first").into());
    }
    Ok((frame, reader.into_stream()))
}
