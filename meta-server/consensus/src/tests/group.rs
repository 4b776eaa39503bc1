//! Groups of three and five whose messages are lost, repeated and reordered, whose members crash and stand still,
//! and lag so far behind that only a snapshot helps.

use super::world::{Bug, Counts, World};

fn run(members: u64, seed: u64, turns: usize, with: impl Fn(&mut World)) -> World {
    let mut world = World::new(members, seed);
    with(&mut world);
    (0..turns).for_each(|_| world.turn());
    world.heal();
    world.check_kept();
    world
}

#[test]
fn nothing_acknowledged_is_lost_and_no_lease_is_stale() {
    let mut sum = Counts::default();
    for seed in 0..300 {
        sum.add(run(3, seed, 20_000, |_| {}).counts);
    }
    // The runs must have been about something.
    assert!(sum.acknowledged > 4000 && sum.confirmed > 4000, "{sum:?}");
    assert!(sum.confirmed_by_followers > 400, "{sum:?}");
    assert!(sum.leaders > 160 && sum.leased > 40_000, "{sum:?}");
    assert!(sum.installed > 40 && sum.transfers_failed > 40, "{sum:?}");
    assert!(sum.handed_over > 40, "{sum:?}");
}

#[test]
fn what_one_disk_loses_the_group_does_not() {
    let mut sum = Counts::default();
    for seed in 0..100 {
        sum.add(run(3, seed, 20_000, |world| world.losses = true).counts);
    }
    assert!(sum.losses > 20 && sum.wiped > 20 && sum.acknowledged > 1000, "{sum:?}");
    assert!(sum.blocked < 10, "{sum:?}");
}

#[test]
fn five_members_agree_too() {
    let mut sum = Counts::default();
    for seed in 0..12 {
        sum.add(run(5, seed, 30_000, |world| world.losses = true).counts);
    }
    assert!(sum.acknowledged > 100 && sum.installed > 5, "{sum:?}");
}

#[test]
fn a_seed_repeats_to_the_last_effect() {
    let trace = || run(3, 11, 5_000, |world| world.trace = Some(Vec::new())).trace;
    assert_eq!(trace(), trace());
}

/// What the world says of a bug, and for which seed it sees it first.
fn plant(bug: Bug, losses: bool) -> (u64, String) {
    let sees = |seed| {
        let run = || run(3, seed, 20_000, |world| (world.bug, world.losses) = (Some(bug), losses));
        let panic = std::panic::catch_unwind(run).err()?;
        let said = panic.downcast_ref::<String>().cloned();
        Some((seed, said.or(panic.downcast_ref::<&str>().map(ToString::to_string))?))
    };
    (0..300).find_map(sees).expect("the world has seen it")
}

#[test]
fn planted_bugs_are_found_out() {
    let bugs = [
        (Bug::DiskLies, false, ""),
        (Bug::FlushLies, false, "a sound disk"),
        (Bug::SnapshotMisnamed, false, "a state skips entries"),
        (Bug::LossUntold, true, "members differ"),
    ];
    for (bug, losses, words) in bugs {
        let (seed, said) = plant(bug, losses);
        assert!(said.contains(words), "{bug:?} was seen for seed {seed}: {said}");
    }
}
