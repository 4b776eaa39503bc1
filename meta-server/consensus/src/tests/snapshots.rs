//! Where a log is cut, and what one that lags behind that gets.

use emberfs_wire::group::{Index, MemberId, MessageKind, Position, SnapshotId, SnapshotName};

use super::trio::{Trio, message, say, ticks};
use crate::Transfer::{Delivered, NotSent, Refused};
use crate::start::UNTAKEN_MAX;
use crate::{Effect, Input, PeerMessage, Transfer};

/// As many entries stay, of those that are proposed here.
const KEPT: u64 = 11;

fn wishes(effects: &[(usize, Effect)]) -> usize {
    effects.iter().filter(|(_, effect)| matches!(effect, Effect::MakeSnapshot)).count()
}

fn sent(effects: &[(usize, Effect)]) -> Vec<&PeerMessage> {
    let sent = effects.iter().filter_map(|(_, effect)| match effect {
        Effect::Send(message) => Some(message),
        _ => None,
    });
    sent.collect()
}

/// Time passes until those that are not heard do not count.
fn forgotten(trio: &mut Trio) {
    for _ in 0..20 {
        trio.tick();
    }
}

#[test]
fn the_newest_entries_and_what_a_follower_lacks_stay() {
    let (mut trio, leader, behind, _) = Trio::led();
    trio.propose(leader, 20);
    let all = trio.last(leader);
    trio.step(leader, Input::StateDurable(all));
    assert_eq!(trio.cut(leader), Index(all.get() - KEPT));
    // It lives, and gets no entries.
    trio.deaf.insert(behind);
    trio.propose(leader, 5);
    trio.tick();
    let standing = trio.members[leader].standing();
    assert_eq!(standing.members[behind].matched, Some(all));
    trio.mute.insert(behind);
    trio.propose(leader, 7);
    let last = trio.last(leader);
    trio.step(leader, Input::StateDurable(last));
    assert_eq!(trio.cut(leader), all, "what it lacks stays as long as it was heard lately");
    forgotten(&mut trio);
    assert_eq!(trio.members[leader].standing().members[behind].heard, Some(false));
    trio.step(leader, Input::StateDurable(last));
    assert_eq!(trio.cut(leader), Index(last.get() - KEPT));
}

#[test]
fn one_that_lags_behind_the_log_gets_a_snapshot() {
    let (mut trio, leader, behind, _) = Trio::led();
    trio.deaf.insert(behind);
    trio.mute.insert(behind);
    forgotten(&mut trio);
    trio.propose(leader, 30);
    let last = trio.last(leader);
    trio.step(leader, Input::StateDurable(last));
    assert!(trio.cut(leader) > Index(10));
    trio.deaf.clear();
    trio.mute.clear();
    assert_eq!(wishes(&ticks(&mut trio)), 1, "one wish is enough");
    // Nothing behind its place is cut while it is made and sent.
    trio.propose(leader, 20);
    let further = trio.last(leader);
    trio.step(leader, Input::StateDurable(further));
    assert_eq!(trio.cut(leader), last);
    let position = Position { index: last, term: trio.members[leader].standing().term };
    let name = SnapshotName { position, id: SnapshotId(7) };
    let mut effects = trio.step(leader, Input::SnapshotMade(name));
    effects.extend(ticks(&mut trio));
    let [message] = sent(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((message.snapshot(), message.to()), (Some(name), MemberId(behind as u64 + 1)));
    let message = message.clone();
    // The transfer fails: again.
    let to = message.to();
    let mut effects = trio.step(leader, Input::SnapshotSent { to, became: NotSent });
    effects.extend(ticks(&mut trio));
    assert_eq!(sent(&effects).len(), 1, "{effects:?}");
    trio.step(behind, Input::Message(message.clone()));
    trio.step(leader, Input::SnapshotSent { to, became: Delivered });
    assert_eq!(trio.cut(behind), last);
    ticks(&mut trio);
    assert_eq!(trio.members[behind].standing().applied, further);
    // It comes once more, late.
    let effects = trio.step(behind, Input::Message(message));
    assert!(effects.is_empty(), "{effects:?}");
    trio.step(leader, Input::SnapshotGone);
    trio.step(leader, Input::StateDurable(further));
    assert_eq!(trio.cut(leader), Index(further.get() - KEPT));
}

#[test]
fn while_a_snapshot_is_taken_over_nobody_makes_it_campaign() {
    let (mut trio, leader, behind, _) = Trio::led();
    trio.stuck = Some(behind);
    let term = trio.members[leader].standing().term;
    let position = Position { index: Index(50), term };
    let mut parts = message(MessageKind::Snapshot, leader, behind, term);
    parts.snapshot = Some(SnapshotName { position, id: SnapshotId(1) });
    let effects = trio.step(behind, say(parts.clone()));
    let installs = |effects: &[(usize, Effect)]| {
        let one = |effect: &Effect| matches!(effect, Effect::Append(a) if a.snapshot().is_some());
        effects.iter().filter(|(_, effect)| one(effect)).count()
    };
    assert_eq!(installs(&effects), 1, "{effects:?}");
    let next = Position { index: Index(60), term };
    parts.snapshot = Some(SnapshotName { position: next, id: SnapshotId(2) });
    assert_eq!(installs(&trio.step(behind, say(parts))), 0, "one after the other");
    trio.step(behind, say(message(MessageKind::CampaignNow, leader, behind, term)));
    trio.deaf.insert(behind);
    for _ in 0..100 {
        trio.tick();
    }
    assert_eq!(trio.members[behind].standing().term, term, "it never campaigned");
    // The state may be there before the log is.
    trio.step(behind, Input::Applied(position.index));
    assert_eq!(trio.members[behind].standing().applied, position.index);
}

#[test]
fn a_snapshot_that_ends_before_the_log_is_of_no_use() {
    let (mut trio, leader, behind, _) = Trio::led();
    trio.deaf.insert(behind);
    trio.mute.insert(behind);
    let position = Position { index: Index(1), term: trio.members[leader].standing().term };
    let old = SnapshotName { position, id: SnapshotId(1) };
    // Longer than half of what it may be: nothing stays for a snapshot.
    trio.propose(leader, 60);
    let last = trio.last(leader);
    trio.step(leader, Input::SnapshotMade(old));
    trio.step(leader, Input::StateDurable(last));
    assert_eq!(trio.cut(leader), Index(last.get() - KEPT));
    trio.deaf.clear();
    trio.mute.clear();
    let effects = ticks(&mut trio);
    assert_eq!((wishes(&effects), sent(&effects).len()), (1, 0), "{effects:?}");
}

#[test]
fn one_snapshot_at_a_time_goes_to_a_member() {
    let (mut trio, leader, behind, other) = Trio::led();
    trio.deaf.insert(behind);
    trio.mute.insert(behind);
    forgotten(&mut trio);
    trio.propose(leader, 30);
    for at in [leader, other] {
        let last = trio.last(at);
        trio.step(at, Input::StateDurable(last));
        let position = Position { index: last, term: trio.members[at].standing().term };
        let name = SnapshotName { position, id: SnapshotId(at as u64) };
        trio.step(at, Input::SnapshotMade(name));
    }
    trio.deaf.clear();
    trio.mute.clear();
    let first = ticks(&mut trio);
    assert_eq!(sent(&first).len(), 1, "{first:?}");
    // It leads again, in another term, while that snapshot is still under way.
    trio.step(leader, Input::HandOver);
    let next = trio.elect();
    assert_ne!(next, leader);
    trio.step(next, Input::HandOver);
    for _ in 0..20 {
        if sent(&trio.tick()).iter().any(|message| message.from() == MemberId(leader as u64 + 1)) {
            panic!("a second one is under way");
        }
    }
}

/// Many proposals, of which all states that are heard become durable meanwhile; gives where the log ends.
fn busy(trio: &mut Trio, leader: usize, other: usize, count: u64) -> Index {
    for _ in 0..count / 10 {
        trio.propose(leader, 10);
        for at in [leader, other] {
            let applied = trio.members[at].standing().applied;
            trio.step(at, Input::StateDurable(applied));
        }
    }
    trio.last(leader)
}

/// A leader whose log begins behind the end of another's, and which makes a snapshot for that; up to where.
fn wished() -> (Trio, usize, usize, usize, Position) {
    let (mut trio, leader, behind, other) = Trio::led();
    trio.deaf.insert(behind);
    trio.mute.insert(behind);
    forgotten(&mut trio);
    let index = busy(&mut trio, leader, other, 30);
    trio.deaf.clear();
    trio.mute.clear();
    assert_eq!(wishes(&ticks(&mut trio)), 1);
    let position = Position { index, term: trio.members[leader].standing().term };
    (trio, leader, behind, other, position)
}

/// Whoever lags while the group is busy must not get one snapshot after the other.
#[test]
fn what_comes_behind_a_snapshot_stays_for_its_receiver_up_to_a_bound() {
    let (mut trio, leader, behind, other, position) = wished();
    let at = position.index;
    // More than half of what the log may hold otherwise, while it is made.
    assert_eq!(busy(&mut trio, leader, other, 50), Index(at.get() + 50));
    assert_eq!(trio.cut(leader), at);
    let name = SnapshotName { position, id: SnapshotId(7) };
    let mut effects = trio.step(leader, Input::SnapshotMade(name));
    effects.extend(ticks(&mut trio));
    let [message] = sent(&effects)[..] else { panic!("{effects:?}") };
    let message = message.clone();
    // More than all that, while it is sent.
    let last = busy(&mut trio, leader, other, 70);
    assert_eq!((trio.cut(leader), last), (at, Index(at.get() + 120)));
    let to = message.to();
    trio.step(behind, Input::Message(message));
    trio.step(leader, Input::SnapshotSent { to, became: Delivered });
    let effects = ticks(&mut trio);
    assert_eq!((wishes(&effects), sent(&effects).len()), (0, 0), "{effects:?}");
    assert_eq!(trio.members[behind].standing().applied, last);
    // It is a member as any other then: nothing more is kept, though nothing comes that says what is durable.
    trio.step(leader, Input::SnapshotGone);
    trio.tick();
    assert_eq!(trio.cut(leader), Index(last.get() - KEPT));
}

#[test]
fn what_stays_for_the_receiver_of_a_snapshot_is_bounded() {
    let (mut trio, leader, behind, other, position) = wished();
    let name = SnapshotName { position, id: SnapshotId(7) };
    let mut effects = trio.step(leader, Input::SnapshotMade(name));
    effects.extend(ticks(&mut trio));
    let [message] = sent(&effects)[..] else { panic!("{effects:?}") };
    let message = message.clone();
    let mut most = 0;
    for _ in 0..50 {
        let last = busy(&mut trio, leader, other, 10);
        most = most.max(last.get() - trio.cut(leader).get());
    }
    let bound = 24_000 / 184;
    assert!((bound - 10..bound + 10).contains(&most), "{most} entries");
    let last = trio.last(leader);
    assert_eq!(last, Index(position.index.get() + 500), "the group goes on");
    // What arrives at last is of no use, and another is needed.
    let to = message.to();
    trio.step(behind, Input::Message(message));
    let mut effects = trio.step(leader, Input::SnapshotSent { to, became: Delivered });
    effects.extend(ticks(&mut trio));
    assert_eq!(wishes(&effects), 1, "{effects:?}");
}

/// Between the two no message comes for it, and the state becomes durable.
#[test]
fn what_comes_behind_a_snapshot_stays_also_after_it_is_made_and_before_it_is_sent() {
    let (mut trio, leader, _, other, position) = wished();
    let last = busy(&mut trio, leader, other, 50);
    trio.step(leader, Input::SnapshotMade(SnapshotName { position, id: SnapshotId(7) }));
    trio.step(leader, Input::StateDurable(last));
    assert_eq!(trio.cut(leader), position.index);
    assert_eq!(sent(&ticks(&mut trio)).len(), 1);
}

/// It gets so many in a row, of which this becomes.
fn offered(trio: &mut Trio, leader: usize, to: MemberId, count: u32, became: Transfer) {
    for number in 0..count {
        assert!(!trio.members[leader].is_given_up(to), "after {number}");
        trio.step(leader, Input::SnapshotSent { to, became });
        let effects = ticks(trio);
        assert_eq!(sent(&effects).len(), 1, "{effects:?}");
    }
}

/// A leader from which a snapshot is on its way to a member that refused as many as make it be given up.
fn given_up() -> (Trio, usize, usize, usize, SnapshotName) {
    let (mut trio, leader, behind, other, position) = wished();
    let to = MemberId(behind as u64 + 1);
    let name = SnapshotName { position, id: SnapshotId(7) };
    trio.step(leader, Input::SnapshotMade(name));
    ticks(&mut trio);
    offered(&mut trio, leader, to, UNTAKEN_MAX, Refused);
    assert!(trio.members[leader].is_given_up(to) && trio.members[leader].is_of_use(name));
    (trio, leader, behind, other, name)
}

/// As when its disk is full.
#[test]
fn who_refuses_all_snapshots_is_given_up_until_it_takes_one() {
    let (mut trio, leader, behind, other, name) = given_up();
    let (to, position) = (MemberId(behind as u64 + 1), name.position);
    let last = busy(&mut trio, leader, other, 60);
    let kept = last.get() - trio.cut(leader).get();
    assert!(kept < 6000 / 184 + 12, "{kept} entries are kept for it");
    assert!(!trio.members[leader].is_of_use(name), "what comes behind it is gone");
    let mut effects = trio.step(leader, Input::SnapshotSent { to, became: Refused });
    effects.extend(ticks(&mut trio));
    assert_eq!(wishes(&effects), 1, "it is offered another: {effects:?}");
    let position = Position { index: last, ..position };
    let name = SnapshotName { position, id: SnapshotId(8) };
    let mut effects = trio.step(leader, Input::SnapshotMade(name));
    effects.extend(ticks(&mut trio));
    let [message] = sent(&effects)[..] else { panic!("{effects:?}") };
    trio.step(behind, Input::Message(message.clone()));
    trio.step(leader, Input::SnapshotSent { to, became: Delivered });
    ticks(&mut trio);
    assert_eq!(trio.members[behind].standing().applied, last);
    assert!(!trio.members[leader].is_given_up(to));
}

/// Nothing but what it says itself tells of its disk.
#[test]
fn what_does_not_get_to_its_receiver_neither_counts_nor_ends_the_count() {
    let (mut trio, leader, behind, _, position) = wished();
    let to = MemberId(behind as u64 + 1);
    trio.step(leader, Input::SnapshotMade(SnapshotName { position, id: SnapshotId(7) }));
    ticks(&mut trio);
    offered(&mut trio, leader, to, 3 * UNTAKEN_MAX, NotSent);
    offered(&mut trio, leader, to, UNTAKEN_MAX - 1, Refused);
    offered(&mut trio, leader, to, 1, NotSent);
    offered(&mut trio, leader, to, 1, Refused);
    assert!(trio.members[leader].is_given_up(to));
}

/// Its disk is mended, and the group writes on: the log is cut behind each snapshot before that has arrived.
#[test]
fn who_was_given_up_comes_back_under_steady_writes() {
    let (mut trio, leader, behind, other, name) = given_up();
    let to = MemberId(behind as u64 + 1);
    let index = busy(&mut trio, leader, other, 60);
    assert!(!trio.members[leader].is_of_use(name), "it is withdrawn");
    let mut effects = trio.step(leader, Input::SnapshotSent { to, became: NotSent });
    assert!(!trio.members[leader].is_given_up(to));
    effects.extend(ticks(&mut trio));
    assert_eq!(wishes(&effects), 1, "{effects:?}");
    let position = Position { index, ..name.position };
    let name = SnapshotName { position, id: SnapshotId(8) };
    let mut effects = trio.step(leader, Input::SnapshotMade(name));
    effects.extend(ticks(&mut trio));
    let [message] = sent(&effects)[..] else { panic!("{effects:?}") };
    let message = message.clone();
    let last = busy(&mut trio, leader, other, 60);
    assert!(trio.members[leader].is_of_use(name), "what comes behind it stays");
    trio.step(behind, Input::Message(message));
    trio.step(leader, Input::SnapshotSent { to, became: Delivered });
    ticks(&mut trio);
    assert_eq!(trio.members[behind].standing().applied, last);
}

#[test]
fn a_snapshot_is_of_use_as_long_as_its_sender_leads() {
    let (mut trio, leader, _, _, position) = wished();
    let name = SnapshotName { position, id: SnapshotId(7) };
    trio.step(leader, Input::SnapshotMade(name));
    ticks(&mut trio);
    assert!(trio.members[leader].is_of_use(name));
    trio.deaf.insert(leader);
    trio.mute.insert(leader);
    for _ in 0..100 {
        trio.tick();
    }
    assert!(!trio.members[leader].is_of_use(name));
}
