//! Who elects, and who does not: what a member has heard, has lost, and has no room for.

use bytes::Bytes;
use emberfs_wire::group::{EntryHead, Index, MemberId, MemberMessage, MessageKind, Position, Term};
use minicbor::bytes::ByteVec;

use super::one::said;
use super::trio::{Trio, config, message, say, ticks};
use crate::{
    Abstention, Config, Entry, Input, LEASE, Leadership, Member, Millis, PeerMessage, Restored,
    SILENCE, TICK, Vote,
};

/// A member whose log ends at 2 and has held more.
fn loser(at: usize, must_reach: Index) -> Member {
    let entry = |index| Entry {
        position: Position { index: Index(index), term: Term(1) },
        data: Bytes::from_static(b"x"),
    };
    let restored = Restored {
        vote: Vote { term: Term(1), member: MemberId::NONE },
        entries: vec![entry(1), entry(2)],
        ..Restored::default()
    };
    let config = Config { must_reach, is_new: false, ..config(at) };
    Member::new(&config, restored, Millis(0)).unwrap()
}

#[test]
fn who_has_lost_entries_elects_nobody_before_they_are_back() {
    let mut member = loser(0, Index(5));
    let mut now = Millis(0);
    for _ in 0..100 {
        now = now.after(TICK);
        assert!(said(&mut member, now, Input::Tick).is_empty(), "it campaigns");
    }
    assert_eq!(member.abstains(), Some(Abstention::Lost { to: Index(5) }));
    let mut vote = message(MessageKind::Vote, 1, 0, Term(2));
    vote.at = Position { index: Index(9), term: Term(1) };
    for kind in [MessageKind::Vote, MessageKind::PreVote, MessageKind::CampaignNow] {
        let parts = MemberMessage { kind, ..vote.clone() };
        assert!(said(&mut member, now, say(parts)).is_empty(), "{kind:?}");
    }
    let handed = MemberMessage { context: ByteVec::from(b"CampaignTransfer".to_vec()), ..vote };
    assert!(said(&mut member, now, say(handed)).is_empty());
    // They come back.
    let mut parts = message(MessageKind::Append, 1, 0, Term(2));
    parts.at = Position { index: Index(2), term: Term(1) };
    parts.committed.index = Index(5);
    let head = |index| EntryHead {
        position: Position { index: Index(index), term: Term(2) },
        len: 1,
        crc: 0,
    };
    parts.entries = vec![head(3), head(4), head(5)];
    let data = vec![Bytes::from_static(b"x"); 3];
    let append = Input::Message(PeerMessage::from_parts(parts, data).unwrap());
    assert_eq!(said(&mut member, now, append), [MessageKind::AppendReply]);
    assert_eq!(member.abstains(), None);
    let mut vote = message(MessageKind::Vote, 2, 0, Term(3));
    vote.at = Position { index: Index(9), term: Term(2) };
    let later = now.after(SILENCE).after(SILENCE);
    for _ in 0..20 {
        now = now.after(TICK);
        said(&mut member, now, Input::Tick);
    }
    vote.term = Term(member.standing().term.get() + 1);
    assert_eq!(said(&mut member, later, say(vote)), [MessageKind::VoteReply]);
}

#[test]
fn a_leader_that_knows_of_more_than_there_is_learns_of_the_loss() {
    let mut member = loser(0, Index::NONE);
    let now = Millis(0);
    let mut parts = message(MessageKind::Heartbeat, 1, 0, Term(1));
    parts.committed.index = Index(5);
    let answers = said(&mut member, now, say(parts));
    assert_eq!(answers, [MessageKind::HeartbeatReply, MessageKind::AppendReply]);
    assert_eq!(member.standing().committed, Index(2), "what is there is committed");
    let mut vote = message(MessageKind::Vote, 2, 0, Term(2));
    vote.at = Position { index: Index(9), term: Term(1) };
    assert!(said(&mut member, now.after(SILENCE).after(SILENCE), say(vote)).is_empty());
}

/// Its term is gone with all else, so each leader is of a newer one.
#[test]
fn who_has_lost_everything_learns_so_from_the_first_heartbeat() {
    let mut member = Member::new(&config(0), Restored::default(), Millis(0)).unwrap();
    let mut parts = message(MessageKind::Heartbeat, 1, 0, Term(3));
    parts.committed.index = Index(5);
    let answers = said(&mut member, Millis(0), say(parts));
    assert_eq!(answers, [MessageKind::AppendReply, MessageKind::HeartbeatReply]);
    assert_eq!(member.standing().committed, Index::NONE);
}

#[test]
fn a_full_log_takes_what_replaces_and_not_what_lengthens_it() {
    let mut member = loser(0, Index::NONE);
    let now = Millis(0);
    let append = |before: u64, term: u64, count: u64| {
        let mut parts = message(MessageKind::Append, 1, 0, Term(term));
        let of = if before > 2 { term.min(2) } else { 1 };
        parts.at = Position { index: Index(before), term: Term(of) };
        let head = |index| EntryHead {
            position: Position { index: Index(index), term: Term(term) },
            len: 1000,
            crc: 0,
        };
        parts.entries = (before + 1..=before + count).map(head).collect();
        let data = vec![Bytes::from(vec![1; 1000]); usize::try_from(count).unwrap()];
        Input::Message(PeerMessage::from_parts(parts, data).unwrap())
    };
    said(&mut member, now, append(2, 2, 12));
    assert_eq!(member.standing().last, Index(14));
    said(&mut member, now, append(14, 2, 1));
    assert_eq!(member.standing().last, Index(14), "it is full");
    said(&mut member, now, append(10, 3, 1));
    assert_eq!(member.standing().last, Index(11), "another leader has others");
}

#[test]
fn who_has_just_heard_its_leader_elects_nobody_whatever_term_it_learns_of() {
    let mut member = loser(0, Index::NONE);
    let now = Millis(10_000);
    assert_eq!(
        said(&mut member, now, say(message(MessageKind::Heartbeat, 1, 0, Term(5)))),
        [MessageKind::HeartbeatReply]
    );
    // Some late word of a member that campaigned in vain.
    said(&mut member, now, say(message(MessageKind::AppendReply, 2, 0, Term(6))));
    assert_eq!(member.standing().term, Term(6));
    let mut vote = message(MessageKind::Vote, 2, 0, Term(6));
    vote.at = Position { index: Index(9), term: Term(5) };
    assert!(said(&mut member, now.after(LEASE), say(vote.clone())).is_empty());
    assert_eq!(said(&mut member, now.after(SILENCE), say(vote)), [MessageKind::VoteReply]);
}

#[test]
fn a_leader_sends_again_what_a_follower_has_lost() {
    let (mut trio, leader, follower, _) = Trio::led();
    trio.propose(leader, 5);
    let last = trio.last(leader);
    assert_eq!(trio.last(follower), last);
    let vote = Vote { term: trio.members[leader].standing().term, member: MemberId::NONE };
    let config = Config { must_reach: last, is_new: false, ..config(follower) };
    let restored = Restored { vote, ..Restored::default() };
    trio.members[follower] = Member::new(&config, restored, trio.now).unwrap();
    ticks(&mut trio);
    assert_eq!(trio.members[follower].standing().applied, last);
}

/// Either counts as one that is away. What the two acknowledged together before, the third need not have.
#[test]
fn with_one_that_lost_entries_and_one_that_holds_nothing_the_third_leads_nobody() {
    let mut trio = Trio::new();
    trio.members = vec![loser(0, Index::NONE), loser(1, Index(5)), Trio::new().members.remove(2)];
    for _ in 0..200 {
        trio.tick();
    }
    let standings: Vec<_> = trio.members.iter().map(Member::standing).collect();
    assert!(standings.iter().all(|standing| standing.leadership == Leadership::Nobody));
    let lost = Some(Abstention::Lost { to: Index(5) });
    let abstain: Vec<_> = standings.iter().map(|standing| standing.abstains).collect();
    assert_eq!(abstain, [None, lost, Some(Abstention::New)]);
    // The operator has the one that lost entries vote by what it has left.
    trio.members[1] = loser(1, Index::NONE);
    let leader = trio.elect();
    ticks(&mut trio);
    assert!(leader < 2 && trio.members.iter().all(|member| member.abstains().is_none()));
}
