//! What the members of the metadata group say to each other, and how each of them stands.
//!
//! ```text
//!   member ── Tell ───────► member      messages of Raft; the data of their entries is the payload
//!          ── Install ────► a member    that lags too far: fetch these files, then take this message in
//!          ◄─── FetchPiece ──           a part of one of the files, as payload
//!   anyone ── GetMember ──► any member  also one that does not lead
//! ```
//!
//! Messages may be lost, repeated and late: Raft copes. So a [`Tell`] is answered when it has arrived, whatever
//! becomes of it, and an [`Install`] when its message was handed on.

use emberfs_layout::ClusterId;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode};

use crate::codec::list;
use crate::limits::{
    CONTEXT_BYTES_MAX, ENTRIES_MAX, MEMBER_MESSAGES_MAX, MEMBERS_MAX, SNAPSHOT_FILES_MAX,
};

/// Declares a newtype over u64 of which 0 is "none yet".
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub u64);

        impl $name {
            /// None, or before the first one.
            pub const NONE: Self = Self(0);

            /// The bare number, for codecs and keys.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// Names one member of the metadata group: its place in the list of members, from 1; 0 is nobody.
    MemberId
}
number! {
    /// A term of leadership: at most one member leads in each.
    Term
}
number! {
    /// A place in the group's log; the first entry stands at 1.
    Index
}
number! {
    /// Names a snapshot among all that a member made, in all its starts.
    SnapshotId
}

impl Index {
    /// The place behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place in the log and the term of what stands there: equal positions hold equal entries, on every
/// member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Position {
    /// Where.
    #[n(0)]
    pub index: Index,
    /// Of which term.
    #[n(1)]
    pub term: Term,
}

/// What a message of Raft is about: those kinds that travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum MessageKind {
    /// The leader's entries.
    #[n(0)]
    Append,
    /// How far they were taken.
    #[n(1)]
    AppendReply,
    /// A candidate wants a vote.
    #[n(2)]
    Vote,
    /// Whether it gets it.
    #[n(3)]
    VoteReply,
    /// The state instead of entries.
    #[n(4)]
    Snapshot,
    /// The leader lives.
    #[n(5)]
    Heartbeat,
    /// It was heard.
    #[n(6)]
    HeartbeatReply,
    /// The leader hands over: campaign now.
    #[n(7)]
    CampaignNow,
    /// A follower asks what is committed.
    #[n(8)]
    ReadIndex,
    /// That much.
    #[n(9)]
    ReadIndexReply,
    /// Would a candidate get a vote?
    #[n(10)]
    PreVote,
    /// Whether it would.
    #[n(11)]
    PreVoteReply,
}

/// One entry; its data stands in the payload, behind that of the entry before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EntryHead {
    /// Where it stands; nowhere, if it only carries what a [`MessageKind::ReadIndex`] is named by.
    #[n(0)]
    pub position: Position,
    /// Length of its data in bytes.
    #[n(1)]
    pub len: u32,
    /// CRC-32C of its data.
    #[n(2)]
    pub crc: u32,
}

/// Names the state as it was at a place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotName {
    /// What it has taken in.
    #[n(0)]
    pub position: Position,
    /// Names it to the member that has it.
    #[n(1)]
    pub id: SnapshotId,
}

/// A message of Raft, as the members' cores make and take it. Which fields count, its kind says; the others
/// are zero.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberMessage {
    /// What it is about.
    #[n(0)]
    pub kind: MessageKind,
    /// Who says it.
    #[n(1)]
    pub from: MemberId,
    /// To whom.
    #[n(2)]
    pub to: MemberId,
    /// The sender's term; none in what belongs to none.
    #[n(3)]
    pub term: Term,
    /// Before the entries; the last of a candidate's log; up to where entries were taken, or not.
    #[n(4)]
    pub at: Position,
    /// What the sender knows to be committed; in the answer to what is committed, where its log ends.
    #[n(5)]
    pub committed: Position,
    /// Whether the answer is no.
    #[n(6)]
    pub reject: bool,
    /// Where a follower that refuses entries would take some. Of a vote, asked for or given: 1 where the sender holds an
    /// order, or may have held one.
    #[n(7)]
    pub reject_hint: Index,
    /// What an answer is to repeat, or a mark that goes with the kind (`saying.rs` of the consensus has them).
    #[cbor(n(8), decode_with = "name_bytes")]
    pub context: ByteVec,
    /// The entries.
    #[cbor(n(9), decode_with = "list::<ENTRIES_MAX, _, _>")]
    pub entries: Vec<EntryHead>,
    /// The state that comes instead of entries.
    #[n(10)]
    pub snapshot: Option<SnapshotName>,
}

/// Messages, in order. The payload holds the data of all entries in them, in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tell {
    /// The messages.
    #[cbor(n(0), decode_with = "list::<MEMBER_MESSAGES_MAX, _, _>")]
    pub messages: Vec<MemberMessage>,
}

/// Answers [`Tell`]: they have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TellReply {}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotFile {
    /// Its name, without a folder.
    #[n(0)]
    pub name: String,
    /// Its length in bytes.
    #[n(1)]
    pub len: u64,
}

/// The receiver lags behind what the sender's log reaches: it is to fetch the files of the snapshot from the
/// sender, by [`FetchPiece`], and then to take the message in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Install {
    /// Of kind [`MessageKind::Snapshot`].
    #[n(0)]
    pub message: MemberMessage,
    /// All files of the snapshot.
    #[cbor(n(1), decode_with = "list::<SNAPSHOT_FILES_MAX, _, _>")]
    pub files: Vec<SnapshotFile>,
}

/// Answers [`Install`]: the files are there, and the message was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InstallReply {}

/// Asks for a part of a snapshot's file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FetchPiece {
    /// Which snapshot.
    #[n(0)]
    pub snapshot: SnapshotId,
    /// Which file.
    #[n(1)]
    pub name: String,
    /// From which byte on.
    #[n(2)]
    pub offset: u64,
    /// How many bytes, at most [`SNAPSHOT_PIECE_MAX`](crate::limits::SNAPSHOT_PIECE_MAX).
    #[n(3)]
    pub len: u32,
}

/// Answers [`FetchPiece`]: the payload is that part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FetchPieceReply {
    /// CRC-32C of the payload.
    #[n(0)]
    pub crc: u32,
}

/// Asks a member how it and its group stand; answered also by one that does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetMember {}

/// Answers [`GetMember`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetMemberReply {
    /// Whose member it is.
    #[n(0)]
    pub cluster: ClusterId,
    /// Who answers.
    #[n(1)]
    pub member: MemberId,
    /// Who leads, as far as it knows.
    #[n(2)]
    pub leader: Option<MemberId>,
    /// The highest term that it has seen.
    #[n(3)]
    pub term: Term,
    /// Where its log begins: what stands before is in its state alone.
    #[n(4)]
    pub cut: Index,
    /// Where its log ends.
    #[n(5)]
    pub last: Index,
    /// What it knows to be committed.
    #[n(6)]
    pub committed: Index,
    /// What its state has taken in.
    #[n(7)]
    pub applied: Index,
    /// All members, this one among them.
    #[cbor(n(8), decode_with = "list::<MEMBERS_MAX, _, _>")]
    pub members: Vec<MemberStatus>,
    /// Why it does not vote, if it does not.
    #[n(9)]
    pub abstains: Option<Abstention>,
}

impl GetMemberReply {
    /// Of a member that has just begun: it holds nothing, and knows of nobody.
    #[must_use]
    pub fn new(cluster: ClusterId, member: MemberId) -> Self {
        Self {
            cluster,
            member,
            leader: None,
            term: Term::default(),
            cut: Index::NONE,
            last: Index::NONE,
            committed: Index::NONE,
            applied: Index::NONE,
            members: Vec::new(),
            abstains: None,
        }
    }
}

/// Why a member votes for nobody who holds anything: the group may count on what it held. That ends when a leader,
/// which the others elect, has brought it up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Abstention {
    /// No leader has brought it up to date since its directory was made, for the first time or anew. Where all members
    /// are new and hold nothing, they elect the first leader together.
    #[n(0)]
    New,
    /// Its disk has lost entries that it had.
    #[n(1)]
    Lost {
        /// The last of them, as far as is known.
        #[n(0)]
        to: Index,
    },
}

/// How a member of the group stands, as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberStatus {
    /// Who.
    #[n(0)]
    pub member: MemberId,
    /// Where it listens, as `host:port`.
    #[n(1)]
    pub address: String,
    /// Of a leader that answers: up to where this member's log is known to hold what the leader's does.
    #[n(2)]
    pub matched: Option<Index>,
    /// Of a leader that answers: whether it was heard within the time of an election.
    #[n(3)]
    pub heard: Option<bool>,
}

/// Bytes that name something: few.
fn name_bytes<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<ByteVec, minicbor::decode::Error> {
    let at = d.position();
    let bytes = ByteVec::decode(d, ctx)?;
    match bytes.len() <= CONTEXT_BYTES_MAX {
        true => Ok(bytes),
        false => Err(minicbor::decode::Error::message("a context is longer than it may be").at(at)),
    }
}
