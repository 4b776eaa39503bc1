//! What a target wants done. Effects are to be begun in the order in which they come; those on one chunk
//! must also take effect in it.

use emberfs_buffer::{ChunkDigest, Payload};
use emberfs_layout::{ChunkId, ChunkOffset, ChunkVersion, TargetId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::{LastChunkReply, UpdateChunkReply};
use emberfs_wire::replica::{AskCommitted, ComparePage, FinishSync, ForwardUpdate, InstallChunk};

use super::chunks::{Installed, NewVersion, VersionState, Which};
use super::input::{Answer, CallId, Durable, OpId, RequestId};

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Store a version durably; ends in `Stored` with [`Durable::put`].
    Put {
        /// Names it.
        op: OpId,
        /// Which chunk.
        chunk: ChunkId,
        /// What to store.
        new: NewVersion,
    },
    /// Replace a chunk durably; ends in `Stored` with [`Durable::done`].
    Install {
        /// Names it.
        op: OpId,
        /// Which chunk.
        chunk: ChunkId,
        /// What to store.
        installed: Installed,
    },
    /// Forget a chunk and all about it, durably; ends in `Stored` with [`Durable::done`].
    Sweep {
        /// Names it.
        op: OpId,
        /// Which chunk.
        chunk: ChunkId,
    },
    /// Make all commits and discards so far durable; ends in `Stored` with [`Durable::done`].
    Flush {
        /// Names it.
        op: OpId,
    },
    /// The pending version is committed: shows at once, durable with the next batch.
    Commit {
        /// Which chunk.
        chunk: ChunkId,
        /// Which version.
        version: ChunkVersion,
    },
    /// Drop the pending version, if there is one: shows at once, durable with the next batch.
    Discard {
        /// Which chunk.
        chunk: ChunkId,
    },
    /// Read a part of a chunk; ends in `ReadDone`.
    Read {
        /// Names it.
        op: OpId,
        /// Which chunk.
        chunk: ChunkId,
        /// Which version: the one that is committed or pending when the read is begun.
        which: Which,
        /// Where to begin.
        start: ChunkOffset,
        /// How many bytes; fewer come where the chunk is shorter.
        len: ChunkOffset,
    },
    /// Send a request to another target.
    Send {
        /// Names it; at most one answer may be handed in.
        call: CallId,
        /// Whom to ask.
        to: TargetId,
        /// What.
        ask: Ask,
    },
    /// Answer a request.
    Reply {
        /// Which.
        to: RequestId,
        /// With what.
        reply: Result<Reply, WireError>,
    },
    /// This replica holds something else than its tail: a fault to be reported. Until a write or a resync
    /// makes both equal, this one answers no read of the chunk.
    ReplicasDiffer {
        /// Which chunk.
        chunk: ChunkId,
        /// In which version.
        version: ChunkVersion,
        /// What is here.
        ours: ChunkDigest,
        /// What the successor answered, which is the tail's.
        theirs: ChunkDigest,
        /// The successor.
        successor: TargetId,
    },
    /// A chunk cannot be read here, and the syncing member needs it: that will not serve before it has the
    /// chunk, or the chunk is removed or written anew.
    Unreadable {
        /// Which chunk.
        chunk: ChunkId,
    },
    /// The disk failed: from now on the target serves nothing and reports itself offline.
    Failed {
        /// How.
        text: String,
    },
}

/// A request to another replica.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Forwards a version; the payload is `data` joined.
    Forward {
        /// The message.
        update: ForwardUpdate,
        /// The bytes of its writes, in order.
        data: Vec<Payload>,
    },
    /// Which version is committed?
    Committed(AskCommitted),
    /// What is there?
    Page(ComparePage),
    /// Replaces a chunk.
    Install {
        /// The message.
        install: InstallChunk,
        /// The chunk's bytes.
        data: Option<Payload>,
    },
    /// All is sent.
    Finish(FinishSync),
}

/// An answer to whoever asked.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The change is made.
    Updated(UpdateChunkReply),
    /// The read found this.
    Found {
        /// The committed version.
        version: ChunkVersion,
        /// Its length.
        chunk_len: ChunkOffset,
        /// The asked bytes that exist; `None` if none do.
        data: Option<Payload>,
    },
    /// There is no such chunk.
    Absent,
    /// The last chunk of a file.
    LastChunk(LastChunkReply),
    /// An answer to another replica.
    Replica(Answer),
}

impl Effect {
    /// Answers with an error.
    pub(super) fn refuse(to: RequestId, why: WireError) -> Self {
        Self::Reply { to, reply: Err(why) }
    }

    /// Answers with what changes no state.
    pub(super) fn tell(to: RequestId, reply: Reply) -> Self {
        Self::Reply { to, reply: Ok(reply) }
    }

    /// Acknowledges a client's change, which the proof shows to be durable here.
    pub(super) fn updated(to: RequestId, reply: UpdateChunkReply, proof: &Durable) -> Self {
        assert!(proof.version().is_some_and(|stored| stored.version >= reply.version));
        Self::tell(to, Reply::Updated(reply))
    }

    /// Acknowledges a version to the predecessor, which the proof shows to be durable here.
    pub(super) fn forwarded(to: RequestId, digest: ChunkDigest, proof: &Durable) -> Self {
        let VersionState { version, len, .. } =
            *proof.version().expect("the proof of a put names its version");
        let reply = emberfs_wire::replica::ForwardReply { version, chunk_len: len, digest };
        Self::tell(to, Reply::Replica(Answer::Forward(reply)))
    }

    /// Acknowledges what resync asked for.
    pub(super) fn synced(to: RequestId, answer: Answer, _: &Durable) -> Self {
        Self::tell(to, Reply::Replica(answer))
    }
}
