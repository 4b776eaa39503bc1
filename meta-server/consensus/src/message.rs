//! What one member says to another, and its form for the way.
//!
//! The members' cores make messages and take them in; how they travel is no matter of theirs. For the way a
//! message comes apart into a [`MemberMessage`] and the data of its entries, and is put together again behind
//! the checks of all that `raft` takes for granted. [`EntryHead::crc`] belongs to whoever has the payload: it
//! leaves here as 0 and is not looked at.

use bytes::Bytes;
use emberfs_wire::group::{
    EntryHead, Index, MemberId, MemberMessage, MessageKind, Position, SnapshotId, SnapshotName,
    Term,
};
use emberfs_wire::limits::{CONTEXT_BYTES_MAX, ENTRIES_MAX};
use minicbor::bytes::ByteVec;
use raft::eraftpb::{self, MessageType};
use thiserror::Error;

/// Terms and places are counted from 1, and none gets here: what is above is no number of ours.
const NUMBER_MAX: u64 = 1 << 62;

/// What one member says to another.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerMessage(pub(crate) Box<eraftpb::Message>);

/// A message that no member has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message of the kind {kind:?} cannot be taken in: {why}")]
pub struct Malformed {
    /// Its kind.
    pub kind: MessageKind,
    /// What is wrong with it.
    pub why: &'static str,
}

impl PeerMessage {
    pub(crate) fn new(message: eraftpb::Message) -> Self {
        Self(Box::new(message))
    }

    /// To whom.
    #[must_use]
    pub fn to(&self) -> MemberId {
        MemberId(self.0.to)
    }

    /// From whom.
    #[must_use]
    pub fn from(&self) -> MemberId {
        MemberId(self.0.from)
    }

    /// In which term.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.0.term)
    }

    /// The snapshot that comes with it, if one does.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotName> {
        self.0.snapshot.as_ref().and_then(name_of)
    }

    /// For the way: the message, and the data of each of its entries, in order.
    ///
    /// # Panics
    /// If `raft` made a message that no member says to another.
    #[must_use]
    pub fn into_parts(self) -> (MemberMessage, Vec<Bytes>) {
        let snapshot = self.snapshot();
        let message = *self.0;
        let kind = kind_of(message.get_msg_type()).expect("the other kinds stay in the member");
        let mut data = Vec::with_capacity(message.entries.len());
        let mut entries = Vec::with_capacity(message.entries.len());
        for entry in message.entries {
            let position = Position { index: Index(entry.index), term: Term(entry.term) };
            let len = u32::try_from(entry.data.len()).expect("an entry is much smaller");
            entries.push(EntryHead { position, len, crc: 0 });
            data.push(Bytes::from(entry.data));
        }
        let parts = MemberMessage {
            kind,
            from: MemberId(message.from),
            to: MemberId(message.to),
            term: Term(message.term),
            at: Position { index: Index(message.index), term: Term(message.log_term) },
            committed: Position { index: Index(message.commit), term: Term(message.commit_term) },
            reject: message.reject,
            reject_hint: Index(message.reject_hint),
            context: ByteVec::from(message.context),
            entries,
            snapshot,
        };
        (parts, data)
    }

    /// From the parts, with all checked that `raft` takes for granted.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_parts(parts: MemberMessage, data: Vec<Bytes>) -> Result<Self, Malformed> {
        let kind = parts.kind;
        check(&parts, &data).map_err(|why| Malformed { kind, why })?;
        let entry = |(head, data): (EntryHead, Bytes)| eraftpb::Entry {
            index: head.position.index.get(),
            term: head.position.term.get(),
            data: data.into(),
            ..eraftpb::Entry::default()
        };
        let mut message = eraftpb::Message {
            from: parts.from.get(),
            to: parts.to.get(),
            term: parts.term.get(),
            index: parts.at.index.get(),
            log_term: parts.at.term.get(),
            commit: parts.committed.index.get(),
            commit_term: parts.committed.term.get(),
            reject: parts.reject,
            reject_hint: parts.reject_hint.get(),
            context: parts.context.into(),
            entries: parts.entries.into_iter().zip(data).map(entry).collect(),
            snapshot: parts.snapshot.map(|name| snapshot_of(name, &[])),
            ..eraftpb::Message::default()
        };
        message.set_msg_type(type_of(kind));
        Ok(Self::new(message))
    }
}

/// The kinds that travel.
const KINDS: [(MessageKind, MessageType); 12] = [
    (MessageKind::Append, MessageType::MsgAppend),
    (MessageKind::AppendReply, MessageType::MsgAppendResponse),
    (MessageKind::Vote, MessageType::MsgRequestVote),
    (MessageKind::VoteReply, MessageType::MsgRequestVoteResponse),
    (MessageKind::Snapshot, MessageType::MsgSnapshot),
    (MessageKind::Heartbeat, MessageType::MsgHeartbeat),
    (MessageKind::HeartbeatReply, MessageType::MsgHeartbeatResponse),
    (MessageKind::CampaignNow, MessageType::MsgTimeoutNow),
    (MessageKind::ReadIndex, MessageType::MsgReadIndex),
    (MessageKind::ReadIndexReply, MessageType::MsgReadIndexResp),
    (MessageKind::PreVote, MessageType::MsgRequestPreVote),
    (MessageKind::PreVoteReply, MessageType::MsgRequestPreVoteResponse),
];

fn kind_of(of: MessageType) -> Option<MessageKind> {
    KINDS.iter().find(|&&(_, known)| known == of).map(|&(kind, _)| kind)
}

fn type_of(kind: MessageKind) -> MessageType {
    let found = KINDS.iter().find(|&&(known, _)| known == kind);
    found.expect("each kind stands in the table").1
}

/// What `raft` takes for granted, or what is wrong.
fn check(parts: &MemberMessage, data: &[Bytes]) -> Result<(), &'static str> {
    let sound = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
    let kind = parts.kind;
    sound(parts.from != MemberId::NONE && parts.to != MemberId::NONE, "it is from or to nobody")?;
    sound(parts.from != parts.to, "it is from the one that it is to")?;
    let numbers = [
        parts.term.get(),
        parts.at.index.get(),
        parts.at.term.get(),
        parts.committed.index.get(),
        parts.committed.term.get(),
        parts.reject_hint.get(),
    ];
    sound(numbers.iter().all(|&number| number < NUMBER_MAX), "a number is out of range")?;
    // `raft` takes what has no term for its own.
    let asks = kind == MessageKind::ReadIndex;
    sound(asks == (parts.term == Term::NONE), "its term is missing or too much")?;
    sound(parts.context.len() <= CONTEXT_BYTES_MAX, "its context is too long")?;
    sound(parts.entries.len() <= ENTRIES_MAX, "it has too many entries")?;
    let lens = parts.entries.iter().map(|entry| entry.len as usize);
    sound(lens.eq(data.iter().map(Bytes::len)), "its entries are not what comes with it")?;
    let comes = kind == MessageKind::Snapshot;
    sound(comes == parts.snapshot.is_some(), "a snapshot is missing or too much")?;
    if let Some(SnapshotName { position, .. }) = parts.snapshot {
        let exists = position.index != Index::NONE && position.term != Term::NONE;
        let known = position.index.get() < NUMBER_MAX && position.term <= parts.term;
        sound(exists && known, "its snapshot stands nowhere")?;
    }
    match kind {
        MessageKind::Append => {
            sound(parts.at.term <= parts.term, "what stands before is of a later term")?;
            follow(parts)
        }
        MessageKind::ReadIndex | MessageKind::ReadIndexReply => {
            let one = parts.entries.len() == 1
                && parts.entries[0].position == Position::default()
                && (1..=CONTEXT_BYTES_MAX).contains(&data[0].len());
            sound(one, "it names no question")
        }
        _ => sound(parts.entries.is_empty(), "it has entries"),
    }
}

/// Whether the entries follow each other, and what stands before them.
fn follow(parts: &MemberMessage) -> Result<(), &'static str> {
    let mut before = parts.at;
    for EntryHead { position, .. } in &parts.entries {
        let follows = position.index == before.index.next() && position.term >= before.term;
        if !follows || position.term == Term::NONE || position.term > parts.term {
            return Err("its entries do not follow each other");
        }
        before = *position;
    }
    Ok(())
}

/// As `raft` sees a snapshot; `voters` is the members' own business and does not travel.
pub(crate) fn snapshot_of(name: SnapshotName, voters: &[MemberId]) -> eraftpb::Snapshot {
    let members = eraftpb::ConfState {
        voters: voters.iter().map(|member| member.get()).collect(),
        ..eraftpb::ConfState::default()
    };
    let metadata = eraftpb::SnapshotMetadata {
        conf_state: Some(members),
        index: name.position.index.get(),
        term: name.position.term.get(),
    };
    let data = name.id.get().to_be_bytes().to_vec();
    eraftpb::Snapshot { data, metadata: Some(metadata) }
}

/// The name of a snapshot, unless it is `raft`'s empty one.
pub(crate) fn name_of(snapshot: &eraftpb::Snapshot) -> Option<SnapshotName> {
    let metadata = snapshot.metadata.as_ref().filter(|metadata| metadata.index != 0)?;
    let id = snapshot.data.as_slice().try_into().expect("a member made it, by `snapshot_of`");
    let position = Position { index: Index(metadata.index), term: Term(metadata.term) };
    Some(SnapshotName { position, id: SnapshotId(u64::from_be_bytes(id)) })
}
