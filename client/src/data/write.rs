//! Writing: each part of a chunk goes to the head of its chain, under a number of its own, until it is
//! settled: done, or refused for good.
//!
//! ```text
//!   number ─► sent ─► answered                     its caller waits
//!               │       ▲
//!               └► given up: carried on            nobody waits: the caller went away, or its time is over
//! ```
//! Nothing that was sent is left to itself: a copy that nobody knows of could arrive when the file was cut or
//! has another length. What was never sent ends with its caller. A session that ended ends all: servers refuse
//! whatever still comes. Nothing else but an answer ends it; that no routing is to be had does not.
//!
//! A refusal ends it though an earlier copy may be on its way, and the file may be cut then: that copy is of
//! an earlier version of the chain, or the servers remember what they refused under this one.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_client_session::{FileStripe, Next, RoutingTable, Work, WriteId, decide, parts};
use emberfs_layout::{ByteLen, ChunkId, ChunkSize, ChunkSpan, FileOffset};
use emberfs_transport::CallOptions;
use emberfs_wire::chunk::{ChunkChange, UpdateChunk};
use emberfs_wire::meta::WrittenRange;
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::{Capability, FsError, PayloadSums, Tag};
use futures_util::{StreamExt, stream};

use super::attempt::attempt;
use super::data_of;
use crate::error::{ClientError, Try, WaitingFor};
use crate::file::{OpenFile, WriteCall};
use crate::patience::Patience;
use crate::routes::Routes;
use crate::session::{Session, WriteNumber};

/// Parts of one call under way (a count): with 4 MiB each what one connection may have open.
const PARTS_MAX: usize = 8;

/// How long a head may take to answer before the write is sent again under its number, though the routing
/// still names it: longer than anything takes that ends well.
const WRITE_WAIT: Duration = Duration::from_secs(15);

/// One part of one chunk, summed, under its number.
#[derive(Debug)]
struct Part {
    number: WriteNumber,
    routes: Arc<Routes>,
    chunk_size: ChunkSize,
    range: WrittenRange,
    payload: Payload,
    sums: PayloadSums,
    /// What is waited for, or what the last try said.
    last: Mutex<String>,
    call: Arc<WriteCall>,
}

/// What the parts of one call have in common.
struct Parts<'a> {
    call: &'a Arc<WriteCall>,
    routes: &'a Arc<Routes>,
    data: &'a FileData,
    stripe: &'a FileStripe,
    offset: FileOffset,
    bytes: &'a Bytes,
}

/// Writes all of `bytes` at `offset`: when it returns, every replica has them on stable storage. After a
/// refusal nothing of it is under way any more.
pub(crate) async fn write(
    file: &OpenFile,
    offset: FileOffset,
    bytes: &Bytes,
    patience: &mut Patience,
) -> Result<(), ClientError> {
    let data = &data_of(&file.attributes())?;
    let spans = parts(data.layout.chunk_size, offset, ByteLen(bytes.len() as u64))?;
    let call = &WriteCall::begin(file.writer()?, patience).await?;
    let stripe = &file.stripe(data, patience).await?;
    let parts = &Parts { call, routes: &file.inner().routes, data, stripe, offset, bytes };
    let patience = &*patience;
    let mut each = stream::iter(spans)
        .map(|span| async move { parts.write(&span, patience.clone()).await })
        .buffer_unordered(PARTS_MAX);
    let mut result = Ok(());
    while let Some(done) = each.next().await {
        if done.is_err() {
            call.fail();
            result = result.and(done);
        }
    }
    result
}

impl Parts<'_> {
    async fn write(&self, span: &ChunkSpan, mut patience: Patience) -> Result<(), ClientError> {
        if self.call.has_failed() {
            return Ok(());
        }
        let chunk = ChunkId::new(self.data.id, span.index);
        let (chain, session) = (self.stripe.chain_of(span.index), &self.call.writer.session);
        let number = session.write_number(chain, chunk, &mut patience).await?;
        let part = Arc::new(self.part(number, span));
        let settled = part.session().carry(part.clone().settle(), || part.give_up());
        patience.wait_quietly(|| part.waiting_for(), settled).await?
    }

    fn part(&self, number: WriteNumber, span: &ChunkSpan) -> Part {
        let at = usize::try_from(span.at.get()).expect("within the caller's bytes");
        let bytes = self.bytes.slice(at..at + span.len as usize);
        let start = FileOffset(self.offset.get() + span.at.get());
        let end = FileOffset(start.get() + u64::from(span.len));
        let block = self.data.layout.chunk_size.block_size();
        let payload = Payload::compute(bytes, span.start, block).expect("within a chunk");
        Part {
            number,
            routes: self.routes.clone(),
            chunk_size: self.data.layout.chunk_size,
            range: WrittenRange { start, end, since: self.call.since },
            sums: PayloadSums::of(&payload),
            payload,
            last: Mutex::default(),
            call: self.call.clone(),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.call.writer.waits_for(self.number.id, None);
    }
}

impl Part {
    /// Sends it until it is settled; the end of the session settles it too.
    async fn settle(self: Arc<Self>) -> Result<(), ClientError> {
        let settled = tokio::select! {
            biased;
            settled = self.try_on() => settled,
            ended = self.session().ended() => Err(ended),
        };
        match &settled {
            Ok(()) => self.call.done(self.range),
            Err(error) if self.call.is_given_up() => {
                let WriteId { chunk, chain, .. } = self.number.id;
                tracing::warn!(%chunk, %chain, %error, "a write that was given up was not done");
            }
            Err(_) => {}
        }
        settled
    }

    async fn try_on(&self) -> Result<(), ClientError> {
        // Whoever waits has a deadline of its own.
        let mut patience = Patience::new(None);
        for tries in 0.. {
            let seen = self.routes.now().version();
            let why = match self.once(&mut patience).await? {
                Ok(()) => {
                    self.number.done();
                    return Ok(());
                }
                Err(why) => why,
            };
            let decision = decide(Work::Write, why.as_failure(), tries, rand::random());
            match decision.next {
                Next::Refused(no) => return Box::pin(self.refused(no, &mut patience)).await,
                Next::Fault => return Err(ClientError::Fault { text: why.to_string() }),
                Next::Again | Next::Refresh | Next::Elsewhere => {}
            }
            let WriteId { chunk, chain, .. } = self.number.id;
            tracing::debug!(%chunk, %chain, %why, "writing again");
            self.waits_for(why.to_string());
            patience.pause(|| self.waiting_for(), decision.pause).await?;
            if decision.next != Next::Again {
                let newer = self.routes.refresh(seen, &self.session().meta, &mut patience).await;
                match newer {
                    // What was sent may be done still: nobody but who has the chunks can end that.
                    Err(error) if self.number.was_sent() => self.waits_for(error.to_string()),
                    other => other?,
                }
            }
        }
        unreachable!("tries are counted to no end")
    }

    async fn refused(&self, no: FsError, patience: &mut Patience) -> Result<(), ClientError> {
        self.number.refused();
        if no == FsError::Stale {
            self.session().check_stale(patience).await?;
        }
        Err(no.into())
    }

    /// One try: the outer error is final.
    async fn once(&self, patience: &mut Patience) -> Result<Result<(), Try>, ClientError> {
        let WriteId { chain, chunk, sequence } = self.number.id;
        // Before the routing: a mark must pass nothing that was sent under newer routing than it goes by.
        let low_water = self.session().low_water(chain);
        let routing = self.routes.now();
        let found = routing.head(chain);
        let found = found.and_then(|head| Ok((head, routing.home(head.target)?)));
        let (head, node) = match found {
            Ok(found) => found,
            Err(why) => return Ok(Err(why.into())),
        };
        self.waits_for(format!("the reply of {}", head.target));
        let session = self.session();
        let peer = session.storage.peer(node, head.target);
        let (_, _, peer) = match patience.wait(|| self.waiting_for(), peer).await? {
            Ok(peer) => peer,
            Err(why) => return Ok(Err(why)),
        };
        let request = UpdateChunk {
            replica: head,
            tag: Tag { client: session.client, sequence },
            low_water,
            chunk,
            chunk_size: self.chunk_size,
            change: ChunkChange::Write(self.sums.clone()),
            capability: Capability::default(),
        };
        self.number.send();
        let options = CallOptions { wait: Some(WRITE_WAIT), ..CallOptions::default() };
        let reply = peer.call(&request, self.payload.bytes().clone(), &options);
        let still = |now: &RoutingTable| now.head(chain) == Ok(head);
        let reply = pin!(attempt(reply, still, &self.routes, &session.meta));
        let reply = patience.wait(|| self.waiting_for(), reply).await?;
        Ok(reply.map_or(Err(Try::Slow), |reply| reply.map(|_| ()).map_err(Try::from)))
    }

    /// Its caller goes away. Whether it goes on: if it was sent.
    fn give_up(&self) -> bool {
        let sent = self.number.was_sent();
        if sent {
            self.number.give_up(ByteLen(self.payload.bytes().len() as u64));
            self.call.give_up();
        }
        sent
    }

    fn session(&self) -> &Arc<Session> {
        &self.call.writer.session
    }

    fn waits_for(&self, what: String) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = what;
        self.call.writer.waits_for(self.number.id, Some(self.waiting_for()));
    }

    fn waiting_for(&self) -> WaitingFor {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        WaitingFor::Chain { chain: self.number.id.chain, last }
    }
}
