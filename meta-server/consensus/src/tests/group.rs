//! Groups of three and five whose messages are lost, repeated and reordered, and whose members crash.

use super::world::World;
use crate::{
    Config, Effect, Input, Member, MemberId, Millis, PeerMessage, Restored, SILENCE, TICK,
};

fn run(members: u64, seed: u64, turns: usize) -> World {
    let mut world = World::new(members, seed);
    (0..turns).for_each(|_| world.turn());
    world.heal();
    world.check_kept();
    world
}

#[test]
fn nothing_acknowledged_is_lost_and_no_term_has_two_leaders() {
    let (mut acknowledged, mut confirmed, mut leaders) = (0, 0, 0);
    for seed in 0..40 {
        let world = run(3, seed, 20_000);
        acknowledged += world.acknowledged.len();
        confirmed += world.confirmed;
        leaders += world.leaders();
    }
    // The runs must have been about something.
    assert!(acknowledged > 1000, "{acknowledged}");
    assert!(confirmed > 1000, "{confirmed}");
    assert!(leaders > 80, "{leaders}");
}

#[test]
#[should_panic = "a sound disk"]
fn disks_that_lie_are_found_out() {
    let mut world = World::new(3, 0);
    world.lies = true;
    (0..20_000).for_each(|_| world.turn());
}

#[test]
fn five_members_agree_too() {
    let world = run(5, 7, 40_000);
    assert!(world.acknowledged.len() > 20);
}

#[test]
fn a_seed_repeats_to_the_last_effect() {
    let trace = || run(3, 11, 5_000).trace;
    assert_eq!(trace(), trace());
}

fn member(id: u64, stopped_cleanly: bool) -> Member {
    let voters = (1..=3).map(MemberId).collect();
    let config = Config { member: MemberId(id), voters, seed: 0, stopped_cleanly };
    Member::new(&config, Restored::default(), Millis(0)).unwrap()
}

/// Steps, with a disk that syncs at once; what it says comes out.
fn speak(member: &mut Member, now: Millis, input: Input) -> Vec<PeerMessage> {
    let (mut said, mut inputs) = (Vec::new(), vec![input]);
    while let Some(input) = inputs.pop() {
        let mut effects = Vec::new();
        member.step(now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Append(append) => inputs.push(Input::Durable(append.synced())),
                Effect::Send(message) => said.push(message),
                _ => {}
            }
        }
    }
    said
}

/// The first words of a member that asks for votes, and when.
fn candidacy(member: &mut Member) -> (Millis, PeerMessage) {
    let mut now = Millis(0);
    loop {
        now = now.after(TICK);
        assert!(now < Millis(100_000), "it never asks");
        let said = speak(member, now, Input::Tick);
        if let Some(message) = said.into_iter().find(|message| message.to() == MemberId(2)) {
            return (now, message);
        }
    }
}

#[test]
fn a_member_that_was_killed_is_silent_for_a_while() {
    let (clean, asked) = candidacy(&mut member(1, true));
    let (killed, _) = candidacy(&mut member(1, false));
    // Its patience begins to run with the tick that ends the silence.
    assert_eq!(killed.after(TICK), clean.after(SILENCE));
    let answers = |stopped_cleanly, now| {
        let asked = Input::Message(asked.clone());
        speak(&mut member(2, stopped_cleanly), now, asked).len()
    };
    let late = Millis(SILENCE.0 - 1);
    assert_eq!((answers(true, Millis(1)), answers(false, late)), (1, 0));
    assert_eq!(answers(false, SILENCE), 1);
}
