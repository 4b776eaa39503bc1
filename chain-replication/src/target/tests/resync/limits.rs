//! A resync where its limits are reached, and what it sends while a version goes without the syncing member.

use super::*;
use crate::target::limits::{AGAIN_MS, CALL_MS_MAX, READS_MAX, ROOM_MS, TRANSFERS_MAX};

impl Stand {
    fn remove(&mut self, index: u32, sequence: u64) -> RequestId {
        self.change(chunk(index), tag(sequence), ChunkChange::Remove)
    }

    /// Which chunks were sent, and not answered yet.
    fn sent(&self) -> Vec<ChunkId> {
        let installs = self.sends.iter().filter_map(|(_, _, ask)| match ask {
            Ask::Install { install, .. } => Some(install.summary.chunk),
            _ => None,
        });
        installs.collect()
    }
}

fn no_answer() -> WireError {
    WireError::Retry { after_ms: 1, text: "no answer".to_owned() }
}

#[test]
fn a_write_is_handed_on_though_no_more_chunks_are_remembered() {
    let limits = Limits { ahead_max: 0, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..1);
    let page = last.asked_for_page().expect("a page is asked for");
    let asked = last.change(chunk(0), tag(1), write());
    last.stored();
    last.read_whole(0);
    last.installed(0, Ok(()));
    last.answered(Ok(()));
    assert!(last.is_updated(asked) && last.reads.is_empty());
    let has = last.shelf.chunks[&chunk(0)].committed.expect("just written");
    let VersionState { version, digest, written_in, .. } = has;
    let has = ChunkSummary { version, digest, written_in, ..earlier(0) };
    let state = ComparePageReply { chunks: vec![has], end: true };
    last.step(Input::Answer { call: page, answer: Ok(Answer::Page(state)) });
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn a_removal_held_behind_a_transfer_is_handed_on_though_no_more_chunks_are_remembered() {
    let limits = Limits { ahead_max: 0, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..1);
    last.page(vec![earlier(0)]);
    let asked = last.remove(0, 1);
    last.stored();
    assert!(last.waits(asked), "its chunk is on its way");
    last.read_whole(0);
    last.installed(0, Ok(()));
    last.answered(Ok(()));
    assert!(last.is_updated(asked));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn a_page_waits_for_no_transfers_but_its_own() {
    let few = u32::try_from(TRANSFERS_MAX).expect("few");
    let mut last = Stand::before_syncing_within(Limits::default(), 0..few + 1);
    let page = last.asked_for_page().expect("a page is asked for");
    for index in 0..few {
        last.change(chunk(index), tag(u64::from(index) + 1), write());
    }
    assert_eq!(last.reads.len(), TRANSFERS_MAX, "each write waits for its chunk");
    let state = ComparePageReply { chunks: Vec::new(), end: true };
    last.step(Input::Answer { call: page, answer: Ok(Answer::Page(state)) });
    assert_eq!(last.reads.len(), TRANSFERS_MAX + 1, "the page has as many of its own");
}

#[test]
fn while_room_is_kept_nothing_that_takes_room_is_tried_again() {
    let mut last = Stand::before_syncing_within(Limits::default(), 0..1);
    last.page(Vec::new());
    last.read_whole(0);
    last.installed(0, Err(FULL));
    last.page(vec![earlier(5)]);
    // The chunk is to be removed there; before that is answered there is one again.
    let asked = last.change(chunk(5), tag(1), write());
    last.stored();
    assert!(last.is_updated(asked));
    last.installed(5, Err(no_answer()));
    last.later(AGAIN_MS);
    assert!(last.reads.is_empty() && last.sends.is_empty());
    last.later(ROOM_MS);
    last.later(AGAIN_MS);
    assert!(last.asked_for_page().is_some(), "all is compared anew");
}

#[test]
fn few_tombstones_are_on_their_way_at_once() {
    let limits = Limits { bare_max: 2, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..5);
    let page = last.asked_for_page().expect("a page is asked for");
    for index in 0..5 {
        let asked = last.remove(index, u64::from(index) + 1);
        last.stored();
        assert!(last.is_updated(asked));
    }
    assert_eq!(last.sent(), [0, 1].map(chunk));
    let state = ComparePageReply { chunks: Vec::new(), end: true };
    last.step(Input::Answer { call: page, answer: Ok(Answer::Page(state)) });
    last.installed(0, Ok(()));
    assert_eq!(last.sent(), [1, 2].map(chunk));
    last.installed(1, Err(no_answer()));
    for index in [2, 3, 4] {
        assert!(!last.tells_that_all_is_sent());
        last.installed(index, Ok(()));
    }
    last.later(AGAIN_MS);
    last.installed(1, Ok(()));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn what_a_held_write_waits_for_is_begun_again_before_tombstones_that_are_owed() {
    let limits = Limits { bare_max: 1, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..3);
    assert!(last.asked_for_page().is_some());
    // A chunk that nobody has yet, one that is there, and one whose tombstone is owed.
    last.change(chunk(3), tag(1), write());
    last.installed(3, Err(no_answer()));
    last.change(chunk(2), tag(2), write());
    last.read_whole(2);
    last.installed(2, Err(no_answer()));
    last.puts.clear();
    last.remove(0, 3);
    last.stored();
    last.installed(0, Err(no_answer()));
    last.later(AGAIN_MS / 2);
    last.remove(1, 4);
    last.stored();
    last.change(chunk(0), tag(5), write());
    last.puts.clear();
    for index in 4..6 {
        last.remove(index, u64::from(index) + 2);
        last.stored();
    }
    assert_eq!(last.sent(), [1].map(chunk), "the others wait for their turn");
    last.later(AGAIN_MS / 2);
    assert_eq!(last.sent(), [1, 0, 3].map(chunk), "no turn is waited for");
    last.read_whole(2);
    assert_eq!(last.sent(), [1, 0, 3, 2].map(chunk));
}

#[test]
fn what_the_page_waits_for_is_begun_again_before_tombstones_that_are_owed() {
    let limits = Limits { bare_max: 1, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..3);
    // The syncing member has a chunk that is to go.
    last.page(vec![earlier(7)]);
    (0..3).for_each(|index| last.read_whole(index));
    last.installed(7, Err(no_answer()));
    (0..3).for_each(|index| drop(last.installed(index, Ok(()))));
    for index in [8, 9] {
        last.remove(index, u64::from(index));
        last.stored();
    }
    assert_eq!(last.sent(), [8].map(chunk));
    last.later(AGAIN_MS);
    assert_eq!(last.sent(), [8, 7].map(chunk));
}

#[test]
fn tombstones_on_their_way_are_not_counted_as_reads() {
    let many = READS_MAX + 1;
    let limits = Limits { bare_max: many, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..1);
    for index in 1..=u32::try_from(many).expect("some thousands") {
        last.remove(index, u64::from(index));
        last.stored();
    }
    assert!(last.sent().len() >= READS_MAX);
    let (id, replica) = (last.request(), last.replica());
    let (start, len) = (ChunkOffset(0), ChunkOffset(8));
    last.step(Input::Read { id, read: ChunkRead { replica, chunk: chunk(0), start, len } });
    assert!(last.waits(id) && last.reads.len() == 1, "it is read");
}

#[test]
fn where_very_much_is_owed_a_removal_waits_like_a_write() {
    let limits = Limits { owed_max: 1, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..2);
    let asked = [0, 1].map(|index| last.remove(index, u64::from(index) + 1));
    last.stored();
    last.stored();
    assert!(last.is_updated(asked[0]) && last.waits(asked[1]));
    assert!(last.asked_for_page().is_some());
    last.read_whole(1);
    assert_eq!(last.sent(), [0, 1].map(chunk));
    last.installed(0, Ok(()));
    last.installed(1, Ok(()));
    last.answered(Ok(()));
    assert!(last.is_updated(asked[1]));
}

#[test]
fn while_a_version_goes_without_the_syncing_member_nothing_earlier_is_sent() {
    let mut last = Stand::new(0, &[Serving, PublicState::Offline]);
    for index in [0, 1] {
        last.change(chunk(index), tag(u64::from(index) + 1), write());
        last.stored();
    }
    last.remove(0, 3);
    last.stored();
    last.change(chunk(0), tag(4), write());
    last.follow(&[Serving, Syncing]);
    last.change(chunk(1), tag(5), write());
    last.read_whole(1);
    last.installed(1, Err(FULL));
    last.page(vec![earlier(0)]);
    assert_eq!(last.sent(), [], "the tombstone could come after what replaces it");
    last.stored();
    last.stored();
    last.later(ROOM_MS);
    last.later(AGAIN_MS);
    last.page(vec![earlier(0)]);
    last.read_whole(0);
    assert_eq!(last.installed(0, Ok(())).summary.version, ChunkVersion(3));
}

#[test]
fn a_version_of_an_earlier_version_of_the_chain_goes_without_the_syncing_member() {
    let mut last = Stand::before_syncing_within(Limits::default(), 0..1);
    let asked = last.change(chunk(0), tag(1), write());
    last.stored();
    assert!(last.waits(asked) && last.reads.len() == 1, "it is held");
    (last.reads, last.sends) = (Vec::new(), Vec::new());
    last.follow(&[Serving, Syncing]);
    assert!(last.is_updated(asked) && last.reads.is_empty(), "nothing of before is sent any more");
    last.page(vec![earlier(0)]);
    last.read_whole(0);
    assert_eq!(last.installed(0, Ok(())).summary.version, ChunkVersion(2));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn a_write_to_a_chunk_that_cannot_be_read_waits_for_nothing_however_many_there_are() {
    let limits = Limits { unreadable_max: 1, ..Limits::default() };
    let mut last = Stand::before_syncing_within(limits, 0..2);
    last.page(Vec::new());
    [0, 1].into_iter().for_each(|_| last.unreadable_now());
    assert_eq!(last.unreadable, [chunk(0)], "as many as are remembered");
    let asked = last.change(chunk(1), tag(1), write());
    last.stored();
    assert!(last.is_updated(asked) && !last.tells_that_all_is_sent());
}

#[test]
fn a_transfer_that_nobody_answers_is_begun_again() {
    let mut last = Stand::before_syncing_within(Limits::default(), 0..1);
    last.page(Vec::new());
    last.read_whole(0);
    last.sends.clear();
    last.later(CALL_MS_MAX);
    last.later(AGAIN_MS);
    last.read_whole(0);
    last.installed(0, Ok(()));
    assert!(last.tells_that_all_is_sent());
}
