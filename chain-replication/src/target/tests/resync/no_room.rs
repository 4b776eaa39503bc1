//! A syncing member that lacks room, as its predecessor meets it.

use super::*;
use crate::target::limits::{AGAIN_MS, ROOM_MS, TRANSFERS_MAX};

impl Stand {
    /// All is compared and equal, and the syncing member was told so; it has not answered.
    fn told(&mut self) {
        let has = |(chunk, state): (&ChunkId, &ChunkState)| {
            let VersionState { version, digest, written_in, removed, .. } = state.committed?;
            Some(ChunkSummary { chunk: *chunk, version, digest, written_in, removed })
        };
        self.page(self.shelf.chunks.iter().filter_map(has).collect());
        assert!(self.tells_that_all_is_sent());
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
