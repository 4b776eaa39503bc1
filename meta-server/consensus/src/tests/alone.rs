//! A member that is alone: leads at once, commits only what is synced, replays what its state lost.

use bytes::Bytes;

use super::world::{Bug, World};
use crate::{
    Committed, Config, ConfigError, ConfirmId, Durable, Effect, Entry, Index, Input, Leadership,
    Limits, Member, MemberId, Millis, Position, ProposalId, Refusal, Restored, Term, Vote,
};

fn config() -> Config {
    let member = MemberId(1);
    Config {
        member,
        voters: vec![member],
        seed: 0,
        is_new: true,
        must_reach: Index::NONE,
        limits: Limits::default(),
    }
}

fn step(member: &mut Member, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    member.step(Millis(0), input, &mut out);
    out
}

fn synced(effects: &mut Vec<Effect>) -> Durable {
    let append = effects.iter().position(|effect| matches!(effect, Effect::Append(_))).unwrap();
    let Effect::Append(append) = effects.remove(append) else { unreachable!("it was looked for") };
    append.synced()
}

fn applied(effects: &[Effect]) -> Vec<Committed> {
    let batches = effects.iter().filter_map(|effect| match effect {
        Effect::Apply(batch) => Some(batch.clone()),
        _ => None,
    });
    batches.flatten().collect()
}

/// A member that leads, with its first entry applied.
fn leader(restored: Restored) -> Member {
    let mut member = Member::new(&config(), restored, Millis(0)).unwrap();
    let durable = synced(&mut step(&mut member, Input::Tick));
    let batch = applied(&step(&mut member, Input::Durable(durable)));
    let last = batch.last().unwrap().entry.position.index;
    let out = step(&mut member, Input::Applied(last));
    assert!(matches!(out[..], [Effect::Leadership(Leadership::Leader { .. })]), "{out:?}");
    member
}

fn propose(member: &mut Member, id: u64) -> Vec<Effect> {
    let data = Bytes::from(format!("order {id}"));
    step(member, Input::Propose { id: ProposalId(id), data })
}

#[test]
fn it_commits_what_is_synced_and_nothing_sooner() {
    let mut member = leader(Restored::default());
    let mut first = propose(&mut member, 1);
    let mut second = propose(&mut member, 2);
    assert!(applied(&first).is_empty() && applied(&second).is_empty());
    assert_eq!(member.unsynced(), 2);
    let (first, second) = (synced(&mut first), synced(&mut second));
    let batch = applied(&step(&mut member, Input::Durable(first)));
    assert_eq!(batch.len(), 1);
    assert_eq!(batch[0].proposal, Some(ProposalId(1)));
    let batch = applied(&step(&mut member, Input::Durable(second)));
    assert_eq!(batch[0].proposal, Some(ProposalId(2)));
    assert_eq!(member.unsynced(), 0);
}

#[test]
fn a_later_token_stands_for_the_earlier_ones() {
    let mut member = leader(Restored::default());
    let _first = synced(&mut propose(&mut member, 1));
    let second = synced(&mut propose(&mut member, 2));
    assert_eq!(applied(&step(&mut member, Input::Durable(second))).len(), 2);
}

#[test]
fn before_it_leads_it_refuses() {
    let mut member = Member::new(&config(), Restored::default(), Millis(0)).unwrap();
    let durable = synced(&mut step(&mut member, Input::Tick));
    let out = propose(&mut member, 1);
    let why = Refusal::NotLeader { leader: None };
    assert!(matches!(out[..], [Effect::Refused { why: w, .. }] if w == why), "{out:?}");
    // Elected, but its state has not taken in what was committed before.
    let _ = step(&mut member, Input::Durable(durable));
    let out = step(&mut member, Input::Confirm(ConfirmId(1)));
    assert!(matches!(out[..], [Effect::Unconfirmed { .. }]), "{out:?}");
}

#[test]
fn a_question_is_confirmed_at_what_is_committed() {
    let mut member = leader(Restored::default());
    let durable = synced(&mut propose(&mut member, 1));
    let unsynced = step(&mut member, Input::Confirm(ConfirmId(1)));
    let _ = step(&mut member, Input::Durable(durable));
    let committed = step(&mut member, Input::Confirm(ConfirmId(2)));
    let index = |effects: &[Effect]| match effects {
        [Effect::Confirmed { index, .. }] => *index,
        other => panic!("{other:?}"),
    };
    assert_eq!((index(&unsynced), index(&committed)), (Index(1), Index(2)));
}

fn entries(terms: &[u64]) -> Vec<Entry> {
    let entry = |(index, &term)| Entry {
        position: Position { index: Index(index), term: Term(term) },
        data: Bytes::from(format!("at {index}")),
    };
    (1..).zip(terms).map(entry).collect()
}

#[test]
fn a_restart_applies_again_what_the_state_had_not_kept() {
    let vote = Vote { term: Term(3), member: MemberId(1) };
    let mut kept = entries(&[1, 1, 2, 3]);
    let cut = kept.remove(0).position;
    let restored = Restored { vote, cut, entries: kept, applied: Index(2) };
    let mut member = Member::new(&config(), restored, Millis(0)).unwrap();
    let durable = synced(&mut step(&mut member, Input::Tick));
    let batch = applied(&step(&mut member, Input::Durable(durable)));
    let places: Vec<_> = batch.iter().map(|one| one.entry.position.index.get()).collect();
    assert_eq!(places, [3, 4, 5]);
    assert_eq!(batch[2].entry.position.term, Term(4), "a new term, above the vote");
}

#[test]
fn it_goes_on_leading_however_time_passes() {
    let mut member = leader(Restored::default());
    let mut out = Vec::new();
    for tick in 1..1000_u64 {
        // A pause now and then: it counts as one tick.
        let now = Millis(tick * 100 + tick / 100 * 60_000);
        member.step(now, Input::Tick, &mut out);
    }
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(propose(&mut member, 1).len(), 1);
}

#[test]
fn the_log_is_cut_where_the_state_is_durable_and_told() {
    let mut member = leader(Restored::default());
    let durable = synced(&mut propose(&mut member, 1));
    let _ = step(&mut member, Input::Durable(durable));
    assert!(member.log_bytes() > 0);
    let out = step(&mut member, Input::StateDurable(Index(2)));
    assert!(matches!(out[..], [Effect::Cut(Position { index: Index(1), .. })]), "{out:?}");
    let _ = step(&mut member, Input::Applied(Index(2)));
    let out = step(&mut member, Input::StateDurable(Index(2)));
    assert!(matches!(out[..], [Effect::Cut(Position { index: Index(2), .. })]), "{out:?}");
    assert_eq!(member.log_bytes(), 0);
    assert!(step(&mut member, Input::StateDurable(Index(2))).is_empty());
    assert!(
        !applied(&{
            let durable = synced(&mut propose(&mut member, 2));
            step(&mut member, Input::Durable(durable))
        })
        .is_empty()
    );
}

#[test]
fn a_state_apart_from_its_log_and_odd_voters_are_refused() {
    let new = |config: &Config, restored| Member::new(config, restored, Millis(0)).err();
    let beyond = Restored { applied: Index(3), entries: entries(&[1, 1]), ..Restored::default() };
    assert!(matches!(new(&config(), beyond), Some(ConfigError::Apart { .. })));
    let cut = Position { index: Index(5), term: Term(1) };
    let behind = Restored { applied: Index(4), cut, ..Restored::default() };
    assert!(matches!(new(&config(), behind), Some(ConfigError::Apart { .. })));
    for voters in [vec![], vec![2], vec![1, 1], vec![0, 1]] {
        let voters = voters.into_iter().map(MemberId).collect();
        let odd = Config { voters, ..config() };
        assert!(matches!(new(&odd, Restored::default()), Some(ConfigError::Voters { .. })));
    }
}

#[test]
fn crashes_lose_nothing_acknowledged() {
    let mut terms = 0;
    for seed in 0..50 {
        let mut world = World::new(1, seed);
        (0..4000).for_each(|_| world.turn());
        world.heal();
        world.check_kept();
        assert!(world.counts.acknowledged > 20, "seed {seed}: {:?}", world.counts);
        terms += world.counts.leaders;
    }
    assert!(terms > 100, "{terms}: it hardly ever crashed");
}

#[test]
#[should_panic = "members differ"]
fn a_disk_that_lies_is_found_out() {
    let mut world = World::new(1, 0);
    world.bug = Some(Bug::DiskLies);
    (0..40_000).for_each(|_| world.turn());
}
