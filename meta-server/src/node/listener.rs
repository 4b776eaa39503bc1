//! Connections come in: each is asked who it is, and then served by a task of its own.

use std::sync::Arc;

use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use emberfs_transport::{HandshakeError, Limits, Pending, Refusals, Tcp};
use emberfs_wire::handshake::{Hello, Identity, Refusal, ShardIndex, Welcome};
use emberfs_wire::protocol::{Features, ProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::service::Service;

/// Connections at once (a count): every client and server of a large cluster, within the 20,000 files
/// that a process may usually have open.
const CONNECTIONS_MAX: usize = 16_384;
/// How long to wait after the system refused a connection, as when files run out: it will be a while
/// until some are closed.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Memory for payloads of clients and servers: no request of theirs has one, and one that had would be cut off.
const NO_PAYLOADS: ByteLen = ByteLen::ZERO;
/// Memory for payloads of the other members together: some requests with entries of each. When it is used up,
/// they wait.
const MEMBERS_PAYLOADS: ByteLen = ByteLen(128 << 20);

/// What every connection is served with.
#[derive(Clone)]
pub(crate) struct Reception {
    /// Who this member is.
    identity: Identity,
    /// What answers requests.
    service: Service,
    /// Where payloads of other members land.
    members: Pool,
}

impl Reception {
    /// For the connections of one member.
    pub(crate) fn new(identity: Identity, service: Service) -> Self {
        Self { identity, service, members: Pool::new(MEMBERS_PAYLOADS) }
    }
}

/// Takes connections, in tasks of `tasks`, as long as these run; then all of them are closed.
pub(crate) fn listen(listeners: Vec<TcpListener>, reception: &Reception, tasks: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let refusals = Arc::new(Refusals::default());
    for listener in listeners {
        tasks.spawn(accept(listener, reception.clone(), room.clone(), refusals.clone()));
    }
}

async fn accept(
    listener: TcpListener,
    reception: Reception,
    room: Arc<Semaphore>,
    refusals: Arc<Refusals>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let Ok(permit) = room.clone().try_acquire_owned() else {
                        refusals.full(from, CONNECTIONS_MAX);
                        continue;
                    };
                    let (reception, refusals) = (reception.clone(), refusals.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        if let Err(error) = serve(stream, reception, &refusals).await {
                            tracing::debug!(%from, %error, "not connected");
                        }
                    });
                }
                Err(error) => {
                    refusals.not_accepted(&error);
                    sleep(REFUSED_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    stream: TcpStream,
    reception: Reception,
    refusals: &Refusals,
) -> Result<(), HandshakeError> {
    let Reception { identity, service, members } = reception;
    Tcp::tune(&stream).map_err(emberfs_transport::Closed::from)?;
    let pending = Pending::accept(stream, Limits::default()).await?;
    let (protocol, features) = match judge(pending.hello(), &identity) {
        Ok(both) => both,
        Err(refusal) => {
            refusals.log(&pending.hello().identity, &refusal);
            return pending.refuse(refusal).await;
        }
    };
    let shard = ShardIndex(0);
    let welcome = Welcome { protocol, features, identity, shard, shards: Vec::new() };
    let peer = pending.hello().identity;
    let service = service.for_peer(&peer);
    let pool = if service.is_member() { members } else { Pool::new(NO_PAYLOADS) };
    let connection = pending.welcome(welcome, &pool).await?;
    let why = connection.run(service).await;
    tracing::debug!(?peer, %why, "connection ended");
    Ok(())
}

/// Whether this peer is spoken to, and how. A member has one shard.
fn judge(hello: &Hello, ours: &Identity) -> Result<(ProtocolVersion, Features), Refusal> {
    let both = hello.judge(ours)?;
    match hello.shard {
        Some(asked) if asked != ShardIndex(0) => Err(Refusal::NoSuchShard { asked, count: 1 }),
        _ => Ok(both),
    }
}
