//! What a follower asks, by way of its leader.

use bytes::Bytes;
use emberfs_wire::group::{EntryHead, Index, MessageKind, Position, Term};

use super::trio::{Trio, message};
use crate::{ConfirmId, Effect, Input, Leadership, PeerMessage, SILENCE};

fn outcome(effects: &[(usize, Effect)]) -> Vec<Option<Index>> {
    let outcome = effects.iter().filter_map(|(_, effect)| match effect {
        Effect::Confirmed { index, .. } => Some(Some(*index)),
        Effect::Unconfirmed { .. } => Some(None),
        _ => None,
    });
    outcome.collect()
}

#[test]
fn a_follower_asks_by_way_of_its_leader_and_not_for_ever() {
    let (mut trio, leader, follower, _) = Trio::led();
    trio.propose(leader, 3);
    let last = trio.last(leader);
    let effects = trio.step(follower, Input::Confirm(ConfirmId(1)));
    assert_eq!(outcome(&effects), [Some(last)]);
    // The question is lost, and asked again.
    trio.mute.insert(follower);
    assert!(trio.step(follower, Input::Confirm(ConfirmId(2))).is_empty());
    trio.mute.clear();
    assert_eq!(outcome(&trio.tick()), [Some(last)]);
    trio.mute.insert(follower);
    let asked = trio.now;
    assert!(trio.step(follower, Input::Confirm(ConfirmId(3))).is_empty());
    let mut effects = Vec::new();
    while effects.is_empty() {
        effects = trio.tick();
    }
    assert_eq!((outcome(&effects), trio.now), (vec![None], asked.after(SILENCE)));
    // Nobody leads.
    trio.deaf.insert(follower);
    while trio.members[follower].standing().leadership != Leadership::Nobody {
        trio.tick();
    }
    let effects = trio.step(follower, Input::Confirm(ConfirmId(4)));
    assert_eq!(outcome(&effects), [None]);
}

#[test]
fn a_question_is_not_passed_on() {
    let (mut trio, leader, follower, other) = Trio::led();
    let mut parts = message(MessageKind::ReadIndex, other, follower, Term::NONE);
    parts.entries = vec![EntryHead { position: Position::default(), len: 1, crc: 0 }];
    let asked = PeerMessage::from_parts(parts, vec![Bytes::from_static(b"x")]).unwrap();
    trio.deaf.insert(leader);
    let mut effects = Vec::new();
    trio.members[follower].step(trio.now, Input::Message(asked), &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
}

#[test]
fn a_lease_does_not_wait_for_a_slow_disk() {
    let (mut trio, leader, follower, other) = Trio::led();
    trio.deaf.insert(other);
    trio.mute.insert(other);
    trio.stuck = Some(follower);
    trio.propose(leader, 1);
    for _ in 0..40 {
        trio.tick();
        let (member, now) = (&trio.members[leader], trio.now);
        assert!(member.lease_until() > now, "{now:?}: {:?}", member.standing());
    }
    assert_eq!(trio.members[leader].standing().committed.next(), trio.last(leader));
}
