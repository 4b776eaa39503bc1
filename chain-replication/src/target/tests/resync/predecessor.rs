//! What the predecessor sends and what it waits for: removals, versions that cannot be stored, chunks that it cannot
//! read.

use super::*;
use crate::target::limits::{AGAIN_MS, UNREADABLE_MS};

#[test]
fn a_removal_needs_no_transfer_of_what_was_before() {
    let mut last = Stand::before_syncing(0..1);
    let page = last.asked_for_page().expect("a page is asked for");
    let asked = last.change(chunk(0), tag(1), ChunkChange::Remove);
    assert!(last.reads.is_empty());
    let state = ComparePageReply { chunks: vec![earlier(0)], end: true };
    last.step(Input::Answer { call: page, answer: Ok(Answer::Page(state)) });
    assert!(last.sends.is_empty(), "the tombstone is not committed yet");
    last.stored();
    assert!(last.is_updated(asked));
    let tombstone = last.installed(0, Ok(()));
    assert!(tombstone.summary.removed && tombstone.summary.version == ChunkVersion(2));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn the_sync_goes_on_beside_a_version_that_cannot_be_stored() {
    let mut last = Stand::new(1, &[Serving, Serving, Serving]);
    let asked = last.forwarded(1, 1, 5); // handed on: the tail may have it
    last.follow(&[Serving, Serving, Syncing]);
    let again = last.forwarded(1, 1, 6);
    last.sends.clear();
    last.not_stored(StoreError::NoSpace);
    assert!(last.waits(again) && !last.waits(asked));
    last.page(vec![earlier(3)]);
    let removal = last.installed(3, Ok(()));
    assert!(removal.summary.removed, "what makes room is sent");
    assert!(!last.tells_that_all_is_sent(), "the version is not");
    last.later(AGAIN_MS);
    last.stored();
    assert!(matches!(last.answer(again), Ok(Reply::Replica(Answer::Forward(_)))));
    last.read_whole(0);
    last.installed(0, Ok(()));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn what_cannot_be_read_is_named_and_passed_over_and_nobody_takes_it_for_absent() {
    let mut last = Stand::before_syncing(0..2);
    last.page(Vec::new());
    last.unreadable_now();
    assert!(last.unreadable == [chunk(0)] && last.reads.len() == 1, "it is not tried at once");
    assert_eq!(last.hindrance(), Some(Hindrance::Unreadable(chunk(0))));
    last.read_whole(1);
    last.installed(1, Ok(()));
    last.later(AGAIN_MS);
    assert!(last.reads.is_empty() && !last.tells_that_all_is_sent());
    last.later(UNREADABLE_MS);
    last.unreadable_now();
    assert!(last.unreadable.len() == 1 && !last.tells_that_all_is_sent());
    // Writes to it need no transfer, and one of the whole chunk ends it.
    let asked = last.change(chunk(0), tag(1), write());
    last.stored();
    assert!(last.is_updated(asked));
    last.later(UNREADABLE_MS);
    last.read_whole(0);
    last.installed(0, Ok(()));
    assert!(last.tells_that_all_is_sent() && last.hindrance().is_none());
}

#[test]
fn a_version_that_is_held_behind_a_chunk_that_cannot_be_read_goes_on() {
    let mut last = Stand::before_syncing(0..1);
    last.page(Vec::new());
    let asked = last.change(chunk(0), tag(1), write());
    last.stored();
    assert!(last.waits(asked));
    last.unreadable_now();
    assert!(last.is_updated(asked) && !last.tells_that_all_is_sent());
}
