//! What is no message of a member.

use bytes::Bytes;
use emberfs_wire::group::{
    EntryHead, Index, MemberId, MemberMessage, MessageKind, Position, SnapshotId, SnapshotName,
    Term,
};
use minicbor::bytes::ByteVec;

use crate::PeerMessage;

fn position(index: u64, term: u64) -> Position {
    Position { index: Index(index), term: Term(term) }
}

fn head(index: u64, term: u64) -> EntryHead {
    EntryHead { position: position(index, term), len: 1, crc: 0 }
}

/// Entries 5 and 6 of a leader in term 3.
fn append() -> MemberMessage {
    MemberMessage {
        kind: MessageKind::Append,
        from: MemberId(1),
        to: MemberId(2),
        term: Term(3),
        at: position(4, 2),
        committed: position(4, 0),
        reject: false,
        reject_hint: Index::NONE,
        context: ByteVec::from(Vec::new()),
        entries: vec![head(5, 2), head(6, 3)],
        snapshot: None,
    }
}

fn heard(parts: MemberMessage) -> bool {
    let data = parts.entries.iter().map(|_| Bytes::from_static(b"x")).collect();
    PeerMessage::from_parts(parts, data).is_ok()
}

type Change = fn(&mut MemberMessage);

#[test]
fn what_raft_takes_for_granted_is_checked() {
    assert!(heard(append()));
    let name = SnapshotName { position: position(9, 2), id: SnapshotId(1) };
    let changes: [(&str, Change); 14] = [
        ("from nobody", |parts| parts.from = MemberId::NONE),
        ("to nobody", |parts| parts.to = MemberId::NONE),
        ("to itself", |parts| parts.to = parts.from),
        ("of no term", |parts| parts.term = Term::NONE),
        ("of a term beyond all", |parts| parts.term = Term(u64::MAX)),
        ("places beyond all", |parts| parts.at.index = Index(u64::MAX)),
        ("a long context", |parts| parts.context = ByteVec::from(vec![0; 65])),
        ("a hole", |parts| parts.entries[1].position.index = Index(7)),
        ("a hole before", |parts| parts.at.index = Index(3)),
        ("terms that fall", |parts| parts.entries[1].position.term = Term(1)),
        ("entries of a later term", |parts| parts.entries[1].position.term = Term(4)),
        ("a length that is not", |parts| parts.entries[1].len = 2),
        ("a heartbeat with entries", |parts| parts.kind = MessageKind::Heartbeat),
        ("a snapshot that is none", |parts| {
            (parts.kind, parts.entries) = (MessageKind::Snapshot, Vec::new());
        }),
    ];
    for (what, change) in changes {
        let mut parts = append();
        change(&mut parts);
        assert!(!heard(parts), "{what}");
    }
    let snapshot = |name| MemberMessage {
        kind: MessageKind::Snapshot,
        entries: Vec::new(),
        snapshot: Some(name),
        ..append()
    };
    assert!(heard(snapshot(name)));
    for nowhere in [position(0, 2), position(9, 0), position(9, 4)] {
        assert!(!heard(snapshot(SnapshotName { position: nowhere, ..name })), "{nowhere:?}");
    }
    assert!(!heard(MemberMessage { snapshot: Some(name), ..append() }));
    assert!(PeerMessage::from_parts(append(), Vec::new()).is_err(), "the data is missing");
}

#[test]
fn a_question_has_a_name_and_no_term() {
    let question = || MemberMessage {
        kind: MessageKind::ReadIndex,
        term: Term::NONE,
        entries: vec![head(0, 0)],
        ..append()
    };
    assert!(heard(question()));
    assert!(!heard(MemberMessage { term: Term(3), ..question() }));
    assert!(!heard(MemberMessage { entries: Vec::new(), ..question() }));
    assert!(!heard(MemberMessage { entries: vec![head(1, 1)], ..question() }));
    let answer =
        || MemberMessage { kind: MessageKind::ReadIndexReply, term: Term(3), ..question() };
    assert!(heard(answer()));
    assert!(!heard(MemberMessage { term: Term::NONE, ..answer() }));
}

#[test]
fn what_comes_apart_is_put_together_again() {
    let data = vec![Bytes::from_static(b"x"), Bytes::from_static(b"y")];
    let message = PeerMessage::from_parts(append(), data.clone()).unwrap();
    assert_eq!((message.from(), message.to()), (MemberId(1), MemberId(2)));
    assert_eq!(message.clone().into_parts(), (append(), data));
    assert_eq!(message.snapshot(), None);
}
