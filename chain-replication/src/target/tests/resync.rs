//! The last serving member and the syncing one behind it, which lacks room, or chunks that the first cannot read.

use emberfs_wire::cluster::{Hindrance, LocalState};
use emberfs_wire::replica::{
    ChunkSummary, ComparePageReply, FinishSync, FinishSyncReply, InstallChunk, InstallChunkReply,
};

use super::*;
use crate::target::chunks::ReadResult;
use crate::target::limits::{AGAIN_MS, Limits, NO_ROOM_MS, ROOM_MS, TRANSFERS_MAX, UNREADABLE_MS};

pub(super) const FULL: WireError = WireError::Refuse { why: FsError::NoSpace };

pub(super) fn chunk(index: u32) -> ChunkId {
    ChunkId::new(CHUNK.data, ChunkIndex(index))
}

fn other(sequence: u64) -> Tag {
    Tag { client: ClientId(2), sequence: Sequence(sequence) }
}

/// What the syncing member has of a chunk: an earlier version.
pub(super) fn earlier(index: u32) -> ChunkSummary {
    let (version, written_in) = (ChunkVersion(1), ChainVersion(0));
    let digest = digest(version);
    ChunkSummary { chunk: chunk(index), version, digest, written_in, removed: false }
}

impl Stand {
    /// A last serving member that has these chunks, and a syncing one behind it that was not asked yet.
    fn before_syncing(chunks: std::ops::Range<u32>) -> Self {
        Self::before_syncing_within(Limits::default(), chunks)
    }

    /// The same with other limits.
    pub(super) fn before_syncing_within(limits: Limits, chunks: std::ops::Range<u32>) -> Self {
        let mut last = Self::new(0, &[Serving, PublicState::Offline]);
        last.target.limits = limits;
        for index in chunks {
            last.change(chunk(index), other(u64::from(index) + 1), write());
            last.stored();
        }
        last.replies.clear();
        last.follow(&[Serving, Syncing]);
        last
    }

    /// Its predecessor sends the first chunk.
    fn is_sent_whole(&mut self) -> RequestId {
        let id = self.request();
        let install = InstallChunk {
            replica: self.replica(),
            from: target(0),
            summary: earlier(0),
            chunk_size: ChunkSize::MIN,
            tags: Vec::new(),
            data: Some(PayloadSums::of(&bytes())),
        };
        self.step(Input::Install { id, install, data: Some(bytes()) });
        id
    }

    /// The store has done the oldest install, of the first chunk.
    fn has_installed(&mut self) {
        let (op, installed) = self.installs.remove(0);
        let (committed, pending, chunk_size) = (Some(installed.state), None, ChunkSize::MIN);
        self.shelf.chunks.insert(chunk(0), ChunkState { committed, pending, chunk_size });
        let outcome = Ok(Durable::put(installed.state, Vec::new()));
        self.step(Input::Stored { op, outcome });
    }

    pub(super) fn asked_for_page(&mut self) -> Option<CallId> {
        let at = self.sends.iter().position(|(_, _, ask)| matches!(ask, Ask::Page(_)))?;
        Some(self.sends.remove(at).0)
    }

    /// The syncing member says what it has.
    pub(super) fn page(&mut self, chunks: Vec<ChunkSummary>) {
        let call = self.asked_for_page().expect("a page is asked for");
        let page = ComparePageReply { chunks, end: true };
        self.step(Input::Answer { call, answer: Ok(Answer::Page(page)) });
    }

    /// The oldest read of the store has found the chunk of this number as it is committed.
    pub(super) fn read_whole(&mut self, index: u32) {
        let op = self.reads.remove(0);
        let state = self.shelf.chunks[&chunk(index)].committed.expect("it has bytes");
        self.step(Input::ReadDone { op, outcome: Ok(ReadResult { state, data: Some(bytes()) }) });
    }

    pub(super) fn unreadable_now(&mut self) {
        let op = self.reads.remove(0);
        self.step(Input::ReadDone { op, outcome: Err(StoreError::Corrupt) });
    }

    /// The oldest message is answered like this; it is an install of this chunk.
    pub(super) fn installed(&mut self, index: u32, answer: Result<(), WireError>) -> InstallChunk {
        let (call, _, ask) = self.sends.remove(0);
        let Ask::Install { install, .. } = ask else { panic!("{ask:?} is no install") };
        assert_eq!(install.summary.chunk, chunk(index));
        let reply = InstallChunkReply { version: install.summary.version };
        self.step(Input::Answer { call, answer: answer.map(|()| Answer::Installed(reply)) });
        install
    }

    pub(super) fn tells_that_all_is_sent(&self) -> bool {
        self.sends.iter().any(|(_, _, ask)| matches!(ask, Ask::Finish(_)))
    }

    /// All is compared and equal, and the syncing member was told so; it has not answered.
    fn told(&mut self) {
        let has = |(chunk, state): (&ChunkId, &ChunkState)| {
            let VersionState { version, digest, written_in, removed, .. } = state.committed?;
            Some(ChunkSummary { chunk: *chunk, version, digest, written_in, removed })
        };
        self.page(self.shelf.chunks.iter().filter_map(has).collect());
        assert!(self.tells_that_all_is_sent());
    }

    fn hindrance(&self) -> Option<Hindrance> {
        self.target.report().hindrance
    }
}

#[test]
fn what_makes_room_goes_first_where_a_transfer_found_none() {
    let few = u32::try_from(TRANSFERS_MAX).expect("few");
    let mut last = Stand::before_syncing(0..few);
    // Behind the chunks that take room there is one that the last serving member does not have.
    last.page(vec![earlier(few)]);
    (0..few).for_each(|index| last.read_whole(index));
    assert_eq!(last.sends.len(), TRANSFERS_MAX, "no more at once");
    last.installed(0, Err(FULL));
    last.sends.retain(|(_, _, ask)| matches!(ask, Ask::Page(_)));
    last.page(vec![earlier(few)]);
    assert!(last.reads.is_empty(), "nothing that takes room is tried");
    let removal = last.installed(few, Ok(()));
    assert!(removal.summary.removed && removal.summary.version == ChunkVersion::NONE);
    assert!(last.asked_for_page().is_none() && !last.tells_that_all_is_sent());
    last.later(ROOM_MS);
    last.later(AGAIN_MS);
    last.page(Vec::new());
    assert_eq!(last.reads.len(), TRANSFERS_MAX, "then all once more");
    for index in 0..few {
        last.read_whole(index);
        last.installed(index, Ok(()));
    }
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn late_answers_to_what_was_asked_before_all_is_compared_anew_count_for_nothing() {
    let mut last = Stand::before_syncing(0..1);
    last.page(Vec::new());
    last.read_whole(0);
    last.installed(0, Err(FULL));
    last.later(ROOM_MS);
    last.sends.clear(); // nobody answered in time
    last.later(AGAIN_MS);
    last.page(vec![earlier(5)]);
    let (late, _, ask) = last.sends.remove(0);
    assert!(
        matches!(ask, Ask::Install { .. }),
        "the chunk is removed, and then there is one again"
    );
    let asked = last.change(chunk(5), tag(1), write());
    last.stored();
    assert!(last.is_updated(asked));
    last.page(Vec::new());
    [0, 5].into_iter().for_each(|index| last.read_whole(index));
    let reply = InstallChunkReply { version: ChunkVersion::NONE };
    last.step(Input::Answer { call: late, answer: Ok(Answer::Installed(reply)) });
    last.installed(0, Ok(()));
    assert!(!last.tells_that_all_is_sent());
    last.installed(5, Ok(()));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn a_syncing_member_without_room_stops_no_write() {
    let mut last = Stand::before_syncing(0..1);
    last.page(vec![earlier(0)]);
    let held = last.change(chunk(0), tag(1), write());
    last.stored();
    assert!(last.waits(held));
    last.read_whole(0);
    last.installed(0, Err(FULL));
    assert!(last.is_updated(held));
    let next = last.change(chunk(7), tag(2), write());
    last.stored();
    assert!(last.is_updated(next));
}

#[test]
fn a_version_that_the_syncing_member_has_no_room_for_is_committed_and_owed() {
    let mut last = Stand::before_syncing(0..1);
    last.page(vec![earlier(0)]);
    last.read_whole(0);
    last.change(chunk(5), tag(2), write()); // held: so the sync does not end
    last.installed(0, Ok(()));
    let asked = last.change(chunk(0), tag(1), write());
    last.stored();
    last.stored();
    last.sends.retain(
        |(_, _, ask)| matches!(ask, Ask::Forward { update, .. } if update.chunk == chunk(0)),
    );
    assert!(last.waits(asked), "the syncing member is waited for");
    last.answered(Err(FULL));
    assert!(last.is_updated(asked) && last.discards == 0);
    assert!(!last.tells_that_all_is_sent());
    last.page(vec![earlier(0)]);
    last.later(ROOM_MS);
    last.later(AGAIN_MS);
    last.page(vec![earlier(0)]);
    last.read_whole(0);
    let install = last.sends.iter().find_map(|(_, _, ask)| match ask {
        Ask::Install { install, .. } if install.summary.chunk == chunk(0) => Some(install),
        _ => None,
    });
    assert_eq!(install.expect("it is owed").summary.version, ChunkVersion(2));
}

#[test]
fn what_is_owed_is_not_the_version_before_that_is_on_its_way() {
    let mut last = Stand::before_syncing(0..2);
    last.page(vec![earlier(0), earlier(1)]);
    [0, 1].into_iter().for_each(|index| last.read_whole(index));
    last.installed(0, Ok(()));
    let asked = last.change(chunk(0), tag(1), write());
    last.stored();
    last.installed(1, Err(FULL));
    last.page(vec![earlier(0), earlier(1)]);
    last.later(ROOM_MS);
    last.sends.clear(); // it was not answered, and is sent again
    last.later(AGAIN_MS);
    let is_forward = |(_, _, ask): &(_, _, Ask)| matches!(ask, Ask::Forward { .. });
    let at = last.sends.iter().position(is_forward).expect("it is sent again");
    let (forward, ..) = last.sends.remove(at);
    last.page(vec![earlier(0), earlier(1)]);
    last.read_whole(0);
    let (install, ..) = last.sends.remove(0);
    // Its own copy is corrupt: it cannot take the version, but will be sent the chunk.
    last.step(Input::Answer { call: forward, answer: Err(FsError::Io.into()) });
    assert!(last.is_updated(asked));
    let reply = InstallChunkReply { version: ChunkVersion(1) };
    last.step(Input::Answer { call: install, answer: Ok(Answer::Installed(reply)) });
    last.read_whole(1);
    last.installed(1, Ok(()));
    last.read_whole(0);
    assert_eq!(last.installed(0, Ok(())).summary.version, ChunkVersion(2));
    assert!(last.tells_that_all_is_sent());
}

#[test]
fn once_it_was_told_that_it_has_everything_a_syncing_member_is_obeyed() {
    let mut last = Stand::before_syncing(0..0);
    last.told();
    last.sends.clear();
    let asked = last.write(1);
    last.stored();
    last.answered(Err(FULL));
    last.flushed();
    assert!(last.is_refused(asked, FsError::NoSpace) && last.shelf.chunks.is_empty());
}

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

#[test]
fn what_took_longer_to_install_than_its_sender_waited_is_not_installed_again() {
    let mut syncing = Stand::new(1, &[Serving, Syncing]);
    let first = syncing.is_sent_whole();
    let early = syncing.is_sent_whole();
    assert!(matches!(syncing.answer(early), Err(WireError::Retry { .. })), "it is under way");
    syncing.has_installed();
    assert!(!syncing.waits(first));
    let late = syncing.is_sent_whole();
    assert!(matches!(syncing.answer(late), Ok(Reply::Replica(Answer::Installed(_)))));
    assert!(syncing.installs.is_empty(), "it is here");
}

#[test]
fn what_is_still_being_installed_where_it_serves_now_is_waited_for() {
    let mut head = Stand::new(1, &[Serving, Syncing]);
    let (id, replica) = (head.request(), head.replica());
    head.step(Input::FinishSync { id, ask: FinishSync { replica } });
    head.flushed();
    let install = head.is_sent_whole();
    head.follow_in_order([(1, Serving), (0, Syncing)]);
    assert!(matches!(head.answer(install), Err(WireError::Retry { .. })), "nobody waits for it");
    let id = head.change(chunk(0), tag(1), write());
    assert!(matches!(head.answer(id), Err(WireError::Retry { .. })), "it would be of an older one");
    assert_eq!(head.asked_for_page(), None, "this is not all there is");
    head.has_installed();
    assert!(head.asked_for_page().is_some());
    let id = head.change(chunk(0), tag(1), write());
    assert!(head.waits(id));
}

#[test]
fn a_member_that_lacks_room_says_so_until_there_is_some() {
    let mut syncing = Stand::new(1, &[Serving, Syncing]);
    let (id, replica) = (syncing.request(), syncing.replica());
    let summary = ChunkSummary { version: ChunkVersion(2), ..earlier(0) };
    let install = InstallChunk {
        replica,
        from: target(0),
        summary,
        chunk_size: ChunkSize::MIN,
        tags: Vec::new(),
        data: Some(PayloadSums::of(&bytes())),
    };
    syncing.shelf.tight = true;
    syncing.step(Input::Install { id, install, data: Some(bytes()) });
    let (op, _) = syncing.installs.remove(0);
    syncing.step(Input::Stored { op, outcome: Err(StoreError::NoSpace) });
    assert!(syncing.is_refused(id, FsError::NoSpace));
    let report = syncing.target.report();
    assert_eq!((report.state, report.hindrance), (LocalState::Online, Some(Hindrance::NoRoom)));
    syncing.follow(&[Serving, PublicState::Waiting]);
    syncing.later(NO_ROOM_MS);
    assert_eq!(syncing.hindrance(), Some(Hindrance::NoRoom), "as long as it lacks room");
    syncing.shelf.tight = false;
    syncing.later(AGAIN_MS);
    assert_eq!(syncing.hindrance(), None);
    // A version that is forwarded finds none either.
    syncing.follow(&[Serving, Syncing]);
    let asked = syncing.forwarded(1, 1, 5);
    syncing.not_stored(StoreError::NoSpace);
    assert!(syncing.is_refused(asked, FsError::NoSpace));
    syncing.later(AGAIN_MS);
    assert_eq!(syncing.hindrance(), Some(Hindrance::NoRoom), "not for a moment only");
}

#[test]
fn a_syncing_member_that_has_everything_lacks_no_room() {
    let mut syncing = Stand::new(1, &[Serving, Syncing]);
    let asked = syncing.forwarded(1, 1, 5);
    syncing.not_stored(StoreError::NoSpace);
    assert!(syncing.is_refused(asked, FsError::NoSpace) && syncing.hindrance().is_some());
    let (id, replica) = (syncing.request(), syncing.replica());
    let ask = FinishSync { replica };
    syncing.step(Input::FinishSync { id, ask });
    syncing.flushed();
    let finished = FinishSyncReply {};
    assert!(
        matches!(syncing.answer(id), Ok(Reply::Replica(Answer::Finished(reply))) if reply == finished)
    );
    assert_eq!(syncing.hindrance(), None);
}
