//! Leases in corners where a bug would make them stale, and the same with the bug.

use raft::eraftpb::MessageType;

use super::world::{Bug, World};
use crate::Millis;

/// A group with a leader whose lease is fresh, and the two others.
fn led(seed: u64, bug: Option<Bug>) -> (World, usize, usize, usize) {
    let mut world = World::new(3, seed);
    world.bug = bug;
    world.calm();
    assert!(world.until(100_000, |world| world.leased(Millis(150)).is_some()), "nobody leads");
    let leader = world.leased(Millis(0)).unwrap();
    (world, leader, (leader + 1) % 3, (leader + 2) % 3)
}

/// Time stands still while whoever can leads and acknowledges; says whether somebody did.
fn rush(world: &mut World) -> bool {
    let (terms, acknowledged) = (world.terms(), world.acknowledged());
    world.still = true;
    world.until(10_000, |world| world.terms() > terms && world.acknowledged() > acknowledged + 3)
}

/// Answers arrive at a leader that stood still meanwhile, and others have gone on.
fn late_answers(bug: Option<Bug>) {
    for seed in 0..20 {
        let (mut world, leader, one, _) = led(seed, bug);
        let answer = MessageType::MsgHeartbeatResponse;
        assert!(world.until(10_000, |world| world.under_way(one, leader, answer)));
        world.stop(leader);
        let (terms, acknowledged) = (world.terms(), world.acknowledged());
        let moved_on =
            |world: &World| world.terms() > terms && world.acknowledged() > acknowledged + 3;
        assert!(world.until(100_000, moved_on), "nobody else leads");
        world.still = true;
        world.wake(leader);
        world.arrive(leader, answer);
    }
}

/// A leader hands over, and the next one leads before the lease would end.
fn handed_over(bug: Option<Bug>) {
    for seed in 0..20 {
        let (mut world, leader, ..) = led(seed, bug);
        world.still = true;
        assert!(world.until(10_000, |world| world.ready(leader)));
        world.hand_over(leader);
        world.deafen(leader);
        assert!(rush(&mut world), "nobody else leads");
    }
}

/// One member would elect another, against the lease of the leader that nobody else hears. It alone has confirmed the
/// lease, and is killed and starts again.
fn restarted(bug: Option<Bug>) {
    for seed in 0..20 {
        let (mut world, leader, voter, candidate) = led(seed, bug);
        world.busy = false;
        assert!(world.until(100_000, World::settled), "they do not agree");
        world.cut_off(leader, candidate);
        let asks = MessageType::MsgRequestPreVote;
        let corner = |world: &World| {
            world.under_way(candidate, voter, asks)
                && world.leased(Millis(100)) == Some(leader)
                && world.ready(candidate)
        };
        assert!(world.until(400_000, corner), "it never asks for votes");
        world.cut_off(leader, voter);
        world.restart(voter);
        world.busy = true;
        assert!(!rush(&mut world), "it leads against a lease");
    }
}

#[test]
fn no_lease_lasts_longer_than_what_it_rests_on() {
    late_answers(None);
    handed_over(None);
    restarted(None);
}

#[test]
#[should_panic = "a stale lease"]
fn a_lease_from_the_answer_on_is_found_out() {
    late_answers(Some(Bug::LeaseFromAnswer));
}

#[test]
#[should_panic = "a stale lease"]
fn a_lease_kept_by_who_hands_over_is_found_out() {
    handed_over(Some(Bug::LeaseKept));
}

#[test]
#[should_panic = "a stale lease"]
fn a_member_that_forgets_its_promise_is_found_out() {
    restarted(Some(Bug::NoSilence));
}

/// How long a group is without a lease, when this is done to it and its leader.
fn gap(seed: u64, done: impl Fn(&mut World, usize)) -> u64 {
    let (mut world, leader, ..) = led(seed, None);
    done(&mut world, leader);
    let from = world.now;
    assert!(world.until(100_000, |world| world.leased(Millis(0)).is_some()), "nobody leads");
    world.now.0 - from.0
}

#[test]
fn another_leads_soon_after_a_leader_is_killed_or_all_are() {
    let mut killed: Vec<_> = (0..100).map(|seed| gap(seed, World::kill)).collect();
    let mut restarted: Vec<_> = (0..100)
        .map(|seed| gap(seed, |world, _| (0..3).for_each(|at| world.restart(at))))
        .collect();
    killed.sort_unstable();
    restarted.sort_unstable();
    // Disks and messages are slow here, so two that ask for votes at once are in each other's way now and then.
    assert!(killed[90] < 1500 && killed[99] < 3000, "{killed:?}");
    assert!(restarted[90] < 1500 && restarted[99] < 3000, "{restarted:?}");
}

#[test]
fn hardly_any_time_passes_when_a_leader_hands_over() {
    let mut gaps: Vec<_> = (0..100)
        .map(|seed| {
            gap(seed, |world, leader| {
                assert!(world.until(10_000, |world| world.ready(leader)));
                world.hand_over(leader);
            })
        })
        .collect();
    gaps.sort_unstable();
    assert!(gaps[90] < 400 && gaps[99] < 900, "{gaps:?}");
}
