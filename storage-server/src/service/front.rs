//! The listener: takes connections, lets each say who it is, and hands it to the shard it asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use emberfs_daemon::listen::{self, ListenError};
use emberfs_layout::{ClusterId, TargetId};
use emberfs_transport::{HandshakeError, Limits, Pending, Refusals, Tcp};
use emberfs_wire::handshake::{Hello, Identity, Refusal, Role, ShardIndex, ShardTargets, Welcome};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::news::News;
use crate::shard::{NewConnection, ShardCommand};

/// Connections at once, handshakes included (a count): a process may have some 20,000 descriptors.
const CONNECTIONS_MAX: usize = 8192;
/// After a failed accept, which mostly means that descriptors are used up: some become free soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the listener's thread is given.
pub(crate) struct Front {
    pub(crate) cluster: ClusterId,
    pub(crate) news: watch::Receiver<Option<News>>,
    /// The shards, by their index.
    pub(crate) shards: Vec<mpsc::Sender<ShardCommand>>,
}

/// The state behind all accept loops.
struct Door {
    front: Front,
    limits: Limits,
    refusals: Refusals,
    room: Arc<Semaphore>,
    /// Where the next connection that does not mind goes.
    turn: AtomicUsize,
}

impl Front {
    /// Listens; nobody is let in before [`Self::run`].
    pub(crate) fn listen(
        addresses: &[SocketAddr],
        beyond_loopback: bool,
    ) -> Result<Vec<TcpListener>, ListenError> {
        listen::bind(addresses, beyond_loopback)
    }

    /// Lets peers in, for ever. Dropped, the ports are closed.
    pub(crate) async fn run(self, listeners: Vec<TcpListener>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (limits, refusals) = (Limits::default(), Refusals::default());
        let turn = AtomicUsize::new(0);
        let door = Rc::new(Door { front: self, limits, refusals, room, turn });
        let loops = listeners.into_iter().map(|listener| Rc::clone(&door).accept(listener));
        let loops: Vec<_> = loops.map(spawn_local).collect();
        for one in loops {
            one.await.expect("an accept loop does not end");
        }
    }
}

impl Door {
    async fn accept(self: Rc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let door = Rc::clone(&self);
                    spawn_local(async move {
                        if let Err(error) = door.greet(stream, from).await {
                            tracing::debug!(%from, %error, "not let in");
                        }
                    });
                }
                Err(error) => {
                    self.refusals.not_accepted(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn greet(&self, stream: TcpStream, from: SocketAddr) -> Result<(), HandshakeError> {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.inspect_err(|_| self.refusals.full(from, CONNECTIONS_MAX));
        Tcp::tune(&stream).map_err(emberfs_transport::Closed::from)?;
        let pending = Pending::accept(stream, self.limits).await?;
        let judged = permit
            .map_err(|_| unavailable(format!("{CONNECTIONS_MAX} connections are open")))
            .and_then(|permit| Ok((permit, self.judge(pending.hello())?)));
        match judged {
            Ok((permit, welcome)) => self.hand_over(pending, welcome, permit).await,
            Err(refusal) => {
                self.refusals.log(&pending.hello().identity, &refusal);
                pending.refuse(refusal).await
            }
        }
    }

    /// Who this server is, and on which shard the peer shall live.
    fn judge(&self, hello: &Hello) -> Result<Welcome, Refusal> {
        let news = self.front.news.borrow();
        let Some(News { node, boot, routes, .. }) = &*news else {
            return Err(unavailable("this server has no lease yet".to_owned()));
        };
        let identity = Identity {
            cluster: Some(self.front.cluster),
            role: Role::Storage,
            node: Some(*node),
            boot: Some(*boot),
            client: None,
        };
        let (protocol, features) = hello.judge(&identity)?;
        let shards = shard_table(&routes.homes);
        Ok(Welcome { protocol, features, identity, shard: self.shard(hello.shard)?, shards })
    }

    fn shard(&self, asked: Option<ShardIndex>) -> Result<ShardIndex, Refusal> {
        let count = narrow(self.front.shards.len());
        match asked {
            Some(asked) if asked.0 >= count => Err(Refusal::NoSuchShard { asked, count }),
            Some(asked) => Ok(asked),
            None => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                Ok(ShardIndex(narrow(turn % self.front.shards.len())))
            }
        }
    }

    async fn hand_over(
        &self,
        pending: Pending<TcpStream>,
        welcome: Welcome,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), HandshakeError> {
        let shard = &self.front.shards[usize::from(welcome.shard.0)];
        let pending = pending.map_stream(TcpStream::into_std);
        let pending = pending.map_err(emberfs_transport::Closed::from)?;
        let connection = NewConnection { pending, welcome, permit };
        // A shard that is gone has closed its end: the server is about to stop.
        let _gone = shard.send(ShardCommand::Connection(Box::new(connection))).await;
        Ok(())
    }
}

fn unavailable(text: String) -> Refusal {
    Refusal::Unavailable { text }
}

fn shard_table(homes: &BTreeMap<TargetId, ShardIndex>) -> Vec<ShardTargets> {
    let mut table: BTreeMap<ShardIndex, Vec<TargetId>> = BTreeMap::new();
    for (target, shard) in homes {
        table.entry(*shard).or_default().push(*target);
    }
    table.into_iter().map(|(shard, targets)| ShardTargets { shard, targets }).collect()
}

fn narrow(count: usize) -> u16 {
    u16::try_from(count).expect("the configuration bounds the shards")
}
