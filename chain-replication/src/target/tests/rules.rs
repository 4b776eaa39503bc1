//! Limits, refusals and answers that are rare in a simulation.

use emberfs_wire::cluster::{SessionMark, WantedMark};
use emberfs_wire::limits::{TAGS_MAX, TAGS_OPEN_MAX};
use emberfs_wire::replica::FinishSync;

use super::*;
use crate::target::chunks::ReadResult;
use crate::target::limits::{AGAIN_MS, WANTED_MS};
use crate::target::{Limits, Target};

impl Stand {
    fn read(&mut self) -> RequestId {
        let (id, replica) = (self.request(), self.replica());
        let (start, len) = (ChunkOffset(0), ChunkOffset(8));
        self.step(Input::Read { id, read: ChunkRead { replica, chunk: CHUNK, start, len } });
        id
    }

    fn last_chunk(&mut self) -> Result<Reply, WireError> {
        let (id, replica) = (self.request(), self.replica());
        self.step(Input::LastChunk { id, ask: LastChunk { replica, data: CHUNK.data } });
        self.answer(id)
    }

    /// The oldest read of the store has come to this.
    fn found(&mut self, outcome: Result<ReadResult, StoreError>) {
        let op = self.reads.remove(0);
        self.step(Input::ReadDone { op, outcome });
    }
}

#[test]
fn a_chunk_has_so_many_tags_and_no_more() {
    let mut head = Stand::new(0, &[Serving]);
    let most = TAGS_OPEN_MAX as u64;
    for sequence in 2..=most + 1 {
        let id = head.write(sequence);
        if sequence % 2 == 0 {
            head.stored();
            head.replies.clear();
        } else {
            assert!(head.waits(id));
        }
    }
    while !head.puts.is_empty() {
        head.stored();
    }
    let beyond = head.write(most + 2);
    assert!(matches!(head.answer(beyond), Err(WireError::Retry { .. })));
    let retried = head.write(most);
    assert!(head.is_updated(retried), "a retry of one of them is answered");
}

#[test]
fn the_first_open_request_of_a_session_is_let_in_beyond_the_usual_tags() {
    let mut head = Stand::new(0, &[Serving]);
    for sequence in 2..=TAGS_OPEN_MAX as u64 + 1 {
        head.write(sequence);
        head.stored();
    }
    let first = head.write(1);
    head.stored();
    assert!(head.is_updated(first), "or it would wait for ever for the tags of what came after it");
    let mut write_of = |client| {
        let tag = Tag { client: ClientId(client), sequence: Sequence(1) };
        let id = head.change(CHUNK, tag, write());
        let is_let_in = head.waits(id);
        if is_let_in {
            head.stored();
        }
        is_let_in
    };
    let let_in = (2..).take_while(|client| write_of(*client)).count();
    assert_eq!(let_in, TAGS_MAX - TAGS_OPEN_MAX - 1, "there is an end to it");
    head.step(Input::Ended(vec![ClientId(1)]));
    let again = Tag { client: ClientId(1 << 20), sequence: Sequence(1) };
    let id = head.change(CHUNK, again, write());
    assert!(head.waits(id));
}

#[test]
fn an_idle_session_s_mark_is_asked_for_while_its_tags_are_in_the_way() {
    let mut head = Stand::new(0, &[Serving]);
    let limits = Limits { tags_open_max: 2, tags_max: 3, ..Limits::default() };
    head.target = Target::new(target(0), Loaded::default()).limited(limits);
    head.follow(&[Serving]);
    head.step(Input::Lease { until: Millis(u64::MAX) });
    let wanted = |head: &Stand| head.target.marks_wanted().collect::<Vec<_>>();
    for sequence in 1..=2 {
        head.write(sequence);
        head.stored();
    }
    let by_other = |head: &mut Stand| {
        let tag = Tag { client: ClientId(2), sequence: Sequence(2) };
        head.change(CHUNK, tag, write())
    };
    assert_eq!(wanted(&head), []);
    let refused = by_other(&mut head);
    assert!(matches!(head.answer(refused), Err(WireError::Retry { .. })));
    assert_eq!(wanted(&head), [WantedMark { client: ClientId(1), chain: ChainId(1) }]);
    head.later(WANTED_MS);
    assert_eq!(wanted(&head), [], "nobody came again");
    let current = head.target.report().chain;
    let mark = |chain, low_water, version| {
        let (client, chain, low_water) = (ClientId(1), ChainId(chain), Sequence(low_water));
        Input::Marks(vec![SessionMark { client, chain, low_water, version }])
    };
    head.step(mark(1, 1, current));
    head.step(mark(2, 3, current));
    head.step(mark(1, 3, current.next()));
    let refused = by_other(&mut head);
    assert!(
        matches!(head.answer(refused), Err(WireError::Retry { .. })),
        "none is settled here, and under this version"
    );
    head.step(mark(1, 3, current));
    let let_in = by_other(&mut head);
    head.stored();
    assert!(head.is_updated(let_in));
    head.later(0);
    assert_eq!(wanted(&head), [], "its tags are gone");
    let late = head.write(2);
    assert!(head.is_refused(late, FsError::Stale), "for ever");
}

#[test]
fn a_replica_that_differs_from_the_tail_says_so_and_is_not_read() {
    let mut head = Stand::new(0, &[Serving, Serving]);
    let id = head.write(1);
    head.stored();
    let (call, ..) = head.sends.remove(0);
    let (version, chunk_len) = (ChunkVersion(1), ChunkOffset(8));
    let reply = ForwardReply { version, chunk_len, digest: digest(ChunkVersion(9)) };
    head.step(Input::Answer { call, answer: Ok(Answer::Forward(reply)) });
    assert!(head.is_updated(id) && head.differing == 1, "the write stands");
    let read = head.read();
    let corrupt = WireError::Corrupt { target: target(0), chunk: CHUNK };
    assert_eq!(head.answer(read).err(), Some(corrupt));
    head.write(2);
    head.stored();
    head.answered(Ok(()));
    head.read();
    assert_eq!(head.reads.len(), 1, "equal again");
}

#[test]
fn a_corrupt_block_is_answered_as_such() {
    let mut head = Stand::new(0, &[Serving]);
    head.write(1);
    head.stored();
    let read = head.read();
    head.found(Err(StoreError::Corrupt));
    let corrupt = WireError::Corrupt { target: target(0), chunk: CHUNK };
    assert_eq!(head.answer(read).err(), Some(corrupt));
    let over = head.write(2);
    head.not_stored(StoreError::Corrupt);
    assert!(head.is_refused(over, FsError::Io));
    let removal = head.change(CHUNK, tag(3), ChunkChange::Remove);
    head.stored();
    assert!(head.is_updated(removal));
}

#[test]
fn a_corrupt_block_holds_nothing_up_that_all_behind_have_whole() {
    let mut head = Stand::new(0, &[Serving, Serving]);
    let id = head.write(1);
    head.not_stored(StoreError::Corrupt);
    assert!(matches!(head.answer(id), Err(WireError::Wait { .. })), "the tail may have it");
    let id = head.write(1);
    head.later(AGAIN_MS);
    assert!(!head.puts[0].2.keep_damage);
    head.not_stored(StoreError::Corrupt);
    head.replies.remove(&id);
    let id = head.write(1);
    head.answered(Ok(()));
    head.later(AGAIN_MS);
    assert!(head.puts[0].2.keep_damage);
    head.stored();
    assert!(head.is_updated(id));
}

#[test]
fn the_last_chunk_is_told_beside_what_is_under_way() {
    let mut head = Stand::new(0, &[Serving, Serving]);
    let end = ChunkEnd { index: ChunkIndex(0), len: ChunkOffset(8) };
    let is = |answer, last, pending: Option<u32>| {
        let Ok(Reply::LastChunk(reply)) = answer else { return false };
        (reply.last, reply.pending) == (last, pending.map(ChunkIndex))
    };
    assert!(is(head.last_chunk(), None, None));
    head.write(1);
    assert!(is(head.last_chunk(), None, Some(0)));
    head.stored();
    head.answered(Ok(()));
    assert!(is(head.last_chunk(), Some(end), None));
    let far = ChunkId::new(CHUNK.data, ChunkIndex(7));
    head.change(far, Tag { client: ClientId(2), sequence: Sequence(1) }, write());
    assert!(is(head.last_chunk(), Some(end), Some(7)));
    head.step(Input::Ended(vec![ClientId(2)]));
    assert!(matches!(head.last_chunk(), Err(WireError::Retry { .. })), "it ends soon");
    head.stored();
    head.answered(Err(FsError::NoSpace.into()));
    head.flushed();
    assert!(is(head.last_chunk(), Some(end), None));
}

#[test]
fn a_sync_is_finished_when_all_is_durable_and_not_before() {
    let mut syncing = Stand::new(1, &[Serving, Syncing]);
    let (id, replica) = (syncing.request(), syncing.replica());
    syncing.step(Input::FinishSync { id, ask: FinishSync { replica } });
    let complete =
        |stand: &Stand| stand.target.report().state == emberfs_wire::cluster::LocalState::UpToDate;
    assert!(syncing.waits(id) && !complete(&syncing));
    syncing.flushed();
    assert!(matches!(syncing.answer(id), Ok(Reply::Replica(Answer::Finished(_)))));
    assert!(complete(&syncing));
    syncing.follow(&[Serving, Syncing]);
    assert!(!complete(&syncing), "each version of the chain begins anew");
}
