//! A leader that lets another lead.

use bytes::Bytes;
use emberfs_wire::group::{Index, MemberId};

use super::trio::{Trio, config, ticks};
use crate::{
    Config, Effect, Input, Leadership, Member, Millis, ProposalId, Refusal, Restored, Vote,
};

#[test]
fn the_next_one_is_told_if_the_first_does_not_take_it() {
    let (mut trio, leader, one, other) = Trio::led();
    let (first, second) = (one.min(other), one.max(other));
    // It has all that the leader has, and is owed more: it does not campaign.
    let vote = Vote { term: trio.members[leader].standing().term, member: MemberId::NONE };
    let config = Config { must_reach: Index(1000), is_new: false, ..config(first) };
    let restored = Restored { vote, ..Restored::default() };
    trio.members[first] = Member::new(&config, restored, trio.now).unwrap();
    ticks(&mut trio);
    assert_eq!(trio.last(first), trio.last(leader));
    let began = trio.now;
    trio.step(leader, Input::HandOver);
    assert_eq!(trio.elect(), second);
    assert!(trio.now < Millis(began.0 + 400), "{began:?} {:?}", trio.now);
}

#[test]
fn whoever_has_handed_over_does_not_lead_on() {
    let (mut trio, leader, one, other) = Trio::led();
    trio.propose(leader, 1);
    trio.tick();
    assert!(trio.members[leader].lease_until() > trio.now);
    let standing = trio.members[leader].standing();
    assert!(matches!(standing.leadership, Leadership::Leader { .. }));
    trio.deaf.extend([one, other]);
    trio.step(leader, Input::HandOver);
    for number in 0..10 {
        trio.tick();
        let member = &trio.members[leader];
        assert_eq!(member.lease_until(), Millis(0));
        assert_eq!(member.standing().leadership, Leadership::Nobody);
        let (id, data) = (ProposalId(number), Bytes::from_static(b"x"));
        let out = trio.step(leader, Input::Propose { id, data });
        let why = Refusal::NotLeader { leader: None };
        assert!(matches!(out[..], [(_, Effect::Refused { why: w, .. })] if w == why), "{out:?}");
    }
}
