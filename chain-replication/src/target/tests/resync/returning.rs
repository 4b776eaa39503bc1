//! The syncing member: what it is sent, and the room that it lacks.

use emberfs_wire::cluster::LocalState;
use emberfs_wire::replica::{FinishSync, FinishSyncReply};

use super::*;
use crate::target::limits::{AGAIN_MS, NO_ROOM_MS};

impl Stand {
    /// Its predecessor sends the first chunk.
    fn is_sent_whole(&mut self) -> RequestId {
        self.is_sent(earlier(0))
    }

    /// Its predecessor sends this version of a chunk.
    fn is_sent(&mut self, summary: ChunkSummary) -> RequestId {
        let id = self.request();
        let install = InstallChunk {
            replica: self.replica(),
            from: target(0),
            summary,
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
    syncing.shelf.tight = true;
    let id = syncing.is_sent(ChunkSummary { version: ChunkVersion(2), ..earlier(0) });
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
