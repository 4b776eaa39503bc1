//! One version of one chunk on its way through this replica.
//!
//! ```text
//!   put:      Running ──► Done (durable)          Failed ──► Running (no room: tried again)
//!   forward:  Held (behind a transfer) ──► Due ──► Sent ──► Done          None at the end of the path
//!   both done ──► committed, answered upstream, gone
//! ```

use emberfs_buffer::Payload;
use emberfs_layout::{ChunkId, ChunkOffset, ChunkSize, ChunkVersion, TargetId};
use emberfs_wire::Tag;
use emberfs_wire::chunk::ChunkChange;
use emberfs_wire::replica::{ForwardReply, ForwardUpdate, TaggedChange};

use super::chain_view::ChainView;
use super::chunks::Change;
use super::input::{CallId, Durable, Millis, RequestId};
use super::limits::JOINED_MAX;
use super::read::Asker;

/// How the store stands with it.
pub(super) enum Put {
    Running,
    /// No room; to be tried again then.
    Failed {
        again: Millis,
    },
    Done(Durable),
}

/// How the successor stands with it.
pub(super) enum Forward {
    /// There is none, or it gets the version otherwise.
    None,
    /// The successor must have the version before first.
    Held,
    Due {
        again: Millis,
    },
    Sent(CallId),
    Done(ForwardReply),
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
    /// Who waits until the version can be read here.
    pub(super) readers: Vec<Asker>,
    pub(super) put: Put,
    /// Whether the put stores it as committed.
    pub(super) as_committed: bool,
    /// Whether it ends here though it began under an earlier version of the chain: then whoever was last
    /// in the path before may have committed it, and given it to readers.
    pub(super) inherited: bool,
    pub(super) forward: Forward,
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
            readers: Vec::new(),
            put: Put::Running,
            as_committed: false,
            inherited: false,
            forward: Forward::None,
        }
    }

    pub(super) fn has(&self, tag: Tag) -> Option<usize> {
        self.changes.iter().position(|change| change.tag == tag)
    }

    /// Whether it is committed as soon as it is durable here, whatever a syncing successor has.
    pub(super) fn ends_here(&self) -> bool {
        self.as_committed || self.inherited
    }

    pub(super) fn is_durable(&self) -> bool {
        matches!(self.put, Put::Done(_))
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
    ) -> ForwardUpdate {
        ForwardUpdate {
            replica: view.replica(to),
            from,
            chunk,
            chunk_size: self.chunk_size,
            version: self.version,
            changes: self.changes.clone(),
            kept: self.kept.clone(),
        }
    }

    /// The chunk's length after each change.
    pub(super) fn lens(&self) -> &[ChunkOffset] {
        match &self.put {
            Put::Done(durable) => durable.lens(),
            Put::Running | Put::Failed { .. } => &[],
        }
    }
}

/// Lets one more request wait; the oldest goes if there are too many, and is returned.
pub(super) fn join(waiting: &mut Vec<RequestId>, id: RequestId) -> Option<RequestId> {
    let oldest = (waiting.len() == JOINED_MAX).then(|| waiting.remove(0));
    waiting.push(id);
    oldest
}
