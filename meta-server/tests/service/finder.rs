//! A client of a group: it asks whoever leads, and goes by what it is told of that.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClientId, ClusterId, Sequence};
use emberfs_transport::{CallError, CallOptions, Limits, NoService, Peer, Tcp, connect};
use emberfs_wire::handshake::Role;
use emberfs_wire::meta::{
    Ask, Mutate, Mutation, MutationReply, OpenSession, Place, Query, QueryReply, Slot,
};
use emberfs_wire::{FsError, Request, WireError};
use tokio::time::{Instant, interval};

use crate::member::{PATIENCE, ROOT, hello, name, root};

/// How long one member is waited for.
const WAIT: Duration = Duration::from_secs(2);

pub(crate) struct Finder {
    cluster: ClusterId,
    /// Members by their places from 0, and where they listen.
    places: Vec<(usize, SocketAddr)>,
    /// Which of these it asks.
    at: usize,
    peer: Option<Peer>,
    client: ClientId,
    sequence: Sequence,
}

impl Finder {
    /// Knows where these members listen, and has no session yet.
    pub(crate) fn new(cluster: ClusterId, places: Vec<(usize, SocketAddr)>) -> Self {
        let (client, sequence) = (ClientId(0), Sequence::NONE);
        Self { cluster, places, at: 0, peer: None, client, sequence }
    }

    /// The same, with a session.
    pub(crate) async fn opened(mut self) -> Self {
        let start = rand::random();
        let asked = OpenSession { start, host: "test".into(), what: "a test".into() };
        self.client = self.call(&asked).await.expect("a session").client;
        self
    }

    /// Which member answered last.
    pub(crate) fn at(&self) -> usize {
        self.places[self.at].0
    }

    /// Asks until somebody answers as a leader does.
    pub(crate) async fn call<R: Request>(&mut self, request: &R) -> Result<R::Reply, WireError> {
        let start = Instant::now();
        let mut pause = interval(Duration::from_millis(10));
        loop {
            assert!(start.elapsed() < PATIENCE, "nobody answers");
            let Some(peer) = self.peer().await else {
                self.turn_to(None);
                pause.tick().await;
                continue;
            };
            let options = CallOptions { wait: Some(WAIT), ..CallOptions::default() };
            match peer.call(request, Bytes::new(), &options).await {
                Ok(reply) => return Ok(reply.message),
                Err(CallError::Failed(WireError::NotLeader { leader })) => {
                    if !self.turn_to(leader.map(|leader| leader.get() as usize - 1)) {
                        pause.tick().await;
                    }
                }
                Err(CallError::Failed(WireError::Retry { .. })) => {
                    pause.tick().await;
                }
                Err(CallError::Failed(error)) => return Err(error),
                Err(_) => drop(self.turn_to(None)),
            }
        }
    }

    /// Turns to the leader, or to the next, if it is not known.
    fn turn_to(&mut self, leader: Option<usize>) -> bool {
        let known = self.places.iter().position(|&(at, _)| Some(at) == leader);
        self.at = known.unwrap_or((self.at + 1) % self.places.len());
        self.peer.take().inspect(Peer::close);
        known.is_some()
    }

    async fn peer(&mut self) -> Option<Peer> {
        if self.peer.as_ref().is_none_or(|peer| peer.closed().is_some()) {
            let address = self.places[self.at].1.to_string().parse().expect("an address");
            let hello = hello(Some(self.cluster), Role::Client);
            let pool = Pool::new(ByteLen::ZERO);
            let met = connect(&Tcp, &address, &hello, &pool, Limits::default()).await;
            let (connection, _) = met.ok()?;
            self.peer = Some(connection.peer());
            tokio::spawn(connection.run(NoService));
        }
        self.peer.clone()
    }

    /// Changes something, once, whoever leads.
    pub(crate) async fn mutate(&mut self, mutation: Mutation) -> Result<MutationReply, WireError> {
        self.sequence = self.sequence.next();
        let slot = Slot { client: self.client, slot: 0, sequence: self.sequence };
        self.call(&Mutate { slot, caller: root(), mutation }).await
    }

    /// Whether a name is there, as the leader has it.
    pub(crate) async fn has(&mut self, file: &str) -> bool {
        let of = Place::entry(ROOT, &name(file));
        let asked = Ask { caller: root(), query: Query::Attributes { of, follow: false } };
        match self.call(&asked).await {
            Ok(QueryReply::Attributes(_)) => true,
            Err(WireError::Refuse { why: FsError::NotFound }) => false,
            other => panic!("{other:?}"),
        }
    }
}
