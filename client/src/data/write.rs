//! Writing: each part of a chunk goes to the head of its chain, under a number of its own, until it is
//! answered.

use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_client_session::{FileStripe, Next, Work, decide, parts};
use emberfs_layout::{ByteLen, ChainId, ChunkId, ChunkSpan, FileOffset};
use emberfs_transport::CallOptions;
use emberfs_wire::chunk::{ChunkChange, UpdateChunk};
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::{Capability, FsError, PayloadSums, Tag};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::data_of;
use crate::error::{ClientError, Try, WaitingFor};
use crate::file::OpenFile;
use crate::patience::Patience;
use crate::session::{Session, WriteNumber};

/// Parts of one call under way (a count): with 4 MiB each what one connection may have open.
const PARTS_MAX: usize = 8;

/// How long a head may take to answer before newer routing is asked for: a head that hangs is replaced, and
/// its connection may stand all the same. The write is sent again under its number.
const WRITE_WAIT: Duration = Duration::from_secs(15);

/// One part of one chunk, summed.
struct Part<'a> {
    file: &'a OpenFile,
    session: &'a Session,
    data: &'a FileData,
    chunk: ChunkId,
    chain: ChainId,
    payload: Payload,
    sums: PayloadSums,
}

/// Writes all of `bytes` at `offset`: when it returns, every replica has them on stable storage.
pub(crate) async fn write(
    file: &OpenFile,
    offset: FileOffset,
    bytes: &Bytes,
    patience: &mut Patience,
) -> Result<(), ClientError> {
    let data = data_of(&file.attributes())?;
    let spans = parts(data.layout.chunk_size, offset, ByteLen(bytes.len() as u64))?;
    let (session, _) = file.writer()?;
    let stripe = file.stripe(&data, patience).await?;
    let (data, stripe, patience) = (&data, &*stripe, &*patience);
    stream::iter(spans)
        .map(|span| async move {
            let part = Part::new(file, session, data, stripe, &span, bytes);
            part.write(patience.clone()).await
        })
        .buffer_unordered(PARTS_MAX)
        .try_collect()
        .await
}

impl<'a> Part<'a> {
    fn new(
        file: &'a OpenFile,
        session: &'a Session,
        data: &'a FileData,
        stripe: &FileStripe,
        span: &ChunkSpan,
        bytes: &Bytes,
    ) -> Self {
        let at = usize::try_from(span.at.get()).expect("within the caller's bytes");
        let part = bytes.slice(at..at + span.len as usize);
        let block = data.layout.chunk_size.block_size();
        let payload = Payload::compute(part, span.start, block).expect("within a chunk");
        let sums = PayloadSums::of(&payload);
        let chunk = ChunkId::new(data.id, span.index);
        Self { file, session, data, chunk, chain: stripe.chain_of(span.index), payload, sums }
    }

    async fn write(self, mut patience: Patience) -> Result<(), ClientError> {
        let mut number = self.session.write_number(self.chunk, &mut patience).await?;
        for tries in 0.. {
            self.session.check()?;
            let seen = self.file.inner().routes.now().version();
            let why = match self.once(&mut number, &mut patience).await? {
                Ok(()) => {
                    number.answered();
                    return Ok(());
                }
                Err(why) => why,
            };
            let decision = decide(Work::Write, why.as_failure(), tries, rand::random());
            match decision.next {
                Next::Refused(FsError::Stale) => {
                    self.session.check_stale(&mut patience).await?;
                    return Err(FsError::Stale.into());
                }
                // The write is given up: a full disk may keep it under way, an earlier copy may come still.
                Next::Refused(why) => return Err(why.into()),
                Next::Fault => return Err(ClientError::Fault { text: why.to_string() }),
                Next::Again | Next::Refresh | Next::Elsewhere => {}
            }
            tracing::debug!(chunk = %self.chunk, chain = %self.chain, %why, "writing again");
            patience.pause(|| self.waiting_for(&why.to_string()), decision.pause).await?;
            if decision.next != Next::Again {
                let meta = &self.session.meta;
                self.file.inner().routes.refresh(seen, meta, &mut patience).await?;
            }
        }
        unreachable!("tries are counted to no end")
    }

    /// One try: the outer error is final.
    async fn once(
        &self,
        number: &mut WriteNumber<'_>,
        patience: &mut Patience,
    ) -> Result<Result<(), Try>, ClientError> {
        let routing = self.file.inner().routes.now();
        let found = routing.head(self.chain);
        let found = found.and_then(|head| Ok((head, routing.home(head.target)?)));
        let (head, node) = match found {
            Ok(found) => found,
            Err(why) => return Ok(Err(why.into())),
        };
        let what = || self.waiting_for(&format!("the reply of {}", head.target));
        let peer = self.session.storage.peer(node, head.target);
        let (_, _, peer) = match patience.wait(what, peer).await? {
            Ok(peer) => peer,
            Err(why) => return Ok(Err(why)),
        };
        let request = UpdateChunk {
            replica: head,
            tag: Tag { client: self.session.client, sequence: number.sequence },
            low_water: self.session.low_water(),
            chunk: self.chunk,
            chunk_size: self.data.layout.chunk_size,
            change: ChunkChange::Write(self.sums.clone()),
            capability: Capability::default(),
        };
        number.sent = true;
        let options = CallOptions { wait: Some(WRITE_WAIT), ..CallOptions::default() };
        let payload = self.payload.bytes().clone();
        let reply = patience.wait(what, peer.call(&request, payload, &options)).await?;
        Ok(reply.map(|_| ()).map_err(Try::from))
    }

    fn waiting_for(&self, last: &str) -> WaitingFor {
        WaitingFor::Chain { chain: self.chain, last: last.to_owned() }
    }
}
