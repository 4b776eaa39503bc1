//! What Raft replicates: one change, with all that its result depends on.
//!
//! Until version 0.2 variants may change; from then on a change of behaviour comes under a new
//! [`Schema`], after every member can apply it.

use emberfs_layout::{BootNumber, ByteLen, ChainVersion, ClientId, InodeId, Sequence};
use emberfs_wire::FsError;
use emberfs_wire::cluster::{AdministerReply, Chain, Register};
use emberfs_wire::meta::{Mutate, MutationReply, OpenSession, OpenSessionReply, Time};
use minicbor::{Decode, Encode};

use crate::cluster::Start;

/// Which rules a command is applied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Schema(#[n(0)] pub u16);

impl Schema {
    /// The rules of this build.
    pub const OURS: Self = Self(1);
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Command {
    /// By which rules.
    #[n(0)]
    pub schema: Schema,
    /// The leader's time; it never goes back from one command to the next.
    #[n(1)]
    pub time: Time,
    /// Randomness that the leader drew for this command.
    #[n(2)]
    pub seed: u64,
    /// What to do.
    #[n(3)]
    pub body: Body,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// A client's change of the namespace.
    #[n(0)]
    Mutate(#[n(0)] Mutate),
    /// A client comes.
    #[n(1)]
    OpenSession(#[n(0)] OpenSession),
    /// A client went, or was silent for too long. Answered by [`Outcome::Done`] also if it is gone.
    #[n(2)]
    EndSession(#[n(0)] ClientId),
    /// Every server has confirmed that it knows the sessions that ended up to here: forget them.
    #[n(3)]
    ForgetEnded(#[n(0)] Sequence),
    /// The chains have carried out a truncation.
    #[n(4)]
    FinishTruncation {
        /// Of which file.
        #[n(0)]
        inode: InodeId,
        /// The round that was carried out: what was asked for since is another, also to the same length.
        #[n(1)]
        round: Sequence,
    },
    /// The chains were asked where a file ends: a dead session had it open for writing, or a report came
    /// that may be from before a cut.
    #[n(5)]
    RecoverLength {
        /// Which file.
        #[n(0)]
        inode: InodeId,
        /// Where its last chunk ends.
        #[n(1)]
        end: ByteLen,
        /// The round that asked: an answer from before a truncation, a further death or such report counts
        /// no more.
        #[n(2)]
        round: Sequence,
    },
    /// Takes the next step of removing detached trees: entries become garbage of their own. Bounded.
    #[n(6)]
    UnfoldGarbage {
        /// Which place in the queue.
        #[n(0)]
        place: Sequence,
    },
    /// A file's chunks are removed: forget it.
    #[n(7)]
    FinishRemoval {
        /// Which place in the queue.
        #[n(0)]
        place: Sequence,
    },
    /// A storage server starts.
    #[n(8)]
    Register(#[n(0)] Register),
    /// An operator admits a disk.
    #[n(9)]
    AddDisk {
        /// Names the order.
        #[n(0)]
        order_id: u64,
        /// Which disk, how many targets.
        #[n(1)]
        disk: emberfs_layout::DiskId,
        /// How many targets it shall carry.
        #[n(2)]
        targets: u16,
    },
    /// The leader planned a table of chains over free targets; refused if one is no longer free.
    #[n(10)]
    CreateTable {
        /// Names the order.
        #[n(0)]
        order_id: u64,
        /// The members of each chain, head first.
        #[n(1)]
        chains: Vec<Vec<emberfs_layout::TargetId>>,
        /// Copies of each chunk.
        #[n(2)]
        replicas: u8,
        /// With fewer serving replicas writes wait.
        #[n(3)]
        min_serving: u8,
        /// Size of the chunks of files in it that say nothing else.
        #[n(4)]
        chunk_size: emberfs_layout::ChunkSize,
        /// Whether it becomes the cluster's default; the first one is in any case.
        #[cbor(n(5), default)]
        is_default: bool,
    },
    /// The leader changes a chain, by the transition table; refused unless it is at `from`.
    #[n(11)]
    SetChain {
        /// The version that the leader saw.
        #[n(0)]
        from: ChainVersion,
        /// The chain as it shall be, its version one more.
        #[n(1)]
        chain: Chain,
        /// The latest start of each member's server that the leader knew of, in the order of members:
        /// refused if one has started anew since.
        #[n(2)]
        boots: Vec<BootNumber>,
    },
    /// The first command of a new cluster: makes the root directory.
    #[n(12)]
    Found {
        /// Names the cluster.
        #[n(0)]
        cluster: emberfs_layout::ClusterId,
        /// Owner of the root directory.
        #[n(1)]
        uid: u32,
        /// Its group.
        #[n(2)]
        gid: u32,
    },
    /// A leader begins. Answered by [`Outcome::SessionOpened`].
    #[n(13)]
    Lead {
        /// Sessions of leaders before it, which end.
        #[n(0)]
        earlier: Vec<ClientId>,
        /// The session under which it changes chunks.
        #[n(1)]
        own: OpenSession,
        /// By what lease it grants to storage servers, in milliseconds: at least so long a one is recorded.
        #[n(2)]
        lease_ms: u32,
    },
    /// All that was granted by a longer lease has ended: this one is recorded, in milliseconds.
    #[n(14)]
    SetLease(#[n(0)] u32),
}

/// A truncation that chains must carry out before its caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PendingTruncation {
    /// Which file.
    #[n(0)]
    pub inode: InodeId,
    /// To which length.
    #[n(1)]
    pub len: ByteLen,
}

/// What the leader must carry out before something can be done or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The chains still have to cut a file: [`Body::FinishTruncation`] says when they have.
    Truncation(PendingTruncation),
    /// The chains must be asked for the length of this file: [`Body::RecoverLength`] brings the answer.
    Length(InodeId),
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of [`Body::Mutate`].
    Mutation {
        /// What to answer.
        reply: Result<MutationReply, FsError>,
        /// What must be finished before; also for a retry, as long as it is not.
        truncation: Option<PendingTruncation>,
    },
    /// Of [`Body::Mutate`], which did nothing and did not use its slot: finish this, then propose the
    /// same again.
    Blocked(Unfinished),
    /// Of [`Body::OpenSession`] and [`Body::Lead`].
    SessionOpened(OpenSessionReply),
    /// Of [`Body::Register`]; the words say why not.
    Registered(Result<Start, String>),
    /// Of an operator's order.
    Administered(AdministerReply),
    /// Of all others, done or no longer to be done.
    Done,
}
