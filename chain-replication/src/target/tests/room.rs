//! Versions for which there is no room, at each place of the chain.

use super::*;
use crate::target::limits::AGAIN_MS;

const CHAIN: &[PublicState] = &[Serving, Serving, Serving];

fn is_retry(answer: &Result<Reply, WireError>) -> bool {
    matches!(answer, Err(WireError::Retry { .. }))
}

#[test]
fn a_full_tail_refuses_and_forgets() {
    let mut tail = Stand::new(2, CHAIN);
    let asked = tail.forwarded(1, 1, 5);
    tail.not_stored(StoreError::NoSpace);
    assert!(tail.is_refused(asked, FsError::NoSpace) && tail.is_idle());
    let other = tail.forwarded(1, 2, 6);
    tail.stored();
    assert!(matches!(tail.answer(other), Ok(Reply::Replica(Answer::Forward(_)))));
}

#[test]
fn the_middle_takes_back_what_the_tail_refused_and_makes_that_durable_first() {
    let mut middle = Stand::new(1, CHAIN);
    let asked = middle.forwarded(1, 1, 5);
    middle.stored();
    middle.answered(Err(FULL));
    assert!(
        middle.shelf.chunks.is_empty() && middle.waits(asked),
        "the discard is not durable yet"
    );
    middle.flushed();
    assert!(middle.is_refused(asked, FsError::NoSpace) && middle.is_idle());
    let again = middle.forwarded(1, 2, 6);
    assert!(middle.waits(again) && middle.puts.len() == 1, "the number is free for other bytes");
}

#[test]
fn a_refusal_that_overtakes_the_put_waits_for_it() {
    let mut middle = Stand::new(1, CHAIN);
    let asked = middle.forwarded(1, 1, 5);
    middle.answered(Err(FULL));
    assert!(middle.waits(asked) && middle.discards == 0);
    middle.stored();
    middle.flushed();
    assert!(middle.is_refused(asked, FsError::NoSpace) && middle.shelf.chunks.is_empty());

    let asked = middle.forwarded(1, 2, 6);
    middle.answered(Err(FULL));
    middle.not_stored(StoreError::NoSpace);
    assert!(middle.is_refused(asked, FsError::NoSpace) && middle.discards == 1 && middle.is_idle());
}

#[test]
fn the_head_refuses_its_client_for_good_and_goes_on_with_what_waits() {
    let mut head = Stand::new(0, CHAIN);
    let [first, second] = [1, 2].map(|sequence| head.write(sequence));
    head.stored();
    head.answered(Err(FULL));
    let [late, joins] = [2, 1].map(|sequence| head.write(sequence));
    head.flushed();
    assert!(head.is_refused(first, FsError::NoSpace) && head.is_refused(joins, FsError::NoSpace));
    head.stored();
    head.answered(Ok(()));
    assert!(head.is_updated(second) && head.is_updated(late));
    let copy = head.write(1);
    assert!(head.is_refused(copy, FsError::NoSpace), "a late copy changes nothing");
    head.follow(CHAIN);
    let again = head.write(1);
    assert!(head.waits(again), "copies from before go by the chain's old version");
}

#[test]
fn what_was_handed_on_is_never_refused_for_good() {
    let mut middle = Stand::new(1, CHAIN);
    let asked = middle.forwarded(1, 1, 5);
    middle.not_stored(StoreError::NoSpace);
    assert!(middle.waits(asked), "the tail may have it");
    middle.answered(Ok(()));
    middle.later(AGAIN_MS);
    middle.stored();
    assert!(matches!(middle.answer(asked), Ok(Reply::Replica(Answer::Forward(_)))));

    let mut head = Stand::new(0, CHAIN);
    let asked = head.write(1);
    head.not_stored(StoreError::NoSpace);
    assert!(matches!(head.answer(asked), Err(WireError::Wait { .. })));
    head.answered(Err(FULL));
    let again = head.write(1);
    assert!(head.is_refused(again, FsError::NoSpace), "nobody behind has it after all");
}

#[test]
fn a_replica_that_may_lack_room_stores_first() {
    let mut head = Stand::new(0, CHAIN);
    head.shelf.tight = true;
    let asked = head.write(1);
    assert!(head.sends.is_empty());
    head.not_stored(StoreError::NoSpace);
    assert!(head.is_refused(asked, FsError::NoSpace) && head.is_idle());
    let asked = head.write(2);
    head.stored();
    head.answered(Ok(()));
    assert!(head.is_updated(asked));
    let removed = head.change(CHUNK, tag(3), ChunkChange::Remove);
    assert_eq!(head.sends.len(), 1, "what takes no room is handed on at once");
    head.stored();
    head.answered(Ok(()));
    assert!(head.is_updated(removed));
}

#[test]
fn a_new_last_one_that_stored_first_may_still_refuse() {
    let mut middle = Stand::new(1, CHAIN);
    middle.shelf.tight = true;
    middle.forwarded(1, 1, 5);
    middle.follow(&[Serving, Serving, PublicState::Offline]);
    let asked = middle.forwarded(1, 1, 6);
    middle.not_stored(StoreError::NoSpace);
    assert!(middle.is_refused(asked, FsError::NoSpace) && middle.is_idle());

    let mut middle = Stand::new(1, CHAIN);
    middle.forwarded(1, 1, 5);
    middle.follow(&[Serving, Serving, PublicState::Offline]);
    let asked = middle.forwarded(1, 1, 6);
    middle.not_stored(StoreError::NoSpace);
    assert!(middle.waits(asked), "the last one before may have shown it to readers");
}

#[test]
fn messages_from_before_a_refusal_begin_nothing() {
    let mut tail = Stand::new(2, CHAIN);
    tail.forwarded(1, 1, 7);
    tail.not_stored(StoreError::NoSpace);
    let overtaken = tail.forwarded(1, 1, 6);
    assert!(is_retry(&tail.answer(overtaken)) && tail.puts.is_empty());
    tail.follow(CHAIN);
    tail.forwarded(1, 1, 3);
    assert_eq!(tail.puts.len(), 1, "messages of another version of the chain are counted anew");
}

#[test]
fn an_answer_that_never_came_does_not_hold_a_refusal_up() {
    let mut middle = Stand::new(1, CHAIN);
    let asked = middle.forwarded(1, 1, 5);
    middle.stored();
    let (lost, ..) = middle.sends.remove(0);
    middle.later(super::super::limits::CALL_MS_MAX);
    middle.later(AGAIN_MS);
    let Ask::Forward { update, .. } = &middle.sends[0].2 else { panic!("it is sent again") };
    assert!(
        update.attempt > Some(Sequence(lost.0)),
        "so the first fails where the second was refused"
    );
    middle.answered(Err(FULL));
    middle.flushed();
    assert!(middle.is_refused(asked, FsError::NoSpace));
}

#[test]
fn of_several_changes_only_those_that_do_not_fit_are_refused() {
    let mut head = Stand::new(0, &[Serving]);
    let first = head.write(1);
    let cut = head.change(CHUNK, tag(2), ChunkChange::Cut(ChunkOffset(3)));
    let removal = head.change(CHUNK, tag(3), ChunkChange::Remove);
    let write = head.write(4);
    head.stored();
    assert!(head.is_updated(first) && head.puts[0].2.changes.len() == 3);
    head.not_stored(StoreError::NoSpace);
    assert!([cut, removal, write].iter().all(|id| head.waits(*id)));
    head.not_stored(StoreError::NoSpace);
    assert!(head.is_refused(cut, FsError::NoSpace));
    head.stored();
    assert!(head.is_updated(removal));
    head.stored();
    assert!(head.is_updated(write) && head.is_idle());
    let left = head.change(CHUNK, tag(5), ChunkChange::Remove);
    head.stored();
    assert!(head.is_updated(left));
}

#[test]
fn a_change_of_the_chain_leaves_a_version_that_is_taken_back_dead() {
    let mut middle = Stand::new(1, CHAIN);
    middle.forwarded(1, 1, 5);
    middle.stored();
    middle.answered(Err(FULL));
    middle.follow(&[Serving, Serving, PublicState::Offline]);
    let asked = middle.forwarded(1, 1, 6);
    middle.flushed();
    assert!(middle.is_refused(asked, FsError::NoSpace) && middle.shelf.chunks.is_empty());
}

#[test]
fn what_could_not_be_taken_back_durably_is_tried_again_after_a_pause() {
    let mut middle = Stand::new(1, CHAIN);
    let asked = middle.forwarded(1, 1, 5);
    middle.stored();
    middle.answered(Err(FULL));
    let op = middle.flushes.remove(0);
    middle.step(Input::Stored { op, outcome: Err(StoreError::NoSpace) });
    assert!(middle.flushes.is_empty() && middle.waits(asked), "not at once");
    middle.later(AGAIN_MS);
    middle.flushed();
    assert!(middle.is_refused(asked, FsError::NoSpace) && middle.is_idle());
}
