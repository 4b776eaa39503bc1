//! A client that speaks to one server, by the messages that every client sends.

use bytes::Bytes;
use emberfs_buffer::{Payload, Pool};
use emberfs_layout::{
    ByteLen, ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize, ClientId, DataId,
    Sequence, TargetId,
};
use emberfs_transport::{
    CallError, CallOptions, HandshakeError, Limits, NoService, Peer, Tcp, connect,
};
use emberfs_wire::chunk::{
    ChunkChange, ChunkEnd, ChunkRead, LastChunk, ReadChunks, ReadOutcome, Replica, UpdateChunk,
    UpdateChunkReply,
};
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex, Welcome};
use emberfs_wire::protocol::{Features, ProtocolRange};
use emberfs_wire::{Capability, PayloadSums, Request, Tag, WireError};

use crate::host::{CLUSTER, Host};
use crate::meta::PATIENCE;

pub(crate) const SIZE: ChunkSize = ChunkSize::DEFAULT;
/// Requests of one client that a test has open at once, all with numbers in a row.
const CONCURRENT_MAX: u64 = 48;

/// A session's connection to one server.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) peer: Peer,
    pub(crate) welcome: Welcome,
}

pub(crate) fn hello(id: ClientId) -> Hello {
    let (cluster, client) = (Some(CLUSTER), Some(id));
    Hello {
        protocol: ProtocolRange::OURS,
        features: Features::OURS,
        identity: Identity { cluster, role: Role::Client, node: None, boot: None, client },
        expected_role: Role::Storage,
        expected_node: None,
        shard: None,
    }
}

pub(crate) fn chunk(data: u64, index: u32) -> ChunkId {
    ChunkId::new(DataId(data), ChunkIndex(index))
}

/// The members of a chain, as a client names them.
pub(crate) fn replicas(
    (chain, version, targets): &(ChainId, ChainVersion, Vec<TargetId>),
) -> Vec<Replica> {
    let replica = |target: &TargetId| Replica { target: *target, chain: *chain, version: *version };
    targets.iter().map(replica).collect()
}

impl Client {
    pub(crate) async fn connect(id: u64, host: &Host) -> Self {
        let hello = hello(ClientId(id));
        Self::connect_as(&hello, host).await.expect("welcome")
    }

    pub(crate) async fn connect_to(id: u64, host: &Host, shard: u16) -> Self {
        let hello = Hello { shard: Some(ShardIndex(shard)), ..hello(ClientId(id)) };
        Self::connect_as(&hello, host).await.expect("welcome")
    }

    pub(crate) async fn connect_as(hello: &Hello, host: &Host) -> Result<Self, HandshakeError> {
        let pool = Pool::new(ByteLen(256 << 20));
        let met = connect(&Tcp, &host.address(), hello, &pool, Limits::default()).await;
        let (connection, welcome) = met?;
        let id = hello.identity.client.unwrap_or_default();
        let peer = connection.peer();
        tokio::spawn(connection.run(NoService));
        Ok(Self { id, peer, welcome })
    }

    pub(crate) async fn ask<R: Request>(
        &self,
        request: &R,
        payload: Bytes,
    ) -> Result<(R::Reply, Bytes), WireError> {
        let options = CallOptions { wait: Some(PATIENCE), ..CallOptions::default() };
        match self.peer.call(request, payload, &options).await {
            Ok(reply) => Ok((reply.message, reply.payload)),
            Err(CallError::Failed(error)) => Err(error),
            Err(other) => Err(WireError::Retry { after_ms: 0, text: other.to_string() }),
        }
    }

    pub(crate) fn update(
        &self,
        replica: Replica,
        sequence: u64,
        chunk: ChunkId,
        change: ChunkChange,
    ) -> UpdateChunk {
        let tag = Tag { client: self.id, sequence: Sequence(sequence) };
        let capability = Capability::default();
        let low_water = Sequence(sequence.saturating_sub(CONCURRENT_MAX));
        UpdateChunk { replica, tag, low_water, chunk, chunk_size: SIZE, change, capability }
    }

    /// Writes `bytes` at `start`, by the request of this number.
    pub(crate) async fn write(
        &self,
        replica: Replica,
        sequence: u64,
        chunk: ChunkId,
        start: u32,
        bytes: &[u8],
    ) -> Result<UpdateChunkReply, WireError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let payload = Payload::compute(bytes.clone(), ChunkOffset(start), SIZE.block_size());
        let sums = PayloadSums::of(&payload.expect("within a chunk"));
        let update = self.update(replica, sequence, chunk, ChunkChange::Write(sums));
        Ok(self.ask(&update, bytes).await?.0)
    }

    /// Another change.
    pub(crate) async fn change(
        &self,
        replica: Replica,
        sequence: u64,
        chunk: ChunkId,
        change: ChunkChange,
    ) -> Result<UpdateChunkReply, WireError> {
        let update = self.update(replica, sequence, chunk, change);
        Ok(self.ask(&update, Bytes::new()).await?.0)
    }

    /// Reads a batch; the bytes that were found are checked.
    pub(crate) async fn read_all(
        &self,
        reads: Vec<ChunkRead>,
    ) -> Result<Vec<(ReadOutcome, Vec<u8>)>, WireError> {
        let count = reads.len();
        let request = ReadChunks { capability: Capability::default(), reads };
        let (reply, mut payload) = self.ask(&request, Bytes::new()).await?;
        assert_eq!(reply.outcomes.len(), count);
        let outcomes = reply.outcomes.into_iter().map(|outcome| {
            let bytes = match &outcome {
                ReadOutcome::Found { data, .. } => {
                    let bytes = payload.split_to(data.len.get() as usize);
                    let checked = data.bind(bytes).expect("as described").check();
                    checked.expect("the sums of the bytes").bytes().to_vec()
                }
                ReadOutcome::Absent | ReadOutcome::Failed(_) => Vec::new(),
            };
            (outcome, bytes)
        });
        let outcomes = outcomes.collect();
        assert!(payload.is_empty(), "bytes that belong to no read");
        Ok(outcomes)
    }

    /// Reads a whole chunk; `None` if it is absent.
    pub(crate) async fn read(
        &self,
        replica: Replica,
        chunk: ChunkId,
    ) -> Result<Option<Vec<u8>>, WireError> {
        let (start, len) = (ChunkOffset(0), ChunkOffset(SIZE.bytes()));
        let read = ChunkRead { replica, chunk, start, len };
        match self.read_all(vec![read]).await?.remove(0) {
            (ReadOutcome::Found { chunk_len, .. }, bytes) => {
                assert_eq!(chunk_len.get() as usize, bytes.len());
                Ok(Some(bytes))
            }
            (ReadOutcome::Absent, _) => Ok(None),
            (ReadOutcome::Failed(error), _) => Err(error),
        }
    }

    pub(crate) async fn last(&self, replica: Replica, data: u64) -> Option<ChunkEnd> {
        let ask = LastChunk { replica, data: DataId(data) };
        self.ask(&ask, Bytes::new()).await.expect("an answer").0.last
    }
}
