//! Samples of what members of the metadata group say to each other.

use emberfs_layout::ClusterId;

use super::{Sample, bytes_of};
use crate::group::{
    Abstention, EntryHead, FetchPiece, FetchPieceReply, GetMember, GetMemberReply, Index, Install,
    InstallReply, MemberId, MemberMessage, MemberStatus, MessageKind, Position, SnapshotFile,
    SnapshotId, SnapshotName, Tell, TellReply, Term,
};

fn place(index: u64, term: u64) -> Position {
    Position { index: Index(index), term: Term(term) }
}

fn message(kind: MessageKind) -> MemberMessage {
    MemberMessage {
        kind,
        from: MemberId(1),
        to: MemberId(3),
        term: Term(7),
        at: place(70_000, 6),
        committed: place(69_999, 6),
        reject: false,
        reject_hint: Index::NONE,
        context: Vec::new().into(),
        entries: Vec::new(),
        snapshot: None,
    }
}

fn members() -> Vec<MemberStatus> {
    let status = |number, matched| MemberStatus {
        member: MemberId(number),
        address: format!("10.0.0.{number}:7000"),
        matched: Some(Index(matched)),
        heard: Some(matched > 0),
    };
    vec![status(1, 70_001), status(2, 70_000), status(3, 0)]
}

pub(super) fn samples() -> Vec<Sample> {
    let head = EntryHead { position: place(70_001, 7), len: 300, crc: 0x89ab_cdef };
    let append = MemberMessage { entries: vec![head, head], ..message(MessageKind::Append) };
    let refusal = MemberMessage {
        reject: true,
        reject_hint: Index(65_000),
        context: vec![0, 0, 0, 0, 0, 0, 0, 9].into(),
        ..message(MessageKind::AppendReply)
    };
    let name = SnapshotName { position: place(70_000, 6), id: SnapshotId(4) };
    let snapshot = MemberMessage { snapshot: Some(name), ..message(MessageKind::Snapshot) };
    let file = |name: &str, len| SnapshotFile { name: name.into(), len };
    let files = vec![file("CURRENT", 16), file("000012.sst", 5_000_000_000)];
    let fetch =
        FetchPiece { snapshot: name.id, name: "000012.sst".into(), offset: 1 << 32, len: 1 << 20 };
    let member = GetMemberReply {
        cluster: ClusterId(0x0123_4567),
        member: MemberId(1),
        leader: Some(MemberId(1)),
        term: Term(7),
        cut: Index(60_000),
        last: Index(70_001),
        committed: Index(70_000),
        applied: Index(69_999),
        members: members(),
        abstains: None,
    };
    let lost = Some(Abstention::Lost { to: Index(70_000) });
    let abstains = GetMemberReply { leader: None, abstains: lost, ..member.clone() };
    vec![
        ("Tell", bytes_of(&Tell { messages: vec![append, refusal] })),
        ("TellReply", bytes_of(&TellReply {})),
        ("Install", bytes_of(&Install { message: snapshot, files })),
        ("InstallReply", bytes_of(&InstallReply {})),
        ("FetchPiece", bytes_of(&fetch)),
        ("FetchPieceReply", bytes_of(&FetchPieceReply { crc: 0x0102_0304 })),
        ("GetMember", bytes_of(&GetMember {})),
        ("GetMemberReply", bytes_of(&member)),
        ("GetMemberReply", bytes_of(&abstains)),
    ]
}
