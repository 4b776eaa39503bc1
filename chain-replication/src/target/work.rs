//! One version of one chunk on its way through this replica.
//!
//! ```text
//!   put:      Running ──► Done (durable) ──► Undoing (refused behind) ──► refused upstream, gone
//!                └─► Failed ──► Running       no room, and it was handed on: tried again
//!   forward:  AfterPut, Held (behind a transfer) ──► Due ──► Sent ──► Done or Refused
//!             None at the end of the path, and where a syncing member goes without it
//!   both done ──► committed, answered upstream, gone
//! ```

use emberfs_buffer::Payload;
use emberfs_layout::{ByteLen, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, Sequence, TargetId};
use emberfs_wire::chunk::ChunkChange;
use emberfs_wire::replica::{ForwardReply, ForwardUpdate, TaggedChange};
use emberfs_wire::{FsError, Tag};

use super::chain_view::ChainView;
use super::chunks::Change;
use super::input::{CallId, Durable, Millis, RequestId};
use super::limits::JOINED_MAX;
use super::read::Asker;

/// How the store stands with it.
pub(super) enum Put {
    Running,
    /// It was not stored; to be tried again then.
    Failed {
        again: Millis,
    },
    Done(Durable),
    /// It is taken back for this reason; the discard is on its way to the disk, or to be sent there again
    /// then.
    Undoing {
        why: FsError,
        again: Option<Millis>,
    },
}

/// How the successor stands with it.
pub(super) enum Forward {
    /// There is none, or it gets the version otherwise.
    None,
    /// It must be durable here first: the store may have no room for it.
    AfterPut,
    /// The successor must have the version before first.
    Held,
    Due {
        again: Millis,
    },
    Sent(CallId),
    Done(ForwardReply),
    /// Nobody behind has it or will have it, for this reason.
    Refused(FsError),
}

pub(super) struct Work {
    pub(super) version: ChunkVersion,
    pub(super) chunk_size: ChunkSize,
    pub(super) changes: Vec<TaggedChange>,
    /// The bytes of its writes, in order.
    pub(super) data: Vec<Payload>,
    /// The tags of earlier versions that live, as the head said.
    pub(super) kept: Vec<Tag>,
    /// The clients' requests that wait, for each change.
    pub(super) clients: Vec<Vec<RequestId>>,
    /// The predecessor's requests that wait.
    pub(super) upstream: Vec<RequestId>,
    /// The latest of the predecessor's messages that brought it.
    pub(super) attempt: Option<Sequence>,
    /// Who waits until the version can be read here.
    pub(super) readers: Vec<Asker>,
    pub(super) put: Put,
    /// Whether the put stores it as committed.
    pub(super) as_committed: bool,
    /// Whether it ends here though it began under an earlier version of the chain: then whoever was last
    /// in the path before may have committed it, and given it to readers.
    pub(super) inherited: bool,
    /// Whether the syncing member goes without it: it does not have it, and is sent the chunk later.
    pub(super) without_syncing: bool,
    /// Whether the store has failed to take it.
    pub(super) failed_once: bool,
    pub(super) forward: Forward,
    /// Whether somebody behind may have it, or may have had it under an earlier version of the chain.
    pub(super) handed_on: bool,
}

impl Work {
    pub(super) fn new(
        version: ChunkVersion,
        chunk_size: ChunkSize,
        changes: Vec<TaggedChange>,
        data: Vec<Payload>,
        kept: Vec<Tag>,
    ) -> Self {
        Self {
            version,
            chunk_size,
            clients: changes.iter().map(|_| Vec::new()).collect(),
            changes,
            data,
            kept,
            upstream: Vec::new(),
            attempt: None,
            readers: Vec::new(),
            put: Put::Running,
            as_committed: false,
            inherited: false,
            without_syncing: false,
            failed_once: false,
            forward: Forward::None,
            handed_on: false,
        }
    }

    pub(super) fn has(&self, tag: Tag) -> Option<usize> {
        self.changes.iter().position(|change| change.tag == tag)
    }

    /// Whether it is committed as soon as it is durable here, whatever a syncing successor has.
    pub(super) fn ends_here(&self) -> bool {
        self.as_committed || self.inherited || self.without_syncing
    }

    /// Whether it leaves nothing of what was before.
    pub(super) fn removes(&self) -> bool {
        self.changes.last().is_some_and(|last| matches!(last.change, ChunkChange::Remove))
    }

    /// Whether it waits for its chunk's transfer.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.forward, Forward::Held)
    }

    pub(super) fn is_durable(&self) -> bool {
        matches!(self.put, Put::Done(_))
    }

    /// How much room it takes in the store at most, in bytes of whole blocks.
    pub(super) fn room(&self) -> ByteLen {
        let block = self.chunk_size.block_size();
        let blocks = |from, to| u64::from(block.round_up(to).get() - block.round_down(from).get());
        let writes = self.data.iter().map(|payload| blocks(payload.start(), payload.end()));
        let cuts = self.changes.iter().map(|change| match change.change {
            ChunkChange::Cut(len) => blocks(len, len),
            ChunkChange::Write(_) | ChunkChange::Remove => 0,
        });
        ByteLen(writes.chain(cuts).sum())
    }

    /// The changes as the store takes them.
    pub(super) fn to_store(&self) -> Vec<(Tag, Change)> {
        let mut data = self.data.iter();
        let change = |tagged: &TaggedChange| match &tagged.change {
            ChunkChange::Write(_) => {
                Change::Write(data.next().expect("checked when it came").clone())
            }
            ChunkChange::Cut(len) => Change::Cut(*len),
            ChunkChange::Remove => Change::Remove,
        };
        let tags = self.changes.iter().map(|tagged| tagged.tag);
        let changes: Vec<Change> = self.changes.iter().map(change).collect();
        tags.zip(changes).collect()
    }

    /// The message that hands it on.
    pub(super) fn message(
        &self,
        view: &ChainView,
        from: TargetId,
        to: TargetId,
        chunk: ChunkId,
        attempt: Sequence,
    ) -> ForwardUpdate {
        ForwardUpdate {
            replica: view.replica(to),
            from,
            chunk,
            chunk_size: self.chunk_size,
            version: self.version,
            changes: self.changes.clone(),
            kept: self.kept.clone(),
            attempt: Some(attempt),
        }
    }

    /// The chunk's length after each change.
    pub(super) fn lens(&self) -> &[ChunkOffset] {
        match &self.put {
            Put::Done(durable) => durable.lens(),
            Put::Running | Put::Failed { .. } | Put::Undoing { .. } => &[],
        }
    }
}

/// Lets one more request wait; the oldest goes if there are too many, and is returned.
pub(super) fn join(waiting: &mut Vec<RequestId>, id: RequestId) -> Option<RequestId> {
    let oldest = (waiting.len() == JOINED_MAX).then(|| waiting.remove(0));
    waiting.push(id);
    oldest
}
