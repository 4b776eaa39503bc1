//! Tests of connections: two ends over memory or loopback, and scripted peers that misbehave.

mod calls;
mod faults;
mod framing;
mod landing;
mod links;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClusterId, NodeId};
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex, Welcome};
use emberfs_wire::header::RequestId;
use emberfs_wire::protocol::{Features, ProtocolRange};
use emberfs_wire::{FrameKind, FsError, Method, Request, WireError, decode, encode};
use minicbor::{Decode, Encode};
use tokio::io::DuplexStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::frame::Draft;
use crate::{Answer, Connection, Handler, IncomingCall, Limits};

/// What the test service understands: it answers with the same number and payload, unless the number
/// is one of the special ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Echo(#[n(0)] u64);

/// Answered with a failure.
const FAIL: Echo = Echo(u64::MAX);
/// Answered when the gate is opened.
const GATED: Echo = Echo(u64::MAX - 1);
/// Answered by a request of the service's own to its caller.
const CALL_BACK: Echo = Echo(u64::MAX - 2);

impl Request for Echo {
    const METHOD: Method = Method::new(0xff00);
    type Reply = Self;
}

/// Counts what it does.
#[derive(Clone, Debug)]
struct Service {
    gate: Arc<Semaphore>,
    started: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// A permit for each call that began.
    beginnings: Arc<Semaphore>,
    /// A permit for each call that ended, answered or dropped.
    endings: Arc<Semaphore>,
}

impl Service {
    fn new() -> Self {
        let count = || Arc::new(AtomicUsize::new(0));
        let signal = || Arc::new(Semaphore::new(0));
        Self {
            gate: signal(),
            started: count(),
            running: count(),
            most: count(),
            beginnings: signal(),
            endings: signal(),
        }
    }

    /// Waits until one more call has begun.
    async fn began(&self) {
        one_of(&self.beginnings).await;
    }

    /// Waits until one more call has ended.
    async fn ended(&self) {
        one_of(&self.endings).await;
    }
}

/// Takes one permit; a test that waits for a minute has failed.
async fn one_of(signal: &Semaphore) {
    let permit = timeout(Duration::from_secs(60), signal.acquire()).await;
    permit.expect("within a minute").expect("open while tests run").forget();
}

/// A call that runs, until it is dropped.
struct Running(Service);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.endings.add_permits(1);
    }
}

impl Handler for Service {
    async fn handle(&self, call: IncomingCall) -> Answer {
        self.started.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let _running = Running(self.clone());
        self.beginnings.add_permits(1);
        let echo: Echo = decode(&call.message).map_err(|e| WireError::bug(e.to_string()))?;
        match echo {
            FAIL => return Err(FsError::NoSpace.into()),
            GATED => self.gate.acquire().await.expect("open while tests run").forget(),
            CALL_BACK => {
                let back = call.peer.call(&Echo(7), Bytes::new(), &Default::default()).await;
                assert_eq!(back.expect("the caller serves too").message, Echo(7));
            }
            Echo(_) => tokio::task::yield_now().await,
        }
        let mut message = Vec::new();
        encode(&echo, &mut message);
        Ok((message, call.payload))
    }
}

fn pool() -> Pool {
    Pool::new(ByteLen(64 << 20))
}

/// Two ends of one connection.
fn pair(limits: Limits) -> (Connection<DuplexStream>, Connection<DuplexStream>) {
    let (a, b) = tokio::io::duplex(4096);
    let end = |stream| Connection::new(stream, pool(), limits, identity(Role::Client));
    (end(a), end(b))
}

/// A connection, and a bare stream at its other end.
fn against_script(limits: Limits) -> (Connection<DuplexStream>, DuplexStream) {
    let (a, b) = tokio::io::duplex(1 << 20);
    (Connection::new(a, pool(), limits, identity(Role::Client)), b)
}

/// A request as it lies on the wire.
fn request_bytes(request: u64, echo: Echo, payload: &[u8]) -> Vec<u8> {
    let mut draft = Draft {
        method: Echo::METHOD,
        payload: Bytes::copy_from_slice(payload),
        ..Draft::bare(FrameKind::Request, RequestId(request))
    };
    encode(&echo, &mut draft.message);
    let frame = draft.seal().expect("small");
    [&frame.head[..], &frame.payload].concat()
}

fn identity(role: Role) -> Identity {
    Identity { cluster: Some(ClusterId(1)), role, node: None, boot: None, client: None }
}

fn hello() -> Hello {
    Hello {
        protocol: ProtocolRange::OURS,
        features: Features::OURS,
        identity: identity(Role::Client),
        expected_role: Role::Storage,
        expected_node: Some(NodeId(1)),
        shard: None,
    }
}

fn welcome() -> Welcome {
    Welcome {
        protocol: ProtocolRange::OURS.newest,
        features: Features::OURS,
        identity: Identity { node: Some(NodeId(1)), ..identity(Role::Storage) },
        shard: ShardIndex(0),
        shards: Vec::new(),
    }
}
