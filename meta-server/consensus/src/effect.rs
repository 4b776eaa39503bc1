//! What goes into a member and what comes out, with the order of carrying it out said in types.
//!
//! ```text
//!   Append ──(write, sync)──► Append::synced() = Durable ──► Input::Durable
//!                                                              │
//!                     messages that were held for it: Send ◄───┤
//!                     what became committed by it:   Apply ◄───┘
//! ```
//!
//! A member answers, votes and commits by an entry or a vote only after it got the [`Durable`] that
//! stands for it, and that is made from the [`Append`] itself.

use bytes::Bytes;
use emberfs_wire::group::{Index, MemberId, Position, SnapshotName, Term};
use thiserror::Error;

use crate::entry::{Entry, Vote};
use crate::ids::{ConfirmId, ProposalId};
use crate::message::PeerMessage;

/// What happens to a member.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// Somebody wants this in the log. Answered by [`Effect::Refused`], or by its entry in
    /// [`Effect::Apply`].
    Propose {
        /// Names it in the answer.
        id: ProposalId,
        /// What to put into the log; not empty.
        data: Bytes,
    },
    /// What is committed, now? On a member that does not lead, the leader is asked. Answered by
    /// [`Effect::Confirmed`] or [`Effect::Unconfirmed`].
    Confirm(ConfirmId),
    /// An append is on stable storage, and with it all appends before it.
    Durable(Durable),
    /// The state has taken in all entries up to here. Only grows.
    Applied(Index),
    /// The state is on stable storage up to here: the log before it may go. Only grows.
    StateDurable(Index),
    /// Another member says something. A message that names a snapshot comes when all of that is here.
    Message(PeerMessage),
    /// The state as it was at this place stands ready to be sent: answers [`Effect::MakeSnapshot`].
    SnapshotMade(SnapshotName),
    /// No snapshot stands ready any more, or none could be made: where one is needed, it is asked for again.
    SnapshotGone,
    /// A message that named a snapshot is dealt with: its receiver has taken it, or it never will.
    SnapshotSent {
        /// The receiver.
        to: MemberId,
        /// What became of it.
        became: Transfer,
    },
    /// What was said to this member last did not arrive.
    Unreachable(MemberId),
    /// Let another member lead, if this one does: for the rest of its term it takes no proposal and
    /// confirms nothing.
    HandOver,
}

/// What became of a snapshot that was to go to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Its receiver has taken it.
    Delivered,
    /// Its receiver says that it cannot take it in, as one whose disk is full does. The next fares no better before
    /// somebody mends that.
    Refused,
    /// It never was with its receiver as a whole, or nobody knows whether it was: withdrawn, cut off, without a place
    /// at either end. That says nothing of the next.
    NotSent,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Write to the log, sync, and hand the [`Durable`] back. Appends are carried out in order.
    Append(Append),
    /// The log is found to have held this much, and ends before: the guard must know that before anything is appended
    /// behind this, and until the log ends there again. It stands in the order of the appends.
    Owe(Index),
    /// The member is new no more: the guard may forget that it was, once all that was appended before this is on stable
    /// storage.
    BroughtUp,
    /// Forget the log up to and with this place, and remember the place. Needs no sync: it may come
    /// with the next append.
    Cut(Position),
    /// Send; it may be lost, repeated or late. One that names a snapshot ([`PeerMessage::snapshot`]) is to
    /// follow that, and is answered by [`Input::SnapshotSent`]; one such is under way to a member at a time.
    Send(PeerMessage),
    /// A member lags behind the log: make a snapshot of the state, as new as it can be. Answered by
    /// [`Input::SnapshotMade`] or [`Input::SnapshotGone`].
    MakeSnapshot,
    /// Committed: the state takes them in, in order.
    Apply(Vec<Committed>),
    /// Whoever was asked led at some time after each of these was, and all that was committed before
    /// stands at or before `index`.
    Confirmed {
        /// Which questions.
        ids: Vec<ConfirmId>,
        /// A state that has taken in this much may answer them.
        index: Index,
    },
    /// Nobody leads as far as this member knows, or who does changed or does not answer.
    Unconfirmed {
        /// Which question.
        id: ConfirmId,
        /// Who may.
        leader: Option<MemberId>,
    },
    /// This will not be answered by an entry.
    Refused {
        /// Which proposal.
        id: ProposalId,
        /// Why.
        why: Refusal,
    },
    /// Who leads has changed.
    Leadership(Leadership),
    /// This member's log and the leader's differ in what is committed: it must end.
    Diverged(Divergence),
}

/// Two logs that differ where none may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "entry {} of term {} is committed here, and member {leader}, which leads, has one of term {} there: this member kept \
     what the others gave up with `emberfs-meta accept-loss` while it was away; set its directory aside and format it anew \
     with `emberfs-meta format --cluster ID`, one member at a time and while a majority of the others runs, and they send \
     it all that they have",
    .ours.index, .ours.term, .theirs.term
)]
pub struct Divergence {
    /// Who leads.
    pub leader: MemberId,
    /// What stands here.
    pub ours: Position,
    /// What the leader has there.
    pub theirs: Position,
}

/// Why a proposal is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not in the log: this member does not lead.
    NotLeader {
        /// Who may.
        leader: Option<MemberId>,
    },
    /// It is not in the log: that is as long as [`crate::Limits`] allow now, and must be cut first.
    Full,
    /// It is in the log and may yet be committed, or never be: leadership was lost.
    Unknown,
}

/// Who leads, as far as this member knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leadership {
    /// Nobody, or nobody yet.
    #[default]
    Nobody,
    /// Another.
    Follower {
        /// Who.
        leader: MemberId,
    },
    /// This member, and its state has taken in all that earlier leaders committed.
    Leader {
        /// In which term.
        term: Term,
    },
}

impl Leadership {
    /// The leader, if it is another member.
    #[must_use]
    pub fn other(self) -> Option<MemberId> {
        match self {
            Self::Follower { leader } => Some(leader),
            Self::Nobody | Self::Leader { .. } => None,
        }
    }
}

/// A committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The entry.
    pub entry: Entry,
    /// Who waits for its outcome at this member.
    pub proposal: Option<ProposalId>,
}

/// What must reach stable storage together.
#[derive(Debug)]
#[must_use = "the member waits for it"]
pub struct Append {
    pub(crate) number: u64,
    pub(crate) snapshot: Option<SnapshotName>,
    pub(crate) vote: Option<Vote>,
    pub(crate) entries: Vec<Entry>,
}

impl Append {
    /// The snapshot that comes before all else in this: it takes the place of the state, whatever that has still to
    /// take in from before, and the log forgets all that it holds and is cut there. Answered by [`Input::Applied`]
    /// too.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotName> {
        self.snapshot
    }

    /// The new vote, if it changed.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        self.vote
    }

    /// Entries without a hole among them. What the log holds at the place of the first and behind it
    /// is to be dropped.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// To be called when all of it is on stable storage, and not before.
    pub fn synced(self) -> Durable {
        Durable { number: self.number }
    }
}

/// An append is on stable storage.
#[derive(Debug)]
#[must_use = "the member waits for it"]
pub struct Durable {
    pub(crate) number: u64,
}
