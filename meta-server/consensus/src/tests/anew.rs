//! Members whose directories were made anew: at the founding of a group, and later.

use bytes::Bytes;
use emberfs_wire::group::{EntryHead, Index, MemberMessage, MessageKind, Position, Term};

use super::trio::{Trio, config, message, ticks};
use crate::{
    Abstention, Config, Divergence, Effect, Entry, Input, Leadership, Member, MemberId, Millis,
    PeerMessage, Restored, TICK, Vote,
};

fn anew(trio: &mut Trio, at: usize) {
    trio.members[at] = Member::new(&config(at), Restored::default(), trio.now).unwrap();
}

fn cut_off(trio: &mut Trio, at: usize) {
    trio.deaf.insert(at);
    trio.mute.insert(at);
}

fn reach(trio: &mut Trio) {
    trio.deaf.clear();
    trio.mute.clear();
}

fn nobody_leads(trio: &mut Trio) {
    for _ in 0..200 {
        trio.tick();
        let led = |member: &Member| member.standing().leadership != Leadership::Nobody;
        assert!(!trio.members.iter().any(led));
    }
}

fn abstain(trio: &Trio) -> Vec<Option<Abstention>> {
    trio.members.iter().map(Member::abstains).collect()
}

#[test]
fn the_first_leader_is_elected_by_all_and_then_all_have_votes() {
    let mut trio = Trio::new();
    assert_eq!(abstain(&trio), [Some(Abstention::New); 3]);
    cut_off(&mut trio, 2);
    nobody_leads(&mut trio);
    reach(&mut trio);
    let leader = trio.elect();
    assert_eq!(abstain(&trio), [None; 3], "before any order was taken");
    trio.propose(leader, 3);
    // So any may die, at once.
    cut_off(&mut trio, leader);
    assert_ne!(trio.elect(), leader);
}

/// The word of the first leader does not reach the third: it asks.
#[test]
fn who_comes_late_is_brought_up_to_date_before_it_votes() {
    let (mut trio, leader, one, late) = Trio::led();
    anew(&mut trio, late);
    cut_off(&mut trio, late);
    trio.propose(leader, 5);
    assert_eq!(abstain(&trio).iter().flatten().count(), 1);
    reach(&mut trio);
    trio.mute.insert(leader);
    // The other would be elected by its vote.
    for _ in 0..100 {
        trio.tick();
        let standing = trio.members[one].standing();
        assert!(!matches!(standing.leadership, Leadership::Leader { .. }));
    }
    reach(&mut trio);
    let leader = trio.elect();
    ticks(&mut trio);
    assert_eq!(abstain(&trio), [None; 3]);
    assert_eq!(trio.last(late), trio.last(leader));
    cut_off(&mut trio, leader);
    assert_ne!(trio.elect(), leader);
}

/// Whether the third, which holds all, is there or away.
#[test]
fn two_of_three_that_were_made_anew_do_not_lead_each_other() {
    let (mut trio, leader, one, other) = Trio::led();
    trio.propose(leader, 5);
    let held = trio.last(leader);
    anew(&mut trio, one);
    anew(&mut trio, other);
    // It steps down.
    cut_off(&mut trio, leader);
    for _ in 0..50 {
        trio.tick();
    }
    nobody_leads(&mut trio);
    reach(&mut trio);
    nobody_leads(&mut trio);
    assert_eq!((trio.last(leader), trio.last(one), trio.last(other)), (held, Index(0), Index(0)));
    assert_eq!(abstain(&trio).iter().flatten().count(), 2);
}

/// A founder that was stopped before anybody else had its first entry.
#[test]
fn what_is_no_order_does_not_stand_in_the_way_of_a_first_leader() {
    let entry = Entry { position: Position { index: Index(1), term: Term(4) }, data: Bytes::new() };
    let vote = Vote { term: Term(4), member: MemberId(1) };
    for is_new in [true, false] {
        let mut trio = Trio::new();
        let restored = Restored { vote, entries: vec![entry.clone()], ..Restored::default() };
        let config = Config { is_new, ..config(0) };
        trio.members[0] = Member::new(&config, restored, Millis(0)).unwrap();
        assert_eq!(trio.elect(), 0, "the others lack its entry");
        assert_eq!(abstain(&trio), [None; 3]);
    }
}

fn append(term: u64, before: (u64, u64), terms: &[u64], committed: u64) -> Input {
    let at = |(index, term)| Position { index: Index(index), term: Term(term) };
    let places = before.0 + 1..;
    let head = |(index, &term)| EntryHead { position: at((index, term)), len: 1, crc: 0 };
    let parts = MemberMessage {
        at: at(before),
        committed: Position { index: Index(committed), ..Position::default() },
        entries: places.zip(terms).map(head).collect(),
        ..message(MessageKind::Append, 1, 0, Term(term))
    };
    let data = vec![Bytes::from_static(b"x"); terms.len()];
    Input::Message(PeerMessage::from_parts(parts, data).unwrap())
}

/// A member with three entries of the first term, of which two are applied.
fn holder() -> Member {
    let position = |index| Position { index: Index(index), term: Term(1) };
    let entry = |index| Entry { position: position(index), data: Bytes::from_static(b"x") };
    let vote = Vote { term: Term(1), member: MemberId::NONE };
    let entries = (1..=3).map(entry).collect();
    let restored = Restored { vote, entries, applied: Index(2), ..Restored::default() };
    Member::new(&Config { is_new: false, ..config(0) }, restored, Millis(0)).unwrap()
}

/// What the member says of the leader's log, if it differs.
fn differs(input: Input) -> Option<Divergence> {
    let mut out = Vec::new();
    holder().step(Millis(1), input, &mut out);
    let found = out.iter().find_map(|effect| match effect {
        Effect::Diverged(divergence) => Some(*divergence),
        _ => None,
    });
    assert!(found.is_none() || out.len() == 1, "it says no more: {out:?}");
    found
}

#[test]
fn what_is_committed_here_and_differs_with_the_leader_is_said() {
    let at = |index, term| Position { index: Index(index), term: Term(term) };
    let found = differs(append(3, (1, 1), &[3], 2)).unwrap();
    assert_eq!((found.ours, found.theirs, found.leader), (at(2, 1), at(2, 3), MemberId(2)));
    let words = found.to_string();
    assert!(words.starts_with("entry 2 of term 1 is committed here, and member 2"), "{words}");
    assert!(words.contains("emberfs-meta format --cluster"), "{words}");
    // What stands before the entries, though there are none.
    assert_eq!(differs(append(3, (2, 2), &[], 2)).unwrap().theirs, at(2, 2));
    // What was never committed may differ, and a leader that was deposed may have had what was not.
    assert_eq!(differs(append(3, (2, 1), &[3, 3], 4)), None);
    assert_eq!(differs(append(3, (1, 1), &[1, 3], 3)), None);
    let mut member = holder();
    let mut out = Vec::new();
    member.step(Millis(1), append(5, (3, 1), &[], 3), &mut out);
    member.step(Millis(2), append(4, (1, 1), &[4], 2), &mut out);
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Diverged(_))), "{out:?}");
}

/// The next start must know of it, whatever is taken in before.
#[test]
fn a_loss_that_a_leader_tells_of_is_owed_before_anything_is_taken() {
    let mut member = holder();
    let mut out = Vec::new();
    let mut heartbeat = message(MessageKind::Heartbeat, 1, 0, Term(1));
    heartbeat.committed.index = Index(9);
    let heard = PeerMessage::from_parts(heartbeat, Vec::new()).unwrap();
    member.step(Millis(1), Input::Message(heard), &mut out);
    assert!(matches!(out[0], Effect::Owe(Index(9))), "{out:?}");
    out.clear();
    member.step(Millis(2), append(1, (3, 1), &[1, 1], 9), &mut out);
    assert!(matches!(&out[..], [Effect::Append(_), ..]), "{out:?}");
    assert_eq!(member.abstains(), Some(Abstention::Lost { to: Index(9) }));
}

/// What a member must have on stable storage when its guard forgets that it was new.
#[test]
fn the_guard_forgets_that_a_member_was_new_behind_what_brought_it_up() {
    let (mut trio, leader, _, late) = Trio::led();
    trio.propose(leader, 5);
    anew(&mut trio, late);
    let mut told = Vec::new();
    let mut queue = std::collections::VecDeque::new();
    for _ in 0..6 {
        trio.now = trio.now.after(TICK);
        for at in [leader, late] {
            queue.push_back((at, Input::Tick));
        }
        while let Some((at, input)) = queue.pop_front() {
            let mut out = Vec::new();
            trio.members[at].step(trio.now, input, &mut out);
            for effect in out {
                match effect {
                    Effect::Append(append) => {
                        if at == late {
                            let entries = append.entries();
                            told.extend(entries.last().map(|entry| entry.position.index.get()));
                        }
                        queue.push_back((at, Input::Durable(append.synced())));
                    }
                    Effect::BroughtUp => told.push(0),
                    Effect::Apply(batch) => {
                        let last = batch.last().unwrap().entry.position.index;
                        queue.push_back((at, Input::Applied(last)));
                    }
                    Effect::Send(message) => {
                        let to = usize::try_from(message.to().get()).unwrap() - 1;
                        let known = to == leader || to == late;
                        queue.extend(known.then_some((to, Input::Message(message))));
                    }
                    _ => {}
                }
            }
        }
    }
    assert_eq!(told.last(), Some(&0), "{told:?}");
    assert_eq!(told[told.len() - 2], trio.last(leader).get(), "{told:?}");
}
