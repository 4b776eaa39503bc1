//! The leader as a client of the storage servers: it removes, cuts and looks for chunks.
//!
//! ```text
//!   chain id ── routing in the group's own state ──► head, its server ── link ──► request
//!      ▲                                                                            │
//!      └──────────── pause, look again: any failure may be gone by then ◄───────────┘
//! ```
//!
//! A request is repeated until it is done, with the same tag, so that it is carried out once. One that is
//! refused has not happened and never will under that tag: it is begun anew under another, for what it lacked
//! (room, a block that can be read) may be there by then, after longer pauses (`pauses`). It ends otherwise only
//! when this member leads no more ([`Lost`]). It does not go through the client library: that asks this server for
//! what is here at hand.

mod asked;
mod files;
mod links;
mod pauses;
mod tags;

use std::time::Duration;

use bytes::Bytes;
use emberfs_layout::{ChainId, ChunkId, ChunkSize, ClientId, DataId, Sequence, TableId};
use emberfs_meta_server_state::cluster;
use emberfs_transport::{CallError, CallOptions};
use emberfs_wire::chunk::{ChunkChange, LastChunkReply, Replica};
use emberfs_wire::cluster::{Node, PublicState};
use emberfs_wire::handshake::Identity;
use emberfs_wire::{Request, WireError};
use thiserror::Error;
use tokio::time::sleep;

use crate::group::{Group, GroupError};
use crate::store::StateView;

use asked::{Asked, LastOf, OneChange};
use links::Links;
use pauses::Pauses;
use tags::Tags;

/// How long to wait for one answer before the chain is looked up again: a head that hangs is replaced.
const CALL_WAIT: Duration = Duration::from_secs(10);

/// This member leads no more: another will do the work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this member leads no more: {text}")]
pub(crate) struct Lost {
    text: String,
}

impl Lost {
    fn no_such_table(table: TableId) -> Self {
        Self { text: format!("{table} is not in the state") }
    }
}

impl From<GroupError> for Lost {
    fn from(error: GroupError) -> Self {
        Self { text: error.to_string() }
    }
}

/// Reaches the chunks of all files.
pub(crate) struct Chunks {
    group: Group,
    links: Links,
    tags: Tags,
}

/// Where a request for a chain goes.
struct Head {
    replica: Replica,
    node: Node,
}

/// Why a request is not done yet.
#[derive(Debug)]
enum NotYet {
    /// It may still be carried out.
    Open(String),
    /// It has not happened, and never will as it was asked.
    Refused(String),
}

impl Chunks {
    /// For a leader that is `identity`, with the session `client` of its own.
    pub(crate) fn new(group: Group, identity: Identity, client: ClientId) -> Self {
        Self { group, links: Links::new(identity), tags: Tags::new(client) }
    }

    /// Every change on `chain` below this has its reply.
    pub(crate) fn low_water(&self, chain: ChainId) -> Sequence {
        self.tags.low_water(chain)
    }

    /// Changes one chunk.
    pub(crate) async fn change(
        &self,
        chain: ChainId,
        chunk: ChunkId,
        chunk_size: ChunkSize,
        change: &ChunkChange,
    ) -> Result<(), Lost> {
        let mut one = OneChange { tags: &self.tags, chain, chunk, chunk_size, change, tag: None };
        self.ask(chain, &mut one).await?;
        one.is_over();
        Ok(())
    }

    /// The last chunk of a file on one of its chains.
    pub(crate) async fn last(&self, chain: ChainId, data: DataId) -> Result<LastChunkReply, Lost> {
        self.ask(chain, &mut LastOf(data)).await
    }

    /// Sends what `asked` makes to the head of `chain` until it is done.
    async fn ask<A: Asked>(
        &self,
        chain: ChainId,
        asked: &mut A,
    ) -> Result<<A::Request as Request>::Reply, Lost> {
        let mut pauses = Pauses::new();
        loop {
            let not_yet = match self.head(chain).await? {
                None => NotYet::Open("it has no serving replica".to_owned()),
                Some(head) => match self.ask_once(&head, &asked.request(head.replica)).await {
                    Ok(reply) => return Ok(reply),
                    Err(not_yet) => not_yet,
                },
            };
            let is_refused = matches!(not_yet, NotYet::Refused(_));
            if is_refused {
                asked.is_over();
            }
            let (pause, is_long) = pauses.next(is_refused);
            if is_long {
                let (NotYet::Open(why) | NotYet::Refused(why)) = not_yet;
                tracing::warn!(%chain, request = %A::Request::METHOD, %why, "waiting for a chain");
            }
            sleep(pause).await;
        }
    }

    async fn ask_once<R: Request>(&self, head: &Head, request: &R) -> Result<R::Reply, NotYet> {
        let peer = self.links.peer(&head.node, head.replica.target).await;
        let unreachable = || NotYet::Open(format!("{} cannot be reached", head.node.id));
        let peer = peer.ok_or_else(unreachable)?;
        let options = CallOptions { wait: Some(CALL_WAIT), ..CallOptions::default() };
        match peer.call(request, Bytes::new(), &options).await {
            Ok(reply) => Ok(reply.message),
            Err(CallError::Failed(WireError::Refuse { why })) => {
                Err(NotYet::Refused(why.to_string()))
            }
            Err(error) => Err(NotYet::Open(error.to_string())),
        }
    }

    /// The first serving replica of a chain, and its server.
    async fn head(&self, chain: ChainId) -> Result<Option<Head>, Lost> {
        let find = |view: &StateView<'_>| {
            let Some(placed) = cluster::placed_chain(view, chain)? else { return Ok(None) };
            let members = placed.chain.members.iter().zip(&placed.places);
            let mut serving = members.filter(|(member, _)| member.state == PublicState::Serving);
            let Some((head, place)) = serving.next() else { return Ok(None) };
            let version = placed.chain.version;
            let replica = Replica { target: head.target, chain, version };
            Ok(cluster::node(view, place.node)?.map(|node| Head { replica, node }))
        };
        Ok(self.group.read(find).await?)
    }
}
