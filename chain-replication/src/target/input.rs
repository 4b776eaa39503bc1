//! What happens to a target.

use emberfs_buffer::Payload;
use emberfs_layout::{ChunkOffset, ClientId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::{ChunkRead, LastChunk, UpdateChunk};
use emberfs_wire::cluster::{Chain, SessionMark};
use emberfs_wire::replica::{
    AskCommitted, AskCommittedReply, ComparePage, ComparePageReply, FinishSync, FinishSyncReply,
    ForwardReply, ForwardUpdate, InstallChunk, InstallChunkReply,
};

use super::chunks::{ReadResult, StoreError, VersionState};

/// Monotonic time of this server, in milliseconds from any start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// This much later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// The driver's name for a request that it handed in and that waits for its one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The core's name for a request that it sent; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// The core's name for what it asked of the store; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One event. Payloads are checked before they come here.
#[derive(Debug)]
pub enum Input {
    /// A client changes a chunk; answered by [`Reply::Updated`](super::Reply::Updated).
    Update {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        update: UpdateChunk,
        /// The bytes of a write, `None` otherwise.
        data: Option<Payload>,
    },
    /// A client reads; answered by `Reply::Found` or `Reply::Absent`. Each read of a batch comes alone.
    Read {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        read: ChunkRead,
    },
    /// Somebody asks for the last chunk of a file; answered by `Reply::LastChunk`.
    LastChunk {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        ask: LastChunk,
    },
    /// The predecessor forwards a version; answered by `Reply::Replica(Answer::Forward)`.
    Forward {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        update: ForwardUpdate,
        /// The bytes of its writes, in order.
        data: Vec<Payload>,
    },
    /// A replica asks which version is committed.
    AskCommitted {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        ask: AskCommitted,
    },
    /// The predecessor compares.
    ComparePage {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        ask: ComparePage,
    },
    /// The predecessor replaces a chunk.
    Install {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        install: InstallChunk,
        /// The chunk's bytes.
        data: Option<Payload>,
    },
    /// The predecessor has sent everything.
    FinishSync {
        /// To be answered.
        id: RequestId,
        /// What is asked.
        ask: FinishSync,
    },
    /// What became of a [`Send`](super::Effect::Send). An answer may also never come: the core sends
    /// again after [`CALL_MS_MAX`](super::CALL_MS_MAX).
    Answer {
        /// Which call.
        call: CallId,
        /// The answer; a failure of the connection comes as [`WireError::Retry`].
        answer: Result<Answer, WireError>,
    },
    /// What became of a put, install, sweep or flush.
    Stored {
        /// Which.
        op: OpId,
        /// Proof that it is durable.
        outcome: Result<Durable, StoreError>,
    },
    /// What became of a read of the store.
    ReadDone {
        /// Which.
        op: OpId,
        /// What it found.
        outcome: Result<ReadResult, StoreError>,
    },
    /// The target's chain, as the metadata leader has it. Only what came with an answer to *this* start
    /// of the server may be handed in: that the leader knows of the restart is what makes a serving
    /// state in it true.
    Chain(Chain),
    /// Until when the server may serve, by its own clock: counted from when it *sent* the heartbeat.
    Lease {
        /// When it ends.
        until: Millis,
    },
    /// Sessions that ended: their late changes are refused.
    Ended(Vec<ClientId>),
    /// Marks that [`Target::marks_wanted`](super::Target::marks_wanted) asked for, of whatever chain.
    Marks(Vec<SessionMark>),
    /// Time went by; to be given every [`TICK_MS`](super::TICK_MS) or so.
    Tick,
}

/// A replica's answer to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a forwarded version.
    Forward(ForwardReply),
    /// Which version is committed.
    Committed(AskCommittedReply),
    /// A page of what is there.
    Page(ComparePageReply),
    /// The chunk is installed.
    Installed(InstallChunkReply),
    /// All is durable.
    Finished(FinishSyncReply),
}

/// Proof that something is on stable storage. The driver makes one of what the store's call returned, and
/// the core makes no acknowledgement without one.
#[derive(Debug)]
pub struct Durable {
    version: Option<VersionState>,
    lens: Vec<ChunkOffset>,
}

impl Durable {
    /// A put that returned: the version as stored, and the chunk's length after each change.
    #[must_use]
    pub fn put(version: VersionState, lens: Vec<ChunkOffset>) -> Self {
        Self { version: Some(version), lens }
    }

    /// An install, a sweep or a flush that returned.
    #[must_use]
    pub fn done() -> Self {
        Self { version: None, lens: Vec::new() }
    }

    /// What shows in the store is durable by its contract.
    pub(super) fn shown(version: VersionState) -> Self {
        Self::put(version, Vec::new())
    }

    /// The stored version, of a put.
    pub(super) fn version(&self) -> Option<&VersionState> {
        self.version.as_ref()
    }

    /// The chunk's length after each change of a put.
    pub(super) fn lens(&self) -> &[ChunkOffset] {
        &self.lens
    }
}
